"""What a fault left behind: nothing acknowledged is lost, every byte is explained, others go on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from otel_audit import verify_log
from tests.chain import Line, check_log
from tests.faults.victim import Victim, emit
from tests.ledgers import in_child


@dataclass
class Aftermath:
    """What is wrong with a log, and what is worth knowing of it.

    Attributes:
        lost: Receipts whose entry does not stand in the log, byte for byte, or is declared void.
        unexplained: Errors of the verifier, and what a check of the bytes by hand found.
        undeclared: Refused records that stand in the log and that no ``audit.log.voided`` names,
            though their own process went on and had a later one acknowledged.
        stopped: What kept the next process from going on.
        mistold: A failure that nobody was told of, or a refusal where nothing failed.
        notes: Kinds of the findings that are no errors.
    """

    lost: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    mistold: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """All that must not be."""
        return [*self.lost, *self.unexplained, *self.undeclared, *self.stopped, *self.mistold]


def judge(path: Path, out: str, max_segment_bytes: int = 0) -> Aftermath:
    """Have a new process append one record to a log, then look at all of it.

    Args:
        out: What the victims before printed; a last line without LF does not count.
    """
    aftermath = Aftermath()
    following = in_child(lambda: _emit_one(path, max_segment_bytes))
    if not following.startswith("ok ") or "no " in following:
        aftermath.stopped.append(following)
    report = verify_log(path)
    aftermath.unexplained += map(str, report.errors)
    aftermath.notes += [finding.kind for finding in report.findings if finding.severity != "error"]
    try:
        lines = check_log(path)
    except AssertionError as error:
        aftermath.unexplained.append(f"by hand: {error}")
        return aftermath
    aftermath.unexplained += _wrong_checksums(path)
    _compare(aftermath, lines, out[: out.rfind("\n") + 1].splitlines(), following.splitlines())
    return aftermath


def _emit_one(path: Path, max_segment_bytes: int) -> str:
    said: list[str] = []
    emit(Victim(str(path), 1, max_segment_bytes=max_segment_bytes), said.append)
    return "\n".join(said)


def _compare(aftermath: Aftermath, lines: list[Line], said: list[str], following: list[str]) -> None:
    """Compare the log with what was said of each record, by the victim and by the next process."""
    standing = {f"{line.seq}:{line.hash}": line for line in lines}
    seqs = {line.attributes["audit.record.id"]: line.seq for line in lines}
    voided = set(_voided(lines))
    later = False  # only the process that was refused can know of it
    for line in [*following, *reversed(said)]:
        word, what, record_id = line.split()
        if word == "ok":
            later = later or line in said
            entry = standing.get(what)
            if entry is None or entry.attributes["audit.record.id"] != record_id:
                aftermath.lost.append(f"{what} {record_id}")
            elif entry.seq in voided:
                aftermath.lost.append(f"{what} is declared void")
        elif later and record_id in seqs and seqs[record_id] not in voided:
            aftermath.undeclared.append(f"refused with {what}, but stands: seq {seqs[record_id]}")


def _voided(lines: Iterable[Line]) -> Iterable[int]:
    for line in lines:
        if line.name == "audit.log.voided":
            yield from range(line.attributes["audit.voided.first"], line.attributes["audit.voided.last"] + 1)


def _wrong_checksums(path: Path) -> Iterable[str]:
    """Check ``NAME.sha256`` as `sha256sum -c` does: lines that are none are passed over."""
    file = path.with_suffix(".sha256")
    for line in file.read_text().splitlines() if file.exists() else ():
        digest, _, name = line.partition("  ")
        if len(digest) == 64 and name:
            if hashlib.sha256(path.with_name(name).read_bytes()).hexdigest() != digest:
                yield f"{file.name} differs from {name}"
