"""Logs to verify, made of the fuzzer's bytes.

The first byte says how: 0, and the rest are the bytes of the files (`SEPARATOR` between them);
else the rest is a programme of decisions: which sound log, with what it is checked, how many edits,
and each edit: what somebody with an editor does (`tests.fuzz.edits`), or with a hash function and
perhaps the key (`tests.fuzz.forgeries`).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests import logs
from tests.fuzz.choices import Choices
from tests.fuzz.draft import Draft
from tests.fuzz.forgeries import EDITS
from tests.fuzz.reference_log import Given, segment_name

VECTORS = Path(__file__).parents[1] / "vectors" / "logs"
SEPARATOR = b"\0\0next file\0\0"
OTHER_KEY = b"another key of thirty-two bytes."
MAX_EDITS = 12
_MODES = ("chain", "hash", "none")

_SOUND = (
    *("sound", "keyed", "hash_sound", "none_sound", "segments_sound", "segments_keyed", "recovered", "recovered_twice"),
    *("recovered_first_line", "recovered_nul", "rotation_opened_recovered", "rotation_recovered", "sound_reopened"),
    *("sound_hostile_values", "sound_one_entry", "sound_unknown_lifecycle_event", "voided_entries", "dropped_entries"),
    *("intent_without_outcome", "clock_set_back", "rotation_finished", "checksum_edited", "segments_no_checksums"),
)


class Base(NamedTuple):
    """A log without errors."""

    name: str
    segments: tuple[tuple[bytes, ...], ...]
    checksums: bytes
    key: bytes | None
    mode: str

    @property
    def lines(self) -> list[bytes]:
        """All lines of all segments."""
        return [line for segment in self.segments for line in segment]

    @property
    def anchors(self) -> list[tuple[int, str]]:
        """The receipts of its entries."""
        found = []
        for line in self.lines:
            try:
                members = json.loads(line)
            except ValueError:
                continue
            if "hash" in members:
                found.append((members["seq"], members["hash"]))
        return found


@dataclass(frozen=True)
class Changed:
    """What is verified.

    Attributes:
        base: The log it was made from; None of raw bytes.
        forged: Somebody with the key sealed lines anew.
    """

    given: Given
    base: Base | None = None
    forged: bool = False
    read_bytes: int = 1 << 16
    command_line: bool = field(default=False)


@functools.cache
def bases() -> tuple[Base, ...]:
    """Return the logs that are changed."""
    key = b"k" * 32
    long = [Base(f"forty lines, {mode}", (tuple(logs.log(40, mode=mode)),), b"", None, mode) for mode in _MODES]
    long.append(Base("forty lines, keyed", (tuple(logs.log(40, key=key)),), b"", key, "chain"))
    # The long ones more often: in them, lines repeat, and go the quick ways.
    return (*long, *long, *long, *(_vector(name) for name in _SOUND))


def decode(data: bytes) -> Changed:
    """Return the log that an input stands for."""
    if data[:1] == b"\0":
        files = dict(enumerate(data[1:].split(SEPARATOR), 1))
        return Changed(Given(files, expected="none"), read_bytes=1 + len(data) // 7)
    choices = Choices(data[1:])
    base = bases()[choices.below(len(bases()))]
    settings, edits = (choices.below(256), choices.below(256)), choices.below(MAX_EDITS + 1)
    draft = Draft([list(lines) for lines in base.segments], base.checksums, base.mode, base.key, settings[1] >= 224)
    while choices.left and draft.done < edits:
        EDITS[choices.below(len(EDITS))](draft, choices)
        draft.done += 1
    return Changed(_given(base, draft, *settings), base, draft.forged, 64 << settings[0] % 8, settings[0] >= 240)


def raw(files: list[bytes]) -> bytes:
    """Return the input that stands for these files."""
    return b"\0" + SEPARATOR.join(files)


def _given(base: Base, draft: Draft, checked: int, anchored: int) -> Given:
    keys = (base.key, base.key, None, OTHER_KEY) if base.key else (None, None, None, OTHER_KEY)
    receipts = base.anchors
    anchors: list[tuple[int, str]] = []
    if anchored & 1 and receipts:
        anchors = [receipts[-1], receipts[anchored // 4 % len(receipts)]][: 1 + (anchored >> 1 & 1)]
    elif anchored & 2:
        anchors = [(1 + anchored // 4, f"{anchored:064x}")]
    return Given(
        draft.files(),
        draft.checksums,
        keys[checked >> 3 & 3],
        anchors,
        base.mode if checked >> 5 & 1 else _MODES[checked >> 6 & 1],
    )


def _vector(name: str) -> Base:
    folder = VECTORS / name
    options = json.loads((folder / "case.json").read_bytes())["options"]
    files: list[tuple[bytes, ...]] = []
    while (path := folder / segment_name(len(files) + 1)).exists():
        files.append(tuple(path.read_bytes().split(b"\n")[:-1]))
    sums, key = folder / "audit.sha256", folder / "hmac.key"
    return Base(
        name,
        tuple(files),
        sums.read_bytes() if sums.exists() else b"",
        key.read_bytes().removesuffix(b"\n") if key.exists() else None,
        options.get("integrity", "chain"),
    )
