"""The line format, version 1, written a second time: nothing here comes from ``otel_audit``.

Shared by the case files beside it. Uses only ``json``, ``hashlib`` and ``hmac``, a fixed clock and
UUIDs made from a counter, so that the vectors come out the same on every machine.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping

GENESIS = hashlib.sha256(b"").hexdigest()
WRONG_HASH = "5e" * 32
KEY = b"otel-audit test vectors: key one"
OTHER_KEY = b"otel-audit test vectors: key two"
STREAM_ID = "7b0c1f7e-3d0a-4c52-9a44-0d6f3f6f1a01"
OTHER_STREAM_ID = "2f4d9c11-8a6b-4e07-b1d3-5c9e7a8b0f02"
SERVICE = "refund-agent"
RESOURCE = {
    "service.name": SERVICE,
    "service.version": "2.4.1",
    "deployment.environment.name": "production",
    "host.name": "app-1",
    "process.pid": 4711,
}
WHOLE_RESOURCE = {
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.44.0",
    **RESOURCE,
}

Members = dict[str, object]


def sha256(data: bytes) -> str:
    """Return 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def key_id(key: bytes) -> str:
    """Return the public name of a key."""
    return sha256(b"otel-audit key\n" + key)[:16]


def compact(value: object) -> bytes:
    """Return JSON in UTF-8 without white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def uuid(name: str) -> str:
    """Return a UUID of version 4 that depends on ``name`` alone."""
    digits = sha256(b"vector " + name.encode())
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


def clock(step: int, nanoseconds: int = 0) -> str:
    """Return the time of day one: nine o'clock and ``step`` seconds."""
    minutes, seconds = divmod(step, 60)
    return f"2025-03-01T09:{minutes:02}:{seconds:02}.{nanoseconds:09}Z"


def seal(members: Mapping[str, object], key: bytes | None = None) -> bytes:
    """Return the line of ``members`` without its LF.

    The keys ``hash`` and ``hmac`` of ``members`` are left out and made anew; a line without
    ``prev_hash`` is sealed all the same (mode ``hash``). Use `bare` for mode ``none``.
    """
    before = compact({n: v for n, v in members.items() if n not in ("hash", "hmac")})[:-1]
    digest = hashlib.sha256(before).digest()
    line = before + b',"hash":"' + digest.hex().encode() + b'"'
    if key is not None:
        mac = hmac.new(key, digest, hashlib.sha256).hexdigest()
        line += b',"hmac":"' + mac.encode() + b'"'
    return line + b"}"


def bare(members: Mapping[str, object]) -> bytes:
    """Return the line of ``members`` as they are: no hash is made."""
    return compact(members)


def members_of(line: bytes) -> Members:
    """Return the members of a line in their order."""
    members: Members = json.loads(line)
    return members


def hash_of(line: bytes) -> str:
    """Return the hash that a line carries."""
    return str(members_of(line)["hash"])


class Writer:
    """Writes sound entries one after the other, in one integrity mode."""

    def __init__(
        self,
        mode: str = "chain",
        key: bytes | None = None,
        stream_id: str = STREAM_ID,
        format_version: str = "1",
    ) -> None:
        self.mode = mode
        self.key = key
        self.stream_id = stream_id
        self.format_version = format_version
        self.seq = 0
        self.prev_hash = GENESIS
        self.lines: list[bytes] = []
        self.offset_seconds = 0

    def copy(self) -> Writer:
        """Return a writer that goes on from the same head: for two ends of one log."""
        twin = Writer(self.mode, self.key, self.stream_id, self.format_version)
        twin.seq, twin.prev_hash = self.seq, self.prev_hash
        twin.lines = list(self.lines)
        twin.offset_seconds = self.offset_seconds
        return twin

    def record(
        self,
        event_name: str,
        attributes: Mapping[str, object] | None = None,
        *,
        action: str = "EXECUTE",
        outcome: str = "success",
        actor: str = SERVICE,
        actor_type: str = "service",
        body: object = None,
        span: int | None = None,
        resource: Mapping[str, object] = RESOURCE,
        change: Callable[[Members], None] | None = None,
        name: str | None = None,
    ) -> bytes:
        """Append one entry and return its line; ``change`` edits the members before the seal."""
        self.seq += 1
        time = clock(self.seq + self.offset_seconds)
        members: Members = {"seq": self.seq, "time": time, "event_name": event_name}
        if body is not None:
            members["body"] = body
        own = {
            "audit.record.id": uuid(name or f"{self.stream_id} {self.seq}"),
            "audit.actor.id": actor,
            "audit.actor.type": actor_type,
            "audit.action": action,
            "audit.outcome": outcome,
        }
        given = dict(attributes or {})
        named = ("audit.target.id", "audit.target.type", "audit.source.id", "audit.source.type")
        own.update({n: str(given.pop(n)) for n in named if n in given})
        members["attributes"] = {**own, "audit.schema.version": "1.0.0", **given}
        if span is not None:
            members["trace_id"] = "4bf92f3577b34da6a3ce929d0e0e4736"
            members["span_id"] = f"{0x00F067AA0BA90200 + span:016x}"
            members["trace_flags"] = "01"
        members["observed_time"] = clock(self.seq + self.offset_seconds, 250_000)
        members["resource"] = dict(resource)
        if self.mode == "chain":
            members["prev_hash"] = self.prev_hash
        if change is not None:
            change(members)
        return self.write(members)

    def write(self, members: Members) -> bytes:
        """Append one entry of these members."""
        line = bare(members) if self.mode == "none" else seal(members, self.key)
        self.lines.append(line)
        if self.mode != "none":
            self.prev_hash = hash_of(line)
        return line

    def lifecycle(
        self,
        event: str,
        attributes: Mapping[str, object],
        *,
        outcome: str = "success",
        change: Callable[[Members], None] | None = None,
    ) -> bytes:
        """Append an entry of the log about itself."""
        whole = event == "opened"
        return self.record(
            f"audit.log.{event}",
            attributes,
            outcome=outcome,
            actor_type="system",
            resource=WHOLE_RESOURCE if whole else RESOURCE,
            change=change,
        )

    def opened(
        self,
        more: Mapping[str, object] | None = None,
        change: Callable[[Members], None] | None = None,
    ) -> bytes:
        """Append ``audit.log.opened``, with further or other attributes."""
        attributes: Members = {
            "audit.format.version": self.format_version,
            "audit.stream.id": self.stream_id,
            "audit.integrity.mode": self.mode,
            "audit.segment.number": 1,
            "audit.writer.id": uuid(f"{self.stream_id} writer"),
            "audit.writer.version": "0.1.0",
        }
        if self.key is not None:
            attributes["audit.key.id"] = key_id(self.key)
        return self.lifecycle("opened", {**attributes, **(more or {})}, change=change)

    def closed(self) -> bytes:
        """Append ``audit.log.closed``."""
        records = [line for line in self.lines if b'"event_name":"audit.log.' not in line]
        return self.lifecycle(
            "closed",
            {
                "audit.writer.id": uuid(f"{self.stream_id} writer"),
                "audit.writer.entries": len(records),
                "audit.writer.dropped": 0,
            },
        )

    def recovered(self, fragment: bytes, offset: int) -> bytes:
        """Append the entry that declares ``fragment`` (without its last LF)."""
        return self.lifecycle(
            "recovered",
            {
                "audit.fragment.offset": offset,
                "audit.fragment.length": len(fragment),
                "audit.fragment.sha256": sha256(fragment),
            },
        )

    def rotated(self, number: int, *, to: str | None = None) -> bytes:
        """Append the entry that ends segment ``number``."""
        return self.lifecycle("rotated", {"audit.segment.next": to or NAMES[number]})

    def work(self) -> list[Callable[[], bytes]]:
        """Return the eight acts of the story that most logs tell, seq 2 to 9."""
        user = {"audit.delegation": ["user:ana", SERVICE]}
        refund = {"audit.target.id": "order-1881", "audit.target.type": "order"}
        mail = {"audit.target.id": "ana@example.com", "audit.target.type": "mailbox"}
        stream = self.stream_id
        return [
            lambda: self.record(
                "ticket.read",
                {"audit.target.id": "T-4711", "audit.target.type": "ticket", **user},
                action="READ",
                span=1,
            ),
            lambda: self.record(
                "policy.check",
                {**refund, "audit.decision": "allow", "audit.trail": "refunds"},
                span=2,
            ),
            lambda: self.record(
                "order.refund",
                {
                    **refund,
                    "audit.phase": "intent",
                    **user,
                    "audit.arguments": {"order_id": "order-1881", "amount": 12.5},
                },
                outcome="unknown",
                span=3,
            ),
            lambda: self.record(
                "order.refund",
                {
                    **refund,
                    "audit.phase": "outcome",
                    "audit.intent.id": uuid(f"{stream} 4"),
                    **user,
                    "audit.duration": 0.25,
                    "audit.result": "refunded",
                },
                span=3,
            ),
            lambda: self.record(
                "memory.update",
                {"audit.target.id": "customers/ana", "tags": ["vip", "日本", None], "lines": 42},
                action="WRITE",
                body='Prefers e-mail.\nSays: "merci" — ☕',
                span=4,
            ),
            lambda: self.record(
                "mail.send",
                {**mail, "audit.phase": "intent"},
                outcome="unknown",
                span=5,
                name=f"{stream} mail",
            ),
            lambda: self.record(
                "mail.send",
                {
                    **mail,
                    "audit.phase": "outcome",
                    "audit.intent.id": uuid(f"{stream} mail"),
                    "audit.duration": 1.5,
                    "error.type": "SMTPServerDisconnected",
                },
                outcome="failure",
                span=5,
            ),
            lambda: self.record(
                "file.write",
                {"audit.target.id": "reports/refunds.csv", "audit.target.type": "file"},
                action="WRITE",
            ),
        ]


def story(mode: str = "chain", key: bytes | None = None, stream_id: str = STREAM_ID) -> Writer:
    """Return a writer that has written ten entries: opened, eight acts, closed."""
    writer = Writer(mode, key, stream_id)
    writer.opened()
    for act in writer.work():
        act()
    writer.closed()
    return writer


def begun(acts: int, **settings: str | bytes | None) -> tuple[Writer, list[Callable[[], bytes]]]:
    """Return a writer that has written opened and ``acts`` acts, and the acts still to come."""
    writer = Writer(**settings)  # type: ignore[arg-type]
    writer.opened()
    work = writer.work()
    for act in work[:acts]:
        act()
    return writer, work[acts:]


NAMES = ("audit.jsonl", "audit.000002.jsonl", "audit.000003.jsonl", "audit.000004.jsonl")


def previous(number: int, data: bytes) -> Members:
    """Return what a segment's ``opened`` says of segment ``number``, which has these bytes."""
    return {
        "audit.segment.previous.name": NAMES[number - 1],
        "audit.segment.previous.size": len(data),
        "audit.segment.previous.sha256": sha256(data),
    }


def rotated_story(mode: str = "chain", key: bytes | None = None, stream_id: str = STREAM_ID) -> list[list[bytes]]:
    """Return the story in three segments, of 6 (seq 1 to 6), 5 (7 to 11) and 3 lines (12 to 14)."""
    writer = Writer(mode, key, stream_id)
    segments: list[list[bytes]] = []
    work = writer.work()
    for number, acts in enumerate((work[:4], work[4:7], work[7:]), 1):
        more: Members = {"audit.segment.number": number}
        if segments:
            more |= previous(number - 1, text(segments[-1]))
        held = len(writer.lines)
        writer.opened(more)
        for act in acts:
            act()
        if number < 3:
            writer.rotated(number)
        else:
            writer.closed()
        segments.append(writer.lines[held:])
    return segments


def text(lines: list[bytes]) -> bytes:
    """Return the bytes of a file of these lines."""
    return b"".join(line + b"\n" for line in lines)
