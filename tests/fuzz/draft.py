"""A log while it is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fuzz.choices import Choices

MAX_BYTES = 3 << 20
MAX_LINES = 2500
MAX_LINES_MOSTLY = 250


@dataclass
class Draft:
    """A log while it is changed.

    Attributes:
        tails: Bytes behind the last LF of each segment, by index.
        large: It may grow to `MAX_LINES`, which takes long to verify.
        forged: Somebody with the key sealed lines anew.
        done: How many edits so far.
    """

    segments: list[list[bytes]]
    checksums: bytes
    mode: str
    key: bytes | None
    large: bool = False
    tails: dict[int, bytes] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    forged: bool = False
    done: int = 0

    def files(self) -> dict[int, bytes]:
        """Return the segments that there are, by number."""
        return {
            index + 1: b"".join(line + b"\n" for line in lines) + self.tails.get(index, b"")
            for index, lines in enumerate(self.segments)
            if index not in self.missing
        }

    def room(self, size: int, lines: int = 1) -> bool:
        """Return whether so much more may be added."""
        held = sum(len(line) for each in self.segments for line in each)
        most = MAX_LINES if self.large else MAX_LINES_MOSTLY
        return held + size <= MAX_BYTES and sum(map(len, self.segments)) + lines <= most


Edit = Callable[[Draft, Choices], None]


def place(draft: Draft, choices: Choices) -> tuple[list[bytes], int]:
    """Return the lines of a segment, and an index among them (0 where there are none)."""
    lines = draft.segments[choices.below(len(draft.segments))]
    return lines, choices.below(len(lines))
