"""Every system call on a log × every fault that it can meet: one case each."""

from __future__ import annotations

import dataclasses
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from tests.faults import strace
from tests.faults.aftermath import Aftermath, judge
from tests.faults.operations import Operation, traced_paths
from tests.faults.strace import FOR_GOOD, KILL_AFTER, KILL_BEFORE, Call
from tests.faults.victim import ROOT, Behind

_ALWAYS: Final = ("EIO", "ENOSPC", "EINTR", "ESTALE", "EBADF", f"EIO{FOR_GOOD}", KILL_BEFORE, KILL_AFTER)
_WRITING: Final = ("EDQUOT", "EROFS")
_MORE: Final = {
    "openat": (*_WRITING, "EACCES", "EMFILE"),
    "flock": ("ENOLCK",),
    "write": (*_WRITING, "EFBIG", f"ENOSPC{FOR_GOOD}"),
    "fdatasync": _WRITING,
    "fsync": _WRITING,
}
_SHORT: Final[tuple[tuple[float, Behind], ...]] = tuple(
    (taken, behind) for taken in (0.0, 0.5, 1.0) for behind in ("accepted", "refused", "killed")
)
_SHORT_PREFIX: Final = "short write, "
_ERRORS: Final = {"EIO", "ENOSPC", "EDQUOT", "EROFS", "ESTALE", "EBADF", "EFBIG"}
_TRIED_AGAIN: Final = {"flock", "pread64", "write", "fdatasync", "fsync"}
"""Calls that a signal can interrupt, and that Python then makes once more."""


@dataclass(frozen=True)
class Case:
    """One call of one operation that meets one fault.

    Attributes:
        taken: The part of a short write that the kernel takes.
    """

    operation: Operation
    call: Call
    fault: str
    taken: float = 0.5

    def run(self) -> Aftermath:
        """Run the victim into the fault, and judge what it left behind.

        Raises:
            LookupError: The fault did not come about.
        """
        first, last = strace.DELAYS_MICROSECONDS
        try:
            return self._run(first)
        except LookupError:
            return self._run(last)

    def _run(self, delay_microseconds: int) -> Aftermath:
        with tempfile.TemporaryDirectory(prefix="otel-audit-") as folder:
            path = Path(folder).resolve() / "a.jsonl"
            self.operation.prepare(path)
            out, crash = self._strike(path, delay_microseconds)
            aftermath = judge(path, out, self.operation.max_segment_bytes)
        if crash:
            aftermath.stopped.append(crash)
        aftermath.mistold += self.mistold(out)
        return aftermath

    def mistold(self, out: str) -> Iterator[str]:
        """Yield what the victim was told, or not told, against the facts; of one that lived on."""
        if self.fault in {KILL_BEFORE, KILL_AFTER, f"{_SHORT_PREFIX}killed"}:
            return
        told = [line for line in out.splitlines() if not line.endswith(" close")]
        if len(told) != self.operation.records:
            yield f"expected {self.operation.records} answers, got {len(told)}"
        refused = "no " in out
        if self.fault == "EINTR" and self.call.name in _TRIED_AGAIN and refused and not self.operation.given:
            yield "refused after a call that was only interrupted"
        if self.call.name in {"write", "fdatasync"} and self.fault.partition(" ")[0] in _ERRORS and not refused:
            yield "nobody was told of the failure"

    def _strike(self, path: Path, delay_microseconds: int) -> tuple[str, str]:
        """Return what the victim printed, and how it ended where that must not be."""
        victim = self.operation.victim(path)
        if self.fault.startswith(_SHORT_PREFIX):
            behind = cast(Behind, self.fault.removeprefix(_SHORT_PREFIX))
            short = dataclasses.replace(victim, short_write=self.call.number, taken=self.taken, behind=behind)
            done = subprocess.run(short.command(), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
            ended_well = done.returncode < 0 if behind == "killed" else done.returncode == 0
            return done.stdout, "" if ended_well else f"ended with {done.returncode}: {done.stderr}"
        given = self.operation.given
        traced = strace.fail(victim.command(), traced_paths(path), self.call, self.fault, given, delay_microseconds)
        killed = self.fault in {KILL_BEFORE, KILL_AFTER}
        return traced.out, "" if killed or traced.returncode == 0 else f"ended with {traced.returncode}: {traced.error}"

    def __str__(self) -> str:
        return f"{self.operation.name}: {self.call.name} {self.call.number}: {self.fault} ({self.taken})"


def faults_of(name: str) -> tuple[str, ...]:
    """Return the faults that a system call meets, short writes apart."""
    return (*_ALWAYS, *_MORE.get(name, ()))


def cases(operation: Operation) -> Iterator[Case]:
    """Yield every case of an operation, having run it once without a fault."""
    with tempfile.TemporaryDirectory(prefix="otel-audit-") as folder:
        path = Path(folder).resolve() / "a.jsonl"
        operation.prepare(path)
        traced = strace.trace(operation.victim(path).command(), traced_paths(path), operation.given)
    if traced.returncode or (not operation.given and "no " in traced.out):
        raise RuntimeError(f"{operation.name}: expected a run without a fault, got {traced.out} {traced.error}")
    for call in traced.calls():
        if call.name not in operation.calls:
            continue
        for fault in faults_of(call.name):
            yield Case(operation, call, fault)
        if call.name == "write" and not operation.given:
            for taken, behind in _SHORT:
                yield Case(operation, call, f"{_SHORT_PREFIX}{behind}", taken)
