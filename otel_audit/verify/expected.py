"""What a log declares, against what the verifier expects: its mode, and its key."""

from __future__ import annotations

import hmac as hmac_module

from otel_audit import semconv
from otel_audit.chain import entry_hmac, key_id
from otel_audit.verify.declared import STRENGTH, Declared
from otel_audit.verify.drafts import Drafts
from otel_audit.verify.report import Integrity
from otel_audit.verify.run import Place
from otel_audit.verify.scan import Scan
from otel_audit.verify.seal import split_seal
from otel_audit.verify.segment import Segment, lines_from


def usable_key(key: bytes | None, declared: Declared, segments: tuple[Segment, ...]) -> bytes | None:
    """Return the key if it is this log's; None: MACs are not checked."""
    if key is None or declared.key_id is None or declared.place is None:
        return None
    if key_id(key) == declared.key_id:
        return key
    # An edited declaration is believed in nothing: if the key made its hmac, it is the key.
    number, offset = declared.place
    _, line = next(lines_from(segments[number], offset))
    seal = split_seal(line)
    if seal is None or seal.hmac is None:
        return None
    right = entry_hmac(key, seal.hash)
    return key if hmac_module.compare_digest(right, seal.hmac) else None


def check_declaration(
    declared: Declared,
    expected: Integrity,
    key: bytes | None,
    usable: bytes | None,
    scan: Scan,
    drafts: Drafts,
) -> None:
    """Hold what the log declares against what the verifier expects: one finding each."""
    entry = next(
        (
            e
            for e in scan.notes.lifecycle
            if declared.place == (e.place.segment, e.offset) and e.event_name == semconv.LOG_OPENED
        ),
        None,
    )
    place = entry.place if entry else Place(0, 0)
    offset, seq = (entry.offset, entry.seq) if entry else (None, None)
    edited = any(d.place == place and d.finding.kind == "edited" for d in drafts.drafts)
    if STRENGTH[declared.mode] < STRENGTH[expected]:
        said = f"integrity mode {declared.mode}"
        drafts.add("downgraded", place, offset, seq, f"integrity mode {expected}", said)
    elif entry is not None and declared.stated is None and not edited:
        said = f"{entry.attributes.get(semconv.AUDIT_INTEGRITY_MODE)}"
        drafts.add("downgraded", place, offset, seq, "integrity mode chain, hash or none", said)
    if key is None or usable is not None:
        return
    ours = f"the key {key_id(key)}"
    if declared.key_id is None:
        if any(scan.entries):
            drafts.add("mac_missing", place, offset, seq, ours, "a log that declares no key")
    else:
        drafts.add("mac_invalid", place, offset, seq, ours, f"the key {declared.key_id}")
