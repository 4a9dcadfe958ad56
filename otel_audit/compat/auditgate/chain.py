"""The hashes of entries that no log holds, and what they prove.

An entry's hash covers all of it: the times, who recorded it and its place in the trail too. Each
entry of a trail in mode CHAIN names the hash of the one before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from otel_audit.reader import verify_log
from otel_audit.value import clean

from .entry import AuditEntry, entry_of
from .log_entry import entries_at
from .policy import IntegrityMode, Trail


def compute_hash(entry_data: Mapping[str, Any], prev_hash: str | None = None) -> str:
    """Return SHA-256 over what `AuditEntry.to_dict` gives, as JSON with sorted names.

    Args:
        entry_data: All of it counts but ``entry_hash``, which cannot, and ``prev_hash``.
        prev_hash: Takes the place of the one in ``entry_data``.

    Returns:
        64 lower-case hexadecimal digits.
    """
    data = {**entry_data, "prev_hash": prev_hash}
    data.pop("entry_hash", None)
    try:
        encoded = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # bytes in the detail, or an entry that this package did not make
        encoded = orjson.dumps(clean(data, "", [], 0), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(encoded).hexdigest()


def link(entry: AuditEntry, integrity: IntegrityMode, last: AuditEntry | None) -> AuditEntry:
    """Return the entry in its place behind the last one of its trail.

    Args:
        integrity: What it is to show of its hashes.
        last: None where it is the first.
    """
    prev_hash = None
    if integrity is IntegrityMode.CHAIN and last is not None:
        # what shows no hash has one all the same
        prev_hash = last.entry_hash or compute_hash(last.content(), last.prev_hash)
    members = {**vars(entry), "sequence": 0 if last is None else last.sequence + 1, "prev_hash": prev_hash}
    linked = entry_of(members)
    if integrity is not IntegrityMode.NONE:
        members["entry_hash"] = compute_hash(linked.content(), prev_hash)
    return linked


def verify_chain(
    entries: Sequence[AuditEntry], *, prev_hash: str | None = None, head: str | None = None
) -> tuple[bool, int | None]:
    """Return whether the entries are whole, and the index of the first that is not.

    Found are an entry that was changed, left out, added, moved or doubled, a hash that was taken
    away, a chain that begins anew in the middle, and a beginning that is not the trail's. Entries
    of a log are looked up there, and the whole log is verified. Of no entries at all nothing is
    proven: ``(False, None)``.

    In mode HASH an entry does not name the one before it: left out ones are found by their
    numbers, and who computes the hashes anew is not found.

    Args:
        entries: Of one trail or several, in the order of each.
        prev_hash: ``entry_hash`` of the entry before the first, where the list does not begin with
            the trail's first: its beginning was pruned.
        head: ``entry_hash`` of the newest entry that is known: without it, entries missing at the
            end are not found.
    """
    if not entries:
        return False, None
    seen: dict[Trail, AuditEntry] = {}
    for index, entry in enumerate(entries):
        if entry.log_path is None:
            if not _follows(entry, seen.get(entry.trail), prev_hash):
                return False, index
            seen[entry.trail] = entry
    found = _first_not_in_log(entries)
    if found is not None:
        return False, None if found < 0 else found
    if head is not None and entries[-1].entry_hash != head:
        return False, None
    return True, None


def _follows(entry: AuditEntry, before: AuditEntry | None, prev_hash: str | None) -> bool:
    if entry.entry_hash is None or entry.entry_hash != compute_hash(entry.content(), entry.prev_hash):
        return False
    if before is None:
        return entry.prev_hash == prev_hash if prev_hash is not None else (entry.sequence, entry.prev_hash) == (0, None)
    if entry.sequence != before.sequence + 1:
        return False
    # once a trail is chained, it stays so
    return entry.prev_hash == before.entry_hash or (entry.prev_hash is None and before.prev_hash is None)


def _first_not_in_log(entries: Sequence[AuditEntry]) -> int | None:
    """Return the index of the first entry that its log does not hold, or holds behind a fault.

    -1 where a log has a fault that is none of the entries'. None where all is well.
    """
    first: int | None = None
    for path in {entry.log_path for entry in entries if entry.log_path is not None}:
        errors = verify_log(path).errors
        faulty = min((error.seq for error in errors if error.seq is not None), default=None)
        mine = [(index, entry) for index, entry in enumerate(entries) if entry.log_path == path]
        stands = entries_at(path, {entry.sequence for _, entry in mine})
        before = 0
        for index, entry in mine:
            sound = entry.sequence > before and entry == stands.get(entry.sequence)
            if not sound or (errors and faulty is not None and entry.sequence >= faulty):
                return index if first is None or first < 0 else min(first, index)
            before = entry.sequence
        if errors:
            first = -1
    return first
