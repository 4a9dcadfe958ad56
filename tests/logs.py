"""Logs made without the package: what the verifier is tested on owes nothing to the writer."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

GENESIS = hashlib.sha256(b"").hexdigest()
STREAM_ID = "7b1f5b9e-7f0f-4c39-9d2e-3f6c2a1d0e55"
WRITER_ID = "0d2c1f7a-52a4-4d53-8b61-6a0f0f8e9c11"

Members = dict[str, Any]


def dump(members: Members) -> bytes:
    """Return members as compact JSON."""
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()


def time_text(seq: int) -> str:
    """Return a time that grows with seq: one millisecond an entry."""
    seconds, millis = divmod(seq, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"2026-11-22T{hours:02d}:{minutes:02d}:{seconds:02d}.{millis:03d}456789Z"


def record_id(seq: int) -> str:
    """Return a UUID that differs for each seq."""
    return str(uuid.UUID(bytes=hashlib.sha256(b"%d" % seq).digest()[:16]))


def attributes(seq: int, **more: Any) -> Members:
    """Return the required attributes of an ordinary entry, and more."""
    return {
        "audit.record.id": record_id(seq),
        "audit.actor.id": "agent",
        "audit.actor.type": "service",
        "audit.action": "EXECUTE",
        "audit.outcome": "success",
        "audit.target.id": "git_log",
        "audit.target.type": "tool",
        "audit.schema.version": "1.0.0",
        **more,
    }


def entry(seq: int, event_name: str = "mcp.tool.call", **more: Any) -> Members:
    """Return the members of an ordinary entry, up to ``prev_hash``."""
    return {
        "seq": seq,
        "time": time_text(seq),
        "event_name": event_name,
        "attributes": attributes(seq, **({"gen_ai.tool.name": "git_log", "lines": seq % 97} | more)),
        "trace_id": hashlib.md5(b"%d" % (seq // 4)).hexdigest(),
        "span_id": hashlib.md5(b"%d" % (seq // 2)).hexdigest()[:16],
        "trace_flags": "01",
        "observed_time": time_text(seq),
        "resource": {"service.name": "x", "process.pid": 1},
        "scope": {"name": "shop"},
    }


def log_entry(seq: int, event_name: str, **more: Any) -> Members:
    """Return the members of an entry of the log's own."""
    return {
        "seq": seq,
        "time": time_text(seq),
        "event_name": event_name,
        "attributes": {
            "audit.record.id": record_id(seq),
            "audit.actor.id": "x",
            "audit.actor.type": "system",
            "audit.action": "EXECUTE",
            "audit.outcome": "success",
            "audit.schema.version": "1.0.0",
            **more,
        },
        "observed_time": time_text(seq),
        "resource": {"service.name": "x", "process.pid": 1},
    }


def opened(seq: int = 1, *, mode: str = "chain", segment: int = 1, **more: Any) -> Members:
    """Return the members of ``audit.log.opened``."""
    return log_entry(
        seq,
        "audit.log.opened",
        **{
            "audit.format.version": "1",
            "audit.stream.id": STREAM_ID,
            "audit.integrity.mode": mode,
            "audit.segment.number": segment,
            "audit.writer.id": WRITER_ID,
            "audit.writer.version": "0.1.0",
        },
        **more,
    )


def key_id(key: bytes) -> str:
    """Return ``audit.key.id``."""
    return hashlib.sha256(b"otel-audit key\n" + key).hexdigest()[:16]


def seal(members: Members, prev: str = GENESIS, *, mode: str = "chain", key: bytes | None = None) -> bytes:
    """Return the line, LF left off."""
    if mode == "none":
        return dump(members)
    if mode == "chain":
        members = {**members, "prev_hash": prev}
    body = dump(members)[:-1]
    digest = hashlib.sha256(body).digest()
    line = body + b',"hash":"%s"' % digest.hex().encode()
    if key is not None:
        line += b',"hmac":"%s"' % hmac.digest(key, digest, "sha256").hex().encode()
    return line + b"}"


def hash_of(line: bytes) -> str:
    """Return what the line's seal says."""
    return str(json.loads(line)["hash"])


def chain(
    entries: Iterable[Members],
    prev: str = GENESIS,
    *,
    mode: str = "chain",
    key: bytes | None = None,
) -> Iterator[bytes]:
    """Yield the lines of entries, each linked to the one before."""
    for members in entries:
        line = seal(members, prev, mode=mode, key=key)
        if mode != "none":
            prev = hash_of(line)
        yield line


def log(count: int, *, mode: str = "chain", key: bytes | None = None) -> list[bytes]:
    """Return the lines of a sound log: ``opened``, then ordinary entries."""
    more: dict[str, Any] = {} if key is None else {"audit.key.id": key_id(key)}
    members = [opened(mode=mode, **more), *(entry(seq) for seq in range(2, count + 1))]
    return list(chain(members, mode=mode, key=key))


def join(lines: Iterable[bytes]) -> bytes:
    """Return the bytes of a file with these lines."""
    return b"".join(line + b"\n" for line in lines)


def names_of(count: int) -> list[str]:
    """Return the names of so many segments."""
    return ["audit.jsonl", *(f"audit.{number:06d}.jsonl" for number in range(2, count + 1))]


def segments(counts: Iterable[int], *, mode: str = "chain", key: bytes | None = None) -> list[list[bytes]]:
    """Return the lines of a sound log of several segments, each of so many lines (at least 2)."""
    counts = list(counts)
    names = names_of(len(counts))
    own: dict[str, Any] = {} if key is None else {"audit.key.id": key_id(key)}
    made: list[list[bytes]] = []
    prev, seq = GENESIS, 1
    for index, count in enumerate(counts):
        more = dict(own)
        if made:
            before = join(made[-1])
            more |= {
                "audit.segment.previous.name": names[index - 1],
                "audit.segment.previous.size": len(before),
                "audit.segment.previous.sha256": hashlib.sha256(before).hexdigest(),
            }
        members = [opened(seq, mode=mode, segment=index + 1, **more)]
        members += [entry(number) for number in range(seq + 1, seq + count - 1)]
        last = index == len(counts) - 1
        end = seq + count - 1
        members.append(
            entry(end) if last else log_entry(end, "audit.log.rotated", **{"audit.segment.next": names[index + 1]})
        )
        made.append(list(chain(members, prev, mode=mode, key=key)))
        prev, seq = prev if mode == "none" else hash_of(made[-1][-1]), end + 1
    return made
