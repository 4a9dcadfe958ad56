"""Whether an entry's own hash is right, and whether it follows the one before.

What can be said of entries one by one, as they are read. The verdict on a whole log, what was
cut out, moved or forged, is that of `otel_audit.verify`.
"""

from __future__ import annotations

from typing import NamedTuple

from otel_audit import semconv
from otel_audit.chain import GENESIS, Head, entry_hash
from otel_audit.entry import Entry
from otel_audit.verify.declared import Declared
from otel_audit.verify.report import Integrity
from otel_audit.verify.seal import split_seal

BEGIN = Head(0, GENESIS)
"""What the first entry of a log follows."""


class Fault(NamedTuple):
    """What is wrong with an entry: what was expected, and what is there."""

    expected: str
    got: str

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.got}"


def own_fault(entry: Entry, declared: Declared) -> Fault | None:
    """Return what is wrong with an entry by itself; an ``hmac`` has to be there, and is not checked.

    Args:
        entry: The entry.
        declared: What its log says of itself.
    """
    if entry.event_name == semconv.LOG_OPENED:
        stream_id = entry.attributes.get(semconv.AUDIT_STREAM_ID)
        if stream_id != declared.stream_id:
            return Fault(f"{semconv.AUDIT_STREAM_ID} {declared.stream_id}", str(stream_id))
    if (entry.hmac is None) != (declared.key_id is None):
        return Fault("no hmac", "one") if declared.key_id is None else Fault("an hmac", "none")
    if declared.mode == "none":
        return None
    seal = split_seal(entry.raw)
    if seal is None:
        return Fault("a hash", "none")
    if declared.mode == "chain" and entry.prev_hash is None:
        return Fault("a prev_hash", "none")
    computed = entry_hash(entry.raw[: seal.start])
    return None if computed == seal.hash else Fault(f"hash {computed} (of its bytes)", f"hash {seal.hash}")


def link_fault(entry: Entry, before: Head, mode: Integrity) -> Fault | None:
    """Return what keeps an entry from following another.

    Args:
        entry: The later one.
        before: The earlier one; `BEGIN` before the first of a log.
        mode: That of the log.
    """
    if entry.seq != before.seq + 1:
        return Fault(f"seq {before.seq + 1}", f"seq {entry.seq}")
    if mode == "chain" and entry.prev_hash != before.hash:
        return Fault(f"prev_hash {before.hash}", f"prev_hash {entry.prev_hash}")
    return None


def head_of(entry: Entry) -> Head:
    """Return an entry as a head."""
    return Head(entry.seq, entry.hash or "")
