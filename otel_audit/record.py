"""What happened: an audit record and the nouns in it.

Plain values without behaviour. A record is checked where it is emitted
(`otel_audit.attributes`), not where it is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

ActorType = Literal["user", "service", "system"]
Outcome = Literal["success", "failure", "unknown"]
Phase = Literal["intent", "outcome"]
Decision = Literal["allow", "block", "error", "override"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: ``audit.actor.id`` and ``audit.actor.type``."""

    id: str
    type: ActorType = "service"


@dataclass(frozen=True, slots=True)
class Target:
    """What is acted upon: ``audit.target.id`` and ``audit.target.type``."""

    id: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where the request came from: ``audit.source.id`` and ``audit.source.type``."""

    id: str
    type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One act, as `AuditLogger.emit` takes it.

    A member left None is left out of the line, but for ``actor`` (the current actor, else the
    service), ``record_id`` (a new UUID) and ``timestamp_ns`` (now).

    Attributes:
        event_name: What happened, such as ``file.write``; at most 1 KiB.
        action: An upper-case verb: ``EXECUTE``, ``READ``, ``WRITE``, ``DELETE``, ``APPROVE``, …
        outcome: ``success``, ``failure`` or ``unknown``; of an intent always ``unknown``.
        duration: Seconds.
        timestamp_ns: When it happened, nanoseconds since 1970.
        delegation: Actor ids, the originating principal first; None takes the current chain.
    """

    event_name: str
    action: str = "EXECUTE"
    outcome: Outcome = "success"
    actor: Actor | str | None = None
    target: Target | str | None = None
    source: Source | str | None = None
    decision: Decision | None = None
    reason: str | None = None
    severity_number: int | None = None
    severity_text: str | None = None
    body: object = None
    attributes: Mapping[str, object] | None = None
    record_id: str | None = None
    timestamp_ns: int | None = None
    phase: Phase | None = None
    intent_id: str | None = None
    trail: str | None = None
    delegation: Sequence[str] | None = None
    duration: float | None = None
    error_type: str | None = None


class AuditReceipt(NamedTuple):
    """Proof that an entry stands in the log, as durable as the durability setting promises.

    ``str(receipt)`` is ``seq:hash``, which ``otel-audit verify --anchor`` takes.

    Attributes:
        record_id: ``audit.record.id`` of the entry.
        seq: Its place in the chain; 0 where nothing was recorded (``on_failure="open"``).
        hash: 64 lower-case hexadecimal digits; empty in integrity mode ``none``.
        time_ns: When it happened, nanoseconds since 1970.
        stream_id: Which log.
    """

    record_id: str
    seq: int
    hash: str
    time_ns: int
    stream_id: str

    @property
    def recorded(self) -> bool:
        """Whether the entry is in the log."""
        return self.seq > 0

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"
