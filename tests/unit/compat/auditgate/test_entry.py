from __future__ import annotations

import dataclasses
import datetime as dt
import json
import pickle
import re
from decimal import Decimal
from typing import Any

import pytest

from otel_audit.compat.auditgate import AuditEntry, Engine, MemoryStore, Severity, Verdict, wall_clock
from otel_audit.compat.auditgate.entry import time_ns_of, wall_text
from tests.auditgate import REFUND, TRAIL


def entry(**members: Any) -> AuditEntry:
    """Make an entry with one of everything."""
    whole: dict[str, Any] = {
        "trail": TRAIL,
        "ts": 1.5,
        "wall_ts": "2026-01-01T00:00:00.000000+00:00",
        "verdict": Verdict.BLOCK,
        "severity": Severity.WARN,
        "gate_type": "actiongate",
        "gate_identity": "i",
        "detail": {"xs": [1, {"y": 2}]},
    }
    return AuditEntry(**whole | members)


class TestEntry:
    def test_members(self) -> None:
        """It takes AuditGate's members in AuditGate's order."""
        names = [field.name for field in dataclasses.fields(AuditEntry) if not field.kw_only]
        assert names == [
            *("trail", "ts", "wall_ts", "verdict", "severity", "gate_type", "gate_identity", "recorded_by", "reason"),
            *("detail", "entry_hash", "prev_hash", "sequence"),
        ]

    def test_to_dict(self) -> None:
        """As a dict it is JSON: words by name, the trail as text."""
        whole = entry().to_dict()
        assert json.loads(json.dumps(whole)) == {
            "schema_version": "1.0.0",
            "trail": "billing:actiongate@user:123",
            "ts": 1.5,
            "wall_ts": "2026-01-01T00:00:00.000000+00:00",
            "verdict": "BLOCK",
            "severity": "WARN",
            "gate_type": "actiongate",
            "gate_identity": "i",
            "recorded_by": "",
            "reason": None,
            "detail": {"xs": [1, {"y": 2}]},
            "entry_hash": None,
            "prev_hash": None,
            "sequence": 0,
        }

    def test_to_dict_is_a_copy(self) -> None:
        """Who changes the dict changes nothing of the entry."""
        made = entry()
        made.to_dict()["detail"]["xs"].append(3)
        assert made.detail == {"xs": [1, {"y": 2}]}

    def test_pickled_and_replaced(self) -> None:
        """It can be pickled, and copied with other members, as dataclasses can."""
        made = entry(sequence=4)
        assert pickle.loads(pickle.dumps(made)) == made
        assert dataclasses.replace(made, sequence=5) == entry(sequence=5)


class TestDetail:
    @pytest.mark.parametrize(
        "change",
        [
            lambda detail: detail.__setitem__("new", 1),
            lambda detail: detail.pop("xs"),
            lambda detail: detail.update(new=1),
            lambda detail: detail.clear(),
            lambda detail: detail["xs"].append(3),
            lambda detail: detail["xs"][1].__setitem__("y", 3),
            lambda detail: detail["xs"].__iadd__([3]),
        ],
        ids=["set", "pop", "update", "clear", "append", "inner", "extend"],
    )
    def test_frozen(self, change: Any) -> None:
        """A detail cannot be changed, however deep."""
        made = entry()
        with pytest.raises(TypeError, match="cannot be changed"):
            change(made.detail)
        assert made.detail == {"xs": [1, {"y": 2}]}

    def test_still_a_dict(self) -> None:
        """It compares, prints, pickles and serializes as a dict with lists."""
        detail = entry().detail
        assert detail == {"xs": [1, {"y": 2}]}
        assert repr(detail) == "{'xs': [1, {'y': 2}]}"
        assert json.loads(json.dumps(detail)) == detail
        assert pickle.loads(pickle.dumps(detail)) == detail

    @pytest.mark.parametrize("given", [{"x": 1}, {"x": [1]}, {"x": {"y": [1]}}], ids=["flat", "list", "dict"])
    def test_copied_at_the_call(self, given: dict[str, Any]) -> None:
        """What becomes of the dict, or of what is in it, after the call is nothing to the entry."""
        engine = Engine(store=MemoryStore())
        made = engine.record(TRAIL, **REFUND, detail=given).entry
        assert made is not None
        before = json.dumps(made.detail)
        inner = given["x"]["y"] if isinstance(given["x"], dict) else given["x"]
        if isinstance(inner, list):
            inner.append(2)
        given["more"] = []
        assert json.dumps(made.detail) == before

    def test_values_as_a_log_has_them(self) -> None:
        """What JSON has no form for is its text, bytes are bytes, and nothing makes a record fail."""
        made = entry(detail={"d": Decimal("1.5"), "b": b"x", "$n": 1, "o": {1, 2}, "nan": float("nan"), 3: "three"})
        assert made.detail == {"d": "1.5", "b": b"x", "$n": 1, "o": [1, 2], "nan": "NaN", "3": "three"}

    def test_no_map(self) -> None:
        """A detail that is no map is kept all the same."""
        assert entry(detail=["a"]).detail == {"detail": ["a"]}


class TestWallClock:
    def test_now(self) -> None:
        """It is now, ISO 8601, UTC, in microseconds."""
        text = wall_clock()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", text)
        assert abs(dt.datetime.fromisoformat(text) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)

    @pytest.mark.parametrize("time_ns", [0, 1, 999_999_999, 1_700_000_000_123_456_789])
    def test_both_ways(self, time_ns: int) -> None:
        """A time in nanoseconds is its text's, to the microsecond."""
        assert time_ns_of(wall_text(time_ns)) == time_ns // 1000 * 1000
        assert dt.datetime.fromisoformat(wall_text(time_ns)).timestamp() == pytest.approx(time_ns / 1e9, abs=1e-6)

    def test_of_another_zone(self) -> None:
        """A time with an offset is the same moment; one without is UTC; a text that is no time is now."""
        assert time_ns_of("1970-01-01T01:00:00+01:00") == 0
        assert time_ns_of("1970-01-01T00:00:01") == 1_000_000_000
        assert time_ns_of("noon") > 1_700_000_000_000_000_000
