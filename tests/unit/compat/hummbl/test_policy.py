"""`otel_audit.compat.hummbl.policy`: what may be posted."""

from __future__ import annotations

import json
from typing import Any

import hummbl_governance  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.compat.hummbl import PolicyLevel
from otel_audit.compat.hummbl.policy import policy_level, problem_of
from otel_audit.errors import AuditConfigError

FINE = ("agent-1", "all", "STATUS", "done")
NAMES = ("from_id", "to_id", "msg_type", "message")


class TestPolicyLevel:
    """`PolicyLevel`: three levels, in order."""

    def test_order(self) -> None:
        """PERMISSIVE < WARN < STRICT, as in hummbl-governance, with its values."""
        assert sorted(PolicyLevel, reverse=True) == [PolicyLevel.STRICT, PolicyLevel.WARN, PolicyLevel.PERMISSIVE]
        assert PolicyLevel.STRICT >= PolicyLevel.WARN > PolicyLevel.PERMISSIVE
        theirs = hummbl_governance.PolicyLevel
        assert {level.name: level.value for level in PolicyLevel} == {level.name: level.value for level in theirs}

    def test_no_order_with_other_things(self) -> None:
        """A level is not compared to a number."""
        with pytest.raises(TypeError):
            PolicyLevel.WARN < 3  # noqa: B015

    def test_theirs_is_taken_by_name(self) -> None:
        """A program that still imports hummbl-governance's PolicyLevel is understood."""
        assert policy_level(hummbl_governance.PolicyLevel.STRICT) is PolicyLevel.STRICT

    @pytest.mark.parametrize("policy", [None, "STRICT", 3])
    def test_others_are_refused(self, policy: object) -> None:
        """What is no level is an error that names the levels."""
        with pytest.raises(AuditConfigError, match=r"expected a PolicyLevel \(PERMISSIVE, WARN, STRICT\), got"):
            policy_level(policy)


class TestProblemOf:
    """`problem_of`: the fields of a message."""

    def test_fine(self) -> None:
        """A message of four texts has no problem."""
        assert problem_of(*FINE) is None

    @pytest.mark.parametrize("index", range(4))
    @pytest.mark.parametrize(("value", "got"), [("", "none"), (" \t\n", "none"), (None, "NoneType"), (b"x", "bytes")])
    def test_each_field_is_text(self, index: int, value: object, got: str) -> None:
        """Each field must be a text with something in it."""
        fields: list[Any] = [*FINE]
        fields[index] = value
        assert problem_of(*fields) == f"{NAMES[index]}: expected a non-empty string, got {got}"

    @pytest.mark.parametrize("index", [0, 1])
    def test_ids_have_the_logs_limit(self, index: int) -> None:
        """An id of 8 KiB is taken, one of a byte more is not."""
        fields = [*FINE]
        fields[index] = "é" * 4096
        assert problem_of(*fields) is None
        fields[index] += "x"
        assert problem_of(*fields) == f"{NAMES[index]}: expected at most 8192 bytes, got 8193"

    @pytest.mark.parametrize(
        ("message", "problem"),
        [
            ("é" * 32_768, None),
            ("é" * 32_768 + "x", "message: expected at most 65536 bytes, got 65537"),
            ("a\0b", "message: expected text without NUL, got one"),
            (json.dumps(dict.fromkeys(map(str, range(64)))), None),
            (
                " " + json.dumps(dict.fromkeys(map(str, range(65)))),
                "message: expected a JSON object of at most 64 members, got 65",
            ),
            ("{" + '"a":[' * 5000, None),
            ("{not json", None),
        ],
    )
    def test_the_message_has_hummbls_limits(self, message: str, problem: str | None) -> None:
        """64 KiB, no NUL, and at most 64 members where it is a JSON object."""
        assert problem_of("a", "b", "c", message) == problem

    @given(st.tuples(*[st.text(max_size=12)] * 4))
    def test_agrees_with_the_package(self, fields: tuple[str, str, str, str]) -> None:
        """What hummbl-governance refuses is refused here, and nothing else."""
        from hummbl_governance.coordination_bus import _validate_fields  # type: ignore[import-untyped]

        try:
            _validate_fields(*fields)
        except ValueError:
            assert problem_of(*fields) is not None
        except UnicodeEncodeError:
            pass
        else:
            assert problem_of(*fields) is None

    def test_repeats_nothing(self) -> None:
        """What a field holds does not stand in the error."""
        assert "canary" not in str(problem_of("canary", "canary", "canary", "canary\0"))
