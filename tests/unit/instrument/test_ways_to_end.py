"""What is recorded of each kind of function and each way in which a call ends: the table of docs/audited.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.sdk.resources import Resource

from otel_audit import audited, gate
from otel_audit.testing import CapturedAudit, capture_audit
from tests.unit.instrument.functions import BINDINGS, RESULT, OwnError, body, run

PAGE = Path(__file__).parents[3] / "docs/audited.md"

SUCCESS: Final = "success"
FAILURE: Final = "failure"
UNKNOWN: Final = "unknown"
OPEN: Final = "intent only"
NOTHING: Final = "nothing"
IMPOSSIBLE: Final = "–"

WAYS: Final = (
    "returns",
    "raises",
    "is interrupted",
    "is cancelled",
    "is closed early",
    "has something thrown in",
    "is never awaited or iterated",
    "is cancelled before its intent is on disk",
)
"""Ways to end; interrupted is by `KeyboardInterrupt`."""

TABLE: Final = {
    "function": (SUCCESS, FAILURE, FAILURE, *[IMPOSSIBLE] * 5),
    "coroutine function": (SUCCESS, FAILURE, FAILURE, FAILURE, FAILURE, FAILURE, NOTHING, UNKNOWN),
    "generator": (SUCCESS, FAILURE, FAILURE, IMPOSSIBLE, UNKNOWN, FAILURE, NOTHING, IMPOSSIBLE),
    "async generator": (SUCCESS, FAILURE, FAILURE, FAILURE, UNKNOWN, FAILURE, NOTHING, UNKNOWN),
    "function that returns a coroutine": (SUCCESS, FAILURE, FAILURE, FAILURE, FAILURE, FAILURE, OPEN, IMPOSSIBLE),
    "function that returns a generator": (
        *(SUCCESS, FAILURE, FAILURE, IMPOSSIBLE, UNKNOWN, FAILURE, OPEN, IMPOSSIBLE),
    ),
    "function that returns an async generator": (
        *(SUCCESS, FAILURE, FAILURE, FAILURE, UNKNOWN, FAILURE, OPEN, IMPOSSIBLE),
    ),
}
CELLS: Final = [
    (form, way, recorded)
    for form, row in TABLE.items()
    for way, recorded in zip(WAYS, row, strict=True)
    if recorded != IMPOSSIBLE
]
LINES: Final = {
    SUCCESS: [("intent", "unknown", None), ("outcome", "success", None)],
    UNKNOWN: [("intent", "unknown", None), ("outcome", "unknown", None)],
    OPEN: [("intent", "unknown", None)],
    NOTHING: [],
}
ERROR_TYPES: Final = {
    "raises": f"{OwnError.__module__}.OwnError",
    "is interrupted": "KeyboardInterrupt",
    "is cancelled": "asyncio.exceptions.CancelledError",
    "is closed early": "GeneratorExit",
    "has something thrown in": f"{OwnError.__module__}.OwnError",
}
GATED: Final[dict[str, Callable[[Any, Any], Callable[[], Any]]]] = {
    "a function behind a gate": lambda decorate, function: decorate(gate(lambda call: True)(function)),
    "a function before a gate": lambda decorate, function: gate(lambda call: True)(decorate(function)),
}


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Iterator[CapturedAudit]:
    """A log of its own; one that syncs where the intent is waited for."""
    durability = "always" if "on disk" in request.getfixturevalue("way") else "os"
    with capture_audit(resource=Resource({"service.name": "shop"}), durability=durability) as captured:
        yield captured


@pytest.mark.parametrize(("form", "way", "recorded"), CELLS)
def test_cell(log: CapturedAudit, form: str, way: str, recorded: str) -> None:
    """The cell holds, however the function is bound; result and exception are the function's own."""
    for name, bind in (BINDINGS | GATED).items():
        end_one(form, way, bind)
        expected = LINES.get(recorded, [*LINES[OPEN], ("outcome", "failure", ERROR_TYPES.get(way))])
        if name == "a function before a gate" and way == "is cancelled before its intent is on disk":
            expected = LINES[NOTHING]  # the first entry to wait for is the decision
        assert [
            (entry.attributes["audit.phase"], entry.attributes["audit.outcome"], entry.attributes.get("error.type"))
            for entry in log.entries
            if "audit.phase" in entry.attributes
        ] == expected, name
        log.clear()


def end_one(form: str, way: str, bind: Callable[[Any, Any], Callable[[], Any]]) -> None:
    """Make one call and let it end; see that what comes out is what would come out unaudited."""
    error: BaseException = KeyboardInterrupt() if way == "is interrupted" else OwnError("x")
    call = bind(audited("work"), body(form, way, error))
    if way in ("returns", "is closed early", "is never awaited or iterated"):
        assert run(form, way, call, error) is (RESULT if way == "returns" else None)
        return
    expected = asyncio.CancelledError if "is cancelled" in way else type(error)
    with pytest.raises(expected) as caught:
        run(form, way, call, error)
    assert caught.value is error or expected is asyncio.CancelledError
    assert caught.value.__cause__ is None


def table() -> str:
    """Return the table as the page shows it."""
    rows = [("form", *WAYS), ("---",) * (len(WAYS) + 1), *((form, *row) for form, row in TABLE.items())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_page() -> None:
    """docs/audited.md shows this table."""
    assert table() in PAGE.read_text(encoding="utf-8")
