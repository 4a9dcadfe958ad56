"""A log as long as a real one, in a minute: what agents of a shop do, hour after hour.

``python -m tests.benchmarks.real_log COUNT FOLDER`` writes ``FOLDER/audit.jsonl`` and its further segments.

Of a million entries: 670 bytes in the middle, 200 actors and the service itself, four processes that
write in turn. Nearly half of the entries stand in 50,000 traces, the others are of background work; a
third are intents and their outcomes, a few outcomes are failures, some gates block, and of what is
traced most is done for somebody, a third of that through another agent. Now and then a process ends
and another comes; every second one is killed, and the actions it was at have no outcome.
The same count always gives the same bytes. Nothing here is synced: it is no ledger.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from otel_audit import __version__, semconv
from otel_audit.chain import GENESIS
from otel_audit.ledger.lifecycle import Closed, Lifecycle
from otel_audit.line import Draft, format_time, seal
from otel_audit.segment_name import checksum_name, segment_name

NAME: Final = "audit.jsonl"
ACTORS: Final = 200
SEGMENTS: Final = 4
STREAM_ID: Final = "3c0d2b8e-6a41-4d52-9f57-5b9f0a7c1e22"

_START_NS: Final = 1_772_409_600_000_000_000  # 2026-03-02, a Monday
_MEAN_GAP_NS: Final = 400_000_000
_WRITERS: Final = 4
_SESSIONS: Final = 10  # at once, of each writer
_TRACED: Final = 4  # of them
_ENTRIES_PER_TRACE: Final = 8
_CHANGES: Final = 8  # of a writer for another
_BLOCK_LINES: Final = 512
_USERS: Final = [f"user:{name}" for name in ("ana", "björn", "chloe", "emeka", "fatima", "hiro", "ines", "li")]


class _Kind(NamedTuple):
    """What is done: how often, and the parts of a line that say so."""

    weight: int
    event_name: bytes
    action: bytes
    target: bytes  # how its id is spelled
    target_type: bytes
    targets: int  # how many of them there are
    own: bytes = b""
    arguments: bytes = b""  # of an intent; without them it is a record by itself
    decision: bool = False
    scope: bytes = b""


_KINDS: Final = (
    _Kind(26, b"ticket.read", b"READ", b"T-%d", b"ticket", 40_000, b',"lines":%d'),
    _Kind(12, b"order.read", b"READ", b"O-2026-%06d", b"order", 300_000, b',"order.lines":%d'),
    _Kind(
        10,
        semconv.EVENT_MODEL_CALL.encode(),
        b"EXECUTE",
        b"large-%d",
        b"model",
        3,
        b',"gen_ai.usage.input_tokens":%d',
    ),
    _Kind(8, b"file.write", b"WRITE", b"reports/2026/%05d.pdf", b"file", 90_000, b',"file.size":%d'),
    _Kind(4, b"customer.update", b"UPDATE", b"C-%d", b"customer", 80_000, b"", scope=b',"scope":{"name":"shop.crm"}'),
    _Kind(
        14,
        semconv.EVENT_TOOL_EXECUTE.encode(),
        b"EXECUTE",
        b"search_orders_%d",
        b"tool",
        12,
        b',"gen_ai.tool.name":"search","gen_ai.tool.call.id":"call_%08x"',
        b'{"query":"open orders","limit":%d}',
    ),
    _Kind(6, b"order.refund", b"EXECUTE", b"O-2026-%06d", b"order", 300_000, b"", b'{"amount":%d,"currency":"EUR"}'),
    _Kind(4, b"mail.send", b"EXECUTE", b"C-%d", b"customer", 80_000, b"", b'{"template":"refund","number":%d}'),
    _Kind(5, b"gate.decision", b"APPROVE", b"refund-limit-%d", b"gate", 5, b"", decision=True),
)
_SINGLE: Final = [kind for kind in _KINDS for _ in range(kind.weight) if not kind.arguments]
_ANY: Final = [*_SINGLE, *(kind for kind in _KINDS for _ in range(4 * kind.weight) if kind.arguments)]
_ERRORS: Final = (b"TimeoutError", b"PermissionError", b"ValueError", b"shop.errors.OrderNotFound")


@dataclass(slots=True)
class _Session:
    """What one agent does in a row: in which trace, for whom, and the intent that waits for its outcome."""

    trace_id: bytes  # empty: outside of any span
    actor: bytes
    delegation: bytes
    left: int
    pending: tuple[_Kind, bytes, bytes, bytes, int] | None = None


@dataclass(slots=True)
class _Process:
    """A writer: its lifecycle, what its lines say of it, and what it is at."""

    lifecycle: Lifecycle
    resource: bytes
    entries: int = 0
    sessions: list[_Session] = field(default_factory=list)


class _Log:
    """The log that is written."""

    def __init__(self, folder: Path, count: int, first_name: str) -> None:
        self.random = random.Random(count)
        self.folder, self.first_name, self.count = folder, first_name, count
        self.per_segment = max(16, -(-count // SEGMENTS))
        self.seq, self.prev, self.now = 0, GENESIS, _START_NS
        self.number, self.size, self.sha256, self.lines = 0, 0, hashlib.sha256(), list[bytes]()
        self.agents = [b"agent-%03d" % number for number in range(ACTORS * 3 // 4)]
        self.users = [f"{_USERS[n % len(_USERS)]}.{n}".encode() for n in range(ACTORS - len(self.agents))]
        self.processes: list[_Process] = []

    def write(self) -> None:
        self._begin_segment(None)
        self.processes = [self._process(pid) for pid in range(4711, 4711 + _WRITERS)]
        change = max(1, self.count // (_CHANGES + 1))
        due, pick = change, self.random.randrange
        while self.seq < self.count:
            if self.seq + 1 >= self.number * self.per_segment and self.seq + 3 < self.count:
                self._rotate()
            elif self.seq >= due and self.seq + _SESSIONS + 2 <= self.count:
                self._change_writer(due // change)
                due += change
            else:
                process = self.processes[pick(_WRITERS)]
                self._entry(process, pick(_SESSIONS))
        self._flush()
        self.file.close()

    def _entry(self, process: _Process, index: int) -> None:
        """Write the next entry of a session."""
        session = process.sessions[index]
        if session.left <= 0 and session.pending is None:
            session = process.sessions[index] = self._session(index)
        session.left -= 1
        bits, chance = self.random.getrandbits, self.random.random()
        record_id = _uuid(bits(128))
        self.now += int(2 * _MEAN_GAP_NS * chance)
        happened = self.now - 40_000 - (bits(18) & 0x3FFFF)
        rest, severity = b"", b""
        if session.pending is not None:
            kind, intent_id, target, span_id, began = session.pending
            session.pending = None
            failed = chance < 0.03
            outcome = b"failure" if failed else b"success"
            duration = repr(max(1_000_000, happened - began) / 1e9).encode()
            rest = b',"audit.phase":"outcome","audit.intent.id":"%b"%b,"audit.duration":%b' % (
                intent_id,
                session.delegation,
                duration,
            )
            if failed:
                rest += b',"error.type":"%b"' % _ERRORS[bits(2)]
                severity = b',"severity_text":"ERROR","severity_number":17'
        else:
            kind = self.random.choice(_ANY if session.trace_id and session.left > 0 else _SINGLE)
            target, span_id, outcome = kind.target % (bits(24) % kind.targets), b"%016x" % (bits(63) + 1), b"success"
            if kind.arguments:
                session.pending = (kind, record_id, target, span_id, happened)
                outcome = b"unknown"
                arguments = kind.arguments % bits(9)
                rest = b',"audit.phase":"intent"%b,"audit.arguments":%b' % (session.delegation, arguments)
            elif kind.decision:
                blocked = chance < 0.15
                decision, reason = (b"block", b"amount over the limit") if blocked else (b"allow", b"within the limit")
                rest = b',"audit.decision":"%b","audit.reason":"%b","audit.trail":"refunds"%b' % (
                    decision,
                    reason,
                    session.delegation,
                )
                severity = b',"severity_text":"WARN","severity_number":13' if blocked else b""
            else:
                rest = session.delegation
        if kind.own:
            rest += kind.own % bits(11)
        trace = b""
        if session.trace_id:
            trace = b',"trace_id":"%b","span_id":"%b","trace_flags":"01"' % (session.trace_id, span_id)
        before = (
            b',"time":"%b","event_name":"%b"%b,"attributes":{"audit.record.id":"%b",%b,"audit.action":"%b",'
            b'"audit.outcome":"%b","audit.target.id":"%b","audit.target.type":"%b","audit.schema.version":"1.0.0"%b}%b'
        ) % (
            format_time(happened),
            kind.event_name,
            severity,
            record_id,
            session.actor,
            kind.action,
            outcome,
            target,
            kind.target_type,
            rest,
            trace,
        )
        process.entries += 1
        self._append(Draft("", happened, before, process.resource + kind.scope))

    def _session(self, index: int) -> _Session:
        pick = self.random.randrange
        left = pick(_ENTRIES_PER_TRACE // 2, _ENTRIES_PER_TRACE * 3 // 2 + 1)
        user, agent = self.users[pick(len(self.users))], self.agents[pick(len(self.agents))]
        actor = b'"audit.actor.id":"%b","audit.actor.type":"service"' % agent
        if index >= _TRACED:
            return _Session(b"", actor, b"", left)
        trace_id = b"%032x" % (self.random.getrandbits(127) + 1)
        how = pick(12)
        if how < 3:  # a person, at first hand
            return _Session(trace_id, b'"audit.actor.id":"%b","audit.actor.type":"user"' % user, b"", left)
        through = b'"orchestrator",' if how < 6 else b""
        return _Session(trace_id, actor, b',"audit.delegation":["%b",%b"%b"]' % (user, through, agent), left)

    def _process(self, pid: int) -> _Process:
        """Let a process open the log; the one that made a segment has done so."""
        line_resource = {"service.name": "shop", "host.name": "app-1", "process.pid": pid}
        resource = {
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": "1.45.2",
            "deployment.environment.name": "production",
            **line_resource,
        }
        writer_id = str(uuid.UUID(int=self.random.getrandbits(128)))
        lifecycle = Lifecycle(writer_id, "shop", resource, line_resource, __version__)
        after = b',"resource":{"service.name":"shop","host.name":"app-1","process.pid":%d}' % pid
        process = _Process(lifecycle, after, sessions=[self._session(index) for index in range(_SESSIONS)])
        self._opened(process, None)
        return process

    def _change_writer(self, number: int) -> None:
        """End a process, every second one without warning, and begin another."""
        index = number % _WRITERS
        process = self.processes[index]
        if number % 2:
            for place, session in enumerate(process.sessions):
                if session.pending is not None:
                    self._entry(process, place)
            self._append(process.lifecycle.closed(self._record_id(), self.now, process.entries, 0))
        self.processes[index] = self._process(4711 + _WRITERS + number)

    def _opened(self, process: _Process, previous: Closed | None) -> None:
        self._append(
            process.lifecycle.opened(
                self._record_id(),
                self.now,
                stream_id=STREAM_ID,
                integrity="chain",
                key_id=None,
                segment_number=self.number,
                previous=previous,
            )
        )

    def _rotate(self) -> None:
        following = segment_name(self.first_name, self.number + 1)
        process = self.processes[self.number % _WRITERS]
        self._append(process.lifecycle.rotated(self._record_id(), self.now, following))
        self._flush()
        self.file.close()
        closed = Closed(segment_name(self.first_name, self.number), self.size, self.sha256.hexdigest())
        with (self.folder / checksum_name(self.first_name)).open("ab") as sums:
            sums.write(f"{closed.sha256}  {closed.name}\n".encode())
        self._begin_segment(process, closed)

    def _begin_segment(self, process: _Process | None, closed: Closed | None = None) -> None:
        self.number += 1
        self.size, self.sha256 = 0, hashlib.sha256()
        self.file = (self.folder / segment_name(self.first_name, self.number)).open("xb", buffering=0)
        if process is not None:
            self._opened(process, closed)

    def _record_id(self) -> str:
        return _uuid(self.random.getrandbits(128)).decode()

    def _append(self, draft: Draft) -> None:
        self.now += 1_000
        self.seq += 1
        line, self.prev = seal(draft, self.seq, format_time(self.now), self.prev)
        self.lines.append(line)
        if len(self.lines) == _BLOCK_LINES:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self.lines)
        self.lines.clear()
        self.sha256.update(data)
        self.size += len(data)
        self.file.write(data)


def _uuid(bits: int) -> bytes:
    digits = b"%032x" % bits
    return b"%b-%b-4%b-8%b-%b" % (digits[:8], digits[8:12], digits[13:16], digits[17:20], digits[20:])


def write_log(folder: Path, count: int, first_name: str = NAME) -> Path:
    """Write a sound log of so many entries; return the path of its first segment.

    Args:
        folder: Exists, and has no such log yet.
        count: At least 100: the log's own entries are among them.
        first_name: Base name of the first segment.
    """
    _Log(folder, count, first_name).write()
    return folder / first_name


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, help="entries, the log's own among them")
    parser.add_argument("folder", type=Path, help="where to write; made where it is not there")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(write_log(arguments.folder, arguments.count))
