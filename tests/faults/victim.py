"""A process that writes to a log and says at once what it was told of each record.

``python -m tests.faults.victim OPTIONS`` with the options of `Victim` as JSON. It prints, per
record, ``ok SEQ:HASH RECORD_ID`` for a receipt and ``no ERROR_TYPE RECORD_ID`` for a refusal; any
other end is a traceback and an exit code. It goes on after a refusal, as an application does.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from otel_audit.attributes import audit_attributes
from otel_audit.environment import file_settings
from otel_audit.errors import AuditError
from otel_audit.ledger import Ledger
from otel_audit.line import encode
from otel_audit.record import Actor

ROOT = Path(__file__).parent.parent.parent

Behind = Literal["", "accepted", "refused", "killed"]


@dataclass(frozen=True)
class Victim:
    """What the process does.

    Attributes:
        path: The log; durability is ``always``.
        records: How many it emits, each with ``filler_bytes`` in an attribute.
        max_segment_bytes: 0: one segment.
        short_write: The number of the write of which the kernel takes only ``taken`` (a part of
            it; at least one byte, and not all), by a limit on the size of files; 0: none.
        behind: What becomes of the write of the rest.
    """

    path: str
    records: int
    filler_bytes: int = 0
    max_segment_bytes: int = 0
    short_write: int = 0
    taken: float = 0.5
    behind: Behind = ""

    def command(self) -> list[str]:
        """Return the command that runs it."""
        return [sys.executable, "-m", "tests.faults.victim", json.dumps(dataclasses.asdict(self))]


def emit(victim: Victim, say: Callable[[str], object]) -> None:
    """Emit the records; say of each what became of it."""
    settings = file_settings({}, victim.path, max_segment_bytes=victim.max_segment_bytes or None, durability="always")
    one = Ledger(settings, lambda: ("victim", {"service.name": "victim"}, {}), "0.0.0")
    for _ in range(victim.records):
        record_id = str(uuid.uuid4())
        attributes = audit_attributes(record_id, Actor("agent", "service"), "EXECUTE", "success")
        attributes["filler"] = "x" * victim.filler_bytes
        try:
            ticket = one.append(encode(b'"victim.event"', time.time_ns(), attributes, b""))
        except AuditError as error:
            say(f"no {type(error).__name__} {record_id}")
        else:
            say(f"ok {ticket.seq}:{ticket.hash} {record_id}")
    try:
        one.close()
    except AuditError as error:
        say(f"no {type(error).__name__} close")


def cut_short(victim: Victim) -> None:
    """Have the kernel take only a part of one write: files may not grow beyond that."""
    write, writes = os.write, 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if victim.behind == "killed":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    def limited(fd: int, data: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes == victim.short_write:
            taken = min(max(1, int(len(data) * victim.taken)), len(data) - 1)
            _limit_file_size(os.fstat(fd).st_size + taken)
            if victim.behind == "accepted":
                try:
                    return write(fd, data)
                finally:
                    _limit_file_size(resource.RLIM_INFINITY)
        if writes == victim.short_write + 1:
            try:
                return write(fd, data)
            finally:
                _limit_file_size(resource.RLIM_INFINITY)
        return write(fd, data)

    os.write = limited  # type: ignore[assignment]


def _limit_file_size(size_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def main(victim: Victim) -> None:
    """Do as told on the command line; say it on stdout, by one `write` a line."""
    write = os.write
    if victim.short_write:
        cut_short(victim)
    emit(victim, lambda line: write(1, f"{line}\n".encode()))


if __name__ == "__main__":
    main(Victim(**json.loads(sys.argv[1])))
