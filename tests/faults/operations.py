"""What the victims do when a call fails: an append, a rotation, and what comes after a failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.strace import CALLS
from tests.faults.victim import Victim
from tests.ledgers import draft, ledger

_SEGMENT_BYTES = 64 * 1024


@dataclass(frozen=True)
class Operation:
    """A log as it was found, and a victim that opens it and writes to it.

    Attributes:
        name: For the table.
        prepare: Makes what stands there before.
        records: How many the victim emits, each of ``filler_bytes``.
        max_segment_bytes: 0: one segment.
        given: Injections that stand in any case.
        calls: The system calls that are made to fail.
    """

    name: str
    prepare: Callable[[Path], object]
    records: int
    filler_bytes: int = 0
    max_segment_bytes: int = 0
    given: tuple[str, ...] = ()
    calls: tuple[str, ...] = CALLS

    def victim(self, path: Path) -> Victim:
        """Return the process that does it."""
        return Victim(str(path), self.records, self.filler_bytes, self.max_segment_bytes)


def traced_paths(path: Path) -> list[Path]:
    """Return the log's folder and files, those that are still to come among them."""
    later = [path.with_name(f"{path.stem}.{number:06d}.jsonl") for number in (2, 3)]
    return [path.parent, path, *later, path.with_suffix(".sha256")]


def _nothing(path: Path) -> None:
    """Leave the folder empty."""


def _torn(path: Path) -> None:
    """Leave a log whose last line was cut in the middle."""
    one = ledger(path)
    for _ in range(3):
        one.append(draft())
    one.close()
    data = path.read_bytes()
    path.write_bytes(data[:-100])


def _rotation_cut_short(path: Path) -> None:
    """Leave a log whose writer was killed when it had written ``rotated``."""
    one = ledger(path)
    one.append(draft())
    one.rotate()
    one.close()
    path.with_name(f"{path.stem}.000002.jsonl").write_bytes(b"")
    path.with_suffix(".sha256").unlink()


OPERATIONS = (
    Operation("append to a new log", _nothing, 3),
    Operation("rotation", _nothing, 4, filler_bytes=28_000, max_segment_bytes=_SEGMENT_BYTES),
    Operation("opening after a torn write", _torn, 2),
    Operation("opening in the middle of a rotation", _rotation_cut_short, 2),
    Operation(
        "opening again after a failed sync",
        _nothing,
        3,
        given=("fdatasync:error=EIO:when=2",),  # strace takes one injection a call
        calls=tuple(name for name in CALLS if name != "fdatasync"),
    ),
)
