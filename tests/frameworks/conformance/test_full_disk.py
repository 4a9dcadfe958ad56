"""A disk without room: what is said to be stopped does not happen, in any framework."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import otel_audit
from otel_audit import read_log, verify_log
from tests.disk import PAGE_BYTES, fill
from tests.frameworks.conformance.driver import Call, Driver, Script
from tests.frameworks.conformance.drivers import ways
from tests.frameworks.conformance.told import audited, ending, of_kind, play
from tests.frameworks.conformance.tools import asking, note, noting

SHORTEST_LINE_BYTES = 300


class Effect:
    """A tool's side effect, and a disk that can be filled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.happened = 0

    def fill(self) -> None:
        """Fill the disk, and the log's own last page."""
        audit = otel_audit.get_audit_logger("filler")
        while -self.path.stat().st_size % PAGE_BYTES > SHORTEST_LINE_BYTES:
            audit.emit("fill")
        fill(self.path.parent)

    def empty(self) -> None:
        """Make room again."""
        (self.path.parent / "filler").unlink(missing_ok=True)

    def asking(self) -> tuple[Call, ...]:
        """Have the tool called, with no room for its intent."""
        self.fill()
        return asking()

    def happen(self, text: str) -> str:
        """Do it."""
        self.happened += 1
        return text


@contextmanager
def small_disk(disk: Path, on_failure: str) -> Iterator[Effect]:
    """Audit on a small disk; the log is intact when there is room again."""
    path = disk / "audit.jsonl"
    provider = otel_audit.configure(path, on_failure=on_failure, durability="os")  # type: ignore[arg-type]
    effect = Effect(path)
    try:
        yield effect
    finally:
        effect.empty()
        otel_audit.get_audit_logger("test").emit("room.again")
        provider.shutdown()
    assert verify_log(path).errors == ()


@ways("full_disk_closed")
def test_full_disk_closed(driver: Driver, way: str, disk: Path, loop: asyncio.Runner) -> None:
    """Where there is no room for a tool's intent, the tool does not run, and the log has nothing of it."""
    with audited(driver), small_disk(disk, "closed") as effect:
        agent = driver.agent("clerk", Script(effect.asking, "done"), [noting(effect.happen)])
        told = ending(lambda: play(driver, way, agent, loop))
        assert effect.happened == 0
        assert told.startswith("raised")
    assert of_kind(read_log(effect.path), "tool", "note") == []


@ways("full_disk_open")
def test_full_disk_open(driver: Driver, way: str, disk: Path, loop: asyncio.Runner) -> None:
    """With failures open the tool runs, once, and the log declares what it lost when there is room again."""
    with audited(driver), small_disk(disk, "open") as effect:
        agent = driver.agent("clerk", Script(effect.asking, "done"), [noting(effect.happen)])
        assert ending(lambda: play(driver, way, agent, loop)).startswith("returned")
        assert effect.happened == 1
    lost = [entry.attributes["audit.dropped.count"] for entry in read_log(effect.path) if "dropped" in entry.event_name]
    assert sum(lost) >= 2  # type: ignore[arg-type]


@ways("full_disk_at_first")
def test_full_disk_at_first(driver: Driver, way: str, disk: Path, loop: asyncio.Runner) -> None:
    """Where there is no room when a run begins, no model is asked."""
    script = Script("done")
    with audited(driver), small_disk(disk, "closed") as effect:
        agent = driver.agent("clerk", script, [note])
        effect.fill()
        assert ending(lambda: play(driver, way, agent, loop)).startswith("raised")
    assert script.asked == 0
