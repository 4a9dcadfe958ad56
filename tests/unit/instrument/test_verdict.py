"""What a policy's answer means."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import Mock

import pytest

from otel_audit.instrument.capture import TRUNCATED
from otel_audit.instrument.verdict import UnclearAnswerError, Verdict, undecided, verdict_of


class Reason(enum.Enum):
    """As gates give one."""

    RATE_LIMIT = 1
    COOLDOWN = "cooldown"


class Word(enum.StrEnum):
    """A policy's own words."""

    ALLOW = "allow"
    BLOCK = "Block"


class Checked(NamedTuple):
    """A pair that has names."""

    allowed: bool
    reason: str


class Broken:
    """An answer whose own code fails."""

    @property
    def allowed(self) -> bool:
        """Fail."""
        raise ValueError("canary")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (True, Verdict("allow")),
        (False, Verdict("block")),
        ("allow", Verdict("allow")),
        ("BLOCK", Verdict("block")),
        ("override", Verdict("override")),
        ("error", Verdict("error")),
        (Word.ALLOW, Verdict("allow")),
        (Word.BLOCK, Verdict("block")),
        ("over the limit", Verdict("block", "over the limit")),
        ((True, None), Verdict("allow")),
        ((True, "trusted"), Verdict("allow", "trusted")),
        ((False, "expired"), Verdict("block", "expired")),
        (("block", "expired"), Verdict("block", "expired")),
        (("override", "by maya"), Verdict("override", "by maya")),
        ((False, Reason.COOLDOWN), Verdict("block", "cooldown")),
        ((False, ""), Verdict("block")),
        (Checked(False, "no"), Verdict("block", "no")),
        (SimpleNamespace(allowed=True), Verdict("allow")),
        (SimpleNamespace(allowed=False, blocked=True), Verdict("block")),
        (SimpleNamespace(blocked=True, message="wait"), Verdict("block", "wait")),
        (SimpleNamespace(blocked=False), Verdict("allow")),
        (SimpleNamespace(allowed=False, reason=Reason.RATE_LIMIT, message="no"), Verdict("block", "RATE_LIMIT: no")),
        (SimpleNamespace(allowed=False, reason="wait", message="wait"), Verdict("block", "wait")),
        (SimpleNamespace(allowed=False, reason=None, message=None), Verdict("block")),
    ],
)  # fmt: skip
def test_clear(answer: object, verdict: Verdict) -> None:
    """Each kind of answer means one decision, with its reason."""
    assert verdict_of(answer) == verdict


@pytest.mark.parametrize("decision", ["allow", "override", "block", "error"])
def test_allows(decision: Any) -> None:
    """Only `allow` and `override` let an action run."""
    assert Verdict(decision).allows == (decision in {"allow", "override"})


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (None, "got None$"),
        (1, "got int$"),
        (0, "got int$"),
        ("", "got str$"),
        ("  ", "got str$"),
        (b"allow", "got bytes$"),
        (object(), "got object$"),
        ({"allowed": True}, "got dict$"),
        ([True, None], "got list$"),
        ((True,), "got tuple$"),
        ((True, None, None), "got tuple$"),
        ((1, "canary"), "got tuple$"),
        (("canary", "canary"), "got tuple$"),
        (Mock(), "expected allowed of Mock to be True or False, got Mock$"),
        (SimpleNamespace(allowed=lambda: True), "expected allowed of SimpleNamespace .* got function$"),
        (SimpleNamespace(allowed=1), "got int$"),
        (SimpleNamespace(blocked=None), "expected blocked of SimpleNamespace to be True or False, got None$"),
        (SimpleNamespace(allowed=True, blocked=None), "expected blocked"),
        (SimpleNamespace(allowed=True, blocked=True), "to be allowed or blocked, got True for both"),
        (SimpleNamespace(allowed=False, blocked=False), "got False for both"),
    ],
)  # fmt: skip
def test_unclear(answer: object, got: str) -> None:
    """What does not clearly allow or block is refused, whatever its truth; types are named, and no values."""
    with pytest.raises(UnclearAnswerError, match=got) as caught:
        verdict_of(answer)
    assert "canary" not in str(caught.value)
    verdict = undecided(caught.value)
    assert verdict.decision == "error"
    assert verdict.reason == str(caught.value)


def test_own_code_fails() -> None:
    """An answer whose attribute raises decides nothing; of the exception only the type is told."""
    with pytest.raises(ValueError, match="canary") as caught:
        verdict_of(Broken())
    assert undecided(caught.value) == Verdict("error", "the policy raised ValueError", "ValueError")


@pytest.mark.parametrize("answer", ["Bearer abc.def-ghi", (False, "Bearer abc.def-ghi"), (False, "password=abc")])
def test_reason_holds_no_credential(answer: object) -> None:
    """A reason is recorded without what looks like a credential."""
    reason = verdict_of(answer).reason
    assert reason is not None
    assert "[REDACTED]" in reason
    assert "abc" not in reason


@pytest.mark.parametrize("character", ["x", "é", "\U0001f512", "\ud800"])
def test_long_reason(character: str) -> None:
    """A reason too long for the format is cut, and says so."""
    reason = verdict_of((False, character * 20_000)).reason
    assert reason is not None
    assert reason.endswith(TRUNCATED)
    assert 8000 < len(reason.encode()) <= 8192


def test_reason_of_another_type() -> None:
    """A reason that is no text is told by its type: its repr could hold anything."""
    assert verdict_of((False, ValueError("canary"))).reason == "<ValueError>"
    assert verdict_of(SimpleNamespace(allowed=False, reason=["canary"])).reason == "<list>"
