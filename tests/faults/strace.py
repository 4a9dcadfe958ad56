"""Runs a process under `strace`, and has one of its system calls on a log fail, or kills it there.

An injected error takes the place of the call: the kernel does not make it. SIGKILL before a call
comes at its entry, and the call is not made; SIGKILL after it comes when it has been made and has
not returned yet.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CALLS: Final = (
    *("openat", "flock", "newfstatat", "lseek", "pread64", "write", "fdatasync", "fsync", "close"),
    *("fadvise64", "getdents64"),
)
KILL_BEFORE: Final = "SIGKILL before"
KILL_AFTER: Final = "SIGKILL after"
FOR_GOOD: Final = " for good"
"""Ends the name of an error that every later call of the kind meets, too."""
EVERY_THIRD: Final = " every third time"
"""Ends the name of one that every third of the later calls meets."""

DELAYS_MICROSECONDS: Final = (150_000, 3_000_000)
"""How long a process to be killed behind a call is held there: a busy machine may need longer."""

_LINE: Final = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<rest>.*)")
_TIMEOUT_SECONDS: Final = 30


@dataclass(frozen=True, order=True)
class Call:
    """One system call on a file of the log: the ``number``-th of its name, from 1."""

    name: str
    number: int


@dataclass(frozen=True)
class Traced:
    """What a traced process did.

    Attributes:
        out: What it printed.
        error: What it printed to stderr.
        returncode: Of `strace`, which ends as the process did.
        lines: The trace.
    """

    out: str
    error: str
    returncode: int
    lines: tuple[str, ...]

    def calls(self) -> Iterator[Call]:
        """Yield the system calls, in order."""
        numbers: Counter[str] = Counter()
        for line in self.lines:
            match = _LINE.match(line)
            if match is not None:
                numbers[match["call"]] += 1
                yield Call(match["call"], numbers[match["call"]])


def available() -> bool:
    """Whether this machine lets a process be traced."""
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
    )


def trace(command: Sequence[str], paths: Iterable[Path], injections: Sequence[str] = ()) -> Traced:
    """Run a command to its end, tracing its calls on these paths."""
    reader, writer = os.pipe()
    options = [option for injection in injections for option in ("-e", f"inject={injection}")]
    options += [option for path in paths for option in ("-P", str(path))]
    process = subprocess.Popen(
        ["strace", "-f", "-s", "16", "-o", f"/dev/fd/{writer}", "-e", f"trace={','.join(CALLS)}", *options, *command],
        pass_fds=[writer],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    lines = []
    try:
        with open(reader, encoding="utf-8", errors="replace") as file:
            for line in file:
                lines.append(line)
                if "(DELAYED)" in line and "delay_exit" in "".join(injections):
                    os.kill(int(line.split()[0]), signal.SIGKILL)
        out, error = process.communicate(timeout=_TIMEOUT_SECONDS)
    finally:
        process.kill()
    return Traced(out, error, process.returncode, tuple(lines))


def fail(
    command: Sequence[str], paths: Iterable[Path], call: Call, fault: str, given: Sequence[str], delay_microseconds: int
) -> Traced:
    """Run a command and have one call meet a fault.

    Args:
        fault: The name of an error, alone or with ``FOR_GOOD`` or ``EVERY_THIRD``; ``KILL_BEFORE`` or
            ``KILL_AFTER``.
        given: Injections that stand in any case.
        delay_microseconds: One of ``DELAYS_MICROSECONDS``.

    Raises:
        LookupError: The call was not made, or the fault did not come about, or too late.
    """
    if fault == KILL_BEFORE:
        injection = f"{call.name}:signal=KILL:when={call.number}"
    elif fault == KILL_AFTER:
        injection = f"{call.name}:delay_exit={delay_microseconds}:when={call.number}"
    else:
        many = "+" if fault.endswith(FOR_GOOD) else "+3" if fault.endswith(EVERY_THIRD) else ""
        injection = f"{call.name}:error={fault.partition(' ')[0]}:when={call.number}{many}"
    traced = trace(command, paths, (*given, injection))
    text = "".join(traced.lines)
    if fault in {KILL_BEFORE, KILL_AFTER}:
        came = "killed by SIGKILL" in text and list(traced.calls())[-1] == call
    else:
        came = "(INJECTED)" in text
    if not came:
        raise LookupError(f"expected {fault} at {call}, got {text[-300:]!r}")
    return traced
