"""A log read in parts gets the very report of the log read in one piece, wherever the parts meet."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.errors import AuditVerifyError
from otel_audit.key_file import read_key
from otel_audit.log_files import find_log
from otel_audit.verify.anchors import parse_anchor
from otel_audit.verify.report import VerifyReport
from otel_audit.verify.scan import Scan
from otel_audit.verify.segment import Checksums, Segment, line_start, segment_sha256
from otel_audit.verify.start import Start
from otel_audit.verify.stitch import Stitches
from otel_audit.verify.unit import Reader, Terms, Unit, units
from otel_audit.verify.verifier import verify
from tests import logs

LOGS: Final = sorted((Path(__file__).parents[1] / "vectors" / "logs").iterdir())
NOW: Final = "2026-11-22T00:00:00.500000000Z"
Verified = Callable[[Callable[[Terms, Start], Scan | None] | None], VerifyReport]


@dataclass
class Apart:
    """Reads a log in units that meet at some bytes of one of its segments, or in units of so many bytes.

    Attributes:
        enough: Whether that was enough: nothing was out of the ordinary.
    """

    segments: Sequence[Segment]
    checksums: Checksums
    cuts: Sequence[int] = ()
    segment: int = 0
    size: int = 1 << 30
    enough: bool = False

    def __call__(self, terms: Terms, start: Start) -> Scan | None:
        """Read it."""
        stitches, reader = Stitches(self.segments, terms, start, self.checksums.digests), Reader(terms)
        for unit in self.units():
            if not stitches.add(unit, reader.read(self.segments[unit.segment], unit)):
                return None
        scan = stitches.scan
        for number, segment in enumerate(self.segments):
            if scan.wants_digest(number):
                scan.digests[number] = segment_sha256(segment)
        self.enough = True
        return scan

    def units(self) -> Iterator[Unit]:
        """Yield the units."""
        for unit in units(self.segments, Start(), self.size):
            cuts = [c for c in self.cuts if unit.start < c < unit.stop] if unit.segment == self.segment else []
            for start, stop in zip([unit.start, *cuts], [*cuts, unit.stop], strict=True):
                yield Unit(unit.segment, start, stop)


def in_memory(segments: Sequence[Sequence[bytes]], read_bytes: int = 1 << 16) -> list[Segment]:
    """Return a log that is in no file."""

    def segment(number: int, data: bytes) -> Segment:
        name = logs.names_of(number)[-1]
        return Segment(name, name, number, len(data), lambda at, n: data[at : at + min(n, read_bytes)])

    return [segment(number, logs.join(lines)) for number, lines in enumerate(segments, 1)]


def verified(segments: Sequence[Segment], checksums: Checksums | None = None, **more: Any) -> Verified:
    """Return what verifies a log, in one piece or with a way to read it apart."""
    path = segments[0].path
    return lambda apart: verify(
        segments,
        path=path,
        first_name="audit.jsonl",
        checksums=checksums,
        now=NOW,
        read_apart=apart,
        **more,
    )


@pytest.mark.parametrize("chain_only", [False, True], ids=["all", "chain-only"])
@pytest.mark.parametrize("folder", LOGS, ids=lambda folder: folder.name)
def test_a_border_at_every_byte(folder: Path, chain_only: bool) -> None:
    """Every log of the vectors, cut in two at every byte, gets the report that it gets in one piece."""
    options = json.loads((folder / "case.json").read_bytes())["options"]
    key = read_key(folder / options["hmac_key_file"], AuditVerifyError) if "hmac_key_file" in options else None
    log = find_log(folder / "audit.jsonl")
    checksums = log.checksums()
    with contextlib.ExitStack() as stack:
        segments = log.open(stack, patient=False)
        if not segments:
            return
        judged = verified(
            segments,
            checksums,
            key=key,
            anchors=[parse_anchor(anchor) for anchor in options.get("anchors", ())],
            expected_integrity=options.get("integrity", "chain"),
            chain_only=chain_only,
        )
        whole = judged(None)
        for number, segment in enumerate(segments):
            data = segment.read(0, segment.size_bytes)
            ends = [at + 1 for at, byte in enumerate(data) if byte == 10]
            met = set()
            for cut in range(len(data) + 1):
                border = line_start(segment, cut)
                assert border == (0 if cut == 0 else next((end for end in ends if end >= cut), len(data)))
                # Borders within one line are one and the same, as the line above says.
                if border not in met:
                    met.add(border)
                    assert judged(Apart(segments, checksums, [cut], number)) == whole
        assert judged(Apart(segments, checksums, size=100)) == whole


SOUND: Final[dict[str, dict[str, Any]]] = {
    "chain": {"mode": "chain"},
    "keyed": {"mode": "chain", "key": b"a key of 16 bytes or more"},
    "hash": {"mode": "hash"},
    "none": {"mode": "none"},
}


@pytest.mark.parametrize("chain_only", [False, True], ids=["all", "chain-only"])
@pytest.mark.parametrize("name", SOUND)
@given(st.integers(500, 90_000), st.integers(1500, 1 << 16))
def test_a_sound_log_needs_nothing_but_its_parts(name: str, chain_only: bool, size: int, read_bytes: int) -> None:
    """Units of any length are enough for a sound log of several segments, and give the report of the whole."""
    how = SOUND[name]
    segments = in_memory(logs.segments((24, 31, 2, 27), **how), read_bytes)
    judged = verified(segments, key=how.get("key"), expected_integrity=how["mode"], chain_only=chain_only)
    apart = Apart(segments, Checksums("", {}), size=size)
    report = judged(apart)
    assert report == judged(None)
    assert apart.enough
    assert report.entries == 84
    assert not report.errors


IDS: Final = tuple(f"0b1c2d3e-0000-4000-8000-{number:012}" for number in range(3))


@given(
    st.lists(st.tuples(st.sampled_from(["intent", "outcome"]), st.sampled_from(IDS)), min_size=1, max_size=12),
    st.sets(st.integers(1, 12)),
)
def test_intents_and_outcomes_meet_over_borders(acts: list[tuple[str, str]], borders: set[int]) -> None:
    """Intents and outcomes, doubled and in any order, are matched over borders as they are in one piece."""
    members = [logs.opened()]
    for seq, (phase, record_id) in enumerate(acts, 2):
        own = {"audit.record.id": record_id} if phase == "intent" else {"audit.intent.id": record_id}
        members.append(logs.entry(seq, **{"audit.phase": phase}, **own))
    lines = list(logs.chain(members))
    segments = in_memory([lines])
    cuts = [len(logs.join(lines[:border])) for border in sorted(borders) if border < len(lines)]
    judged = verified(segments)
    assert judged(Apart(segments, Checksums("", {}), cuts)) == judged(None)


def test_usual_intents_are_matched_without_reading_again() -> None:
    """An intent in one part and its outcome in the next are nothing out of the ordinary."""
    intents = [logs.entry(2, **{"audit.phase": "intent"}), logs.entry(3, **{"audit.phase": "intent"})]
    outcome = logs.entry(4, **{"audit.phase": "outcome", "audit.intent.id": logs.record_id(2)})
    lines = list(logs.chain([logs.opened(), *intents, outcome]))
    segments = in_memory([lines])
    apart = Apart(segments, Checksums("", {}), [len(logs.join(lines[:3]))])
    report = verified(segments)(apart)
    assert apart.enough
    assert [(f.kind, f.line, f.seq) for f in report.findings] == [("intent_without_outcome", 3, 3)]
    assert [action.seq for action in report.unfinished] == [3]


def test_a_clock_set_back_at_a_border_is_found() -> None:
    """That the first line of a part is older than the last of the part before is found as anywhere else."""
    late = {**logs.entry(2), "observed_time": "2026-11-23T00:00:00.000000000Z"}
    lines = list(logs.chain([logs.opened(), late, logs.entry(3)]))
    segments = in_memory([lines])
    report = verified(segments)(Apart(segments, Checksums("", {}), [len(logs.join(lines[:2]))]))
    assert [(f.kind, f.line) for f in report.findings] == [("clock_backwards", 3)]
