"""A record to its line: bytes out.

docs/format.md, "The line". A `Draft` is the line but for what is known only under the lock of
the log: ``seq``, ``observed_time``, ``prev_hash`` and the seal. Pure and total: whatever the
record holds, its line is well formed and at most 1 MiB.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from . import semconv
from .attributes import with_altered
from .chain import entry_hash, entry_hmac
from .line_form import MAX_LINE_BYTES, MAX_SEQ, format_time, parse_time
from .semconv import IntegrityMode
from .value import clean_text, pointer_to

__all__ = [
    "MAX_LINE_BYTES",
    "MAX_SEQ",
    "SEALED_BYTES",
    "Draft",
    "encode",
    "encode_context",
    "format_time",
    "parse_time",
    "seal",
]

SEALED_BYTES: Final = 512
"""At most what the ledger adds to a draft: seq, observed_time, prev_hash, hash, hmac, their names."""

_TRACE_IDS: Final = 2**128
_SPAN_IDS: Final = 2**64
_MAX_SCOPE_LENGTH: Final = 1024
_MAX_CONTEXT_BYTES: Final = 64 * 1024


class Draft(NamedTuple):
    """An entry that awaits its place in the chain.

    Attributes:
        record_id: ``audit.record.id``.
        time_ns: ``time``, nanoseconds since 1970.
        before: The line's bytes from behind ``seq`` up to ``observed_time``.
        after: The line's bytes from behind ``observed_time`` up to ``prev_hash``.
    """

    record_id: str
    time_ns: int
    before: bytes
    after: bytes


def encode_context(resource: Mapping[str, object], scope: tuple[str, str | None] | None) -> bytes:
    """Return the ``resource`` and ``scope`` members, each with its leading comma.

    Args:
        resource: JSON values; left out where empty, by digest where over 64 KiB.
        scope: Name and version of the instrumentation scope; None for this package's own.
    """
    encoded = b""
    if resource:
        members = orjson.dumps(resource)
        if len(members) > _MAX_CONTEXT_BYTES:
            members = orjson.dumps({name: _digest_large(value) for name, value in resource.items()})
        if len(members) > _MAX_CONTEXT_BYTES:
            members = orjson.dumps({"$rest": _digest(members)})
        encoded += b',"resource":%b' % members
    if scope is not None:
        parts = (("name", scope[0]), ("version", scope[1]))
        encoded += b',"scope":%b' % orjson.dumps(
            {part: clean_text(text, "", [])[:_MAX_SCOPE_LENGTH] for part, text in parts if text is not None}
        )
    return encoded


def encode(
    event_name: bytes,
    time_ns: int,
    attributes: dict[str, object],
    after: bytes,
    trace_id: int = 0,
    span_id: int = 0,
    trace_flags: int = 0,
    body: object = None,
    severity_text: str | None = None,
    severity_number: int | None = None,
) -> Draft:
    """Return the draft of an entry.

    Args:
        event_name: As JSON, with its quotes: ``orjson.dumps(name)``.
        time_ns: When it happened, nanoseconds since 1970.
        attributes: From `otel_audit.attributes`: JSON values only, ``audit.*`` first.
        after: From `encode_context`.
        trace_id: The ids are left out unless both are valid; likewise ``span_id``.
        body: A JSON value.

    Raises:
        AuditRecordError: The time lies outside the years 1 to 9999.
    """
    members = orjson.dumps(attributes)
    head = event_name
    if severity_text is not None:
        head = b'%b,"severity_text":%b' % (head, orjson.dumps(severity_text))
    if severity_number is not None:
        head = b'%b,"severity_number":%d' % (head, severity_number)
    trace = b""
    if 0 < trace_id < _TRACE_IDS and 0 < span_id < _SPAN_IDS:
        flags = trace_flags & 0xFF
        trace = b',"trace_id":"%032x","span_id":"%016x","trace_flags":"%02x"' % (trace_id, span_id, flags)
    encoded_body = b"" if body is None else b',"body":%b' % orjson.dumps(body)
    start = (b',"time":"', format_time(time_ns), b'","event_name":', head)
    before = b"".join((*start, encoded_body, b',"attributes":', members, trace))
    room = MAX_LINE_BYTES - SEALED_BYTES - len(after)
    if len(before) > room:
        fixed = b"".join(start)
        before = fixed + _fit(body, attributes, room - len(fixed) - len(trace)) + trace
    return Draft(attributes[semconv.AUDIT_RECORD_ID], time_ns, before, after)  # type: ignore[arg-type]


def seal(
    draft: Draft,
    seq: int,
    observed_time: bytes,
    prev_hash: str,
    mode: IntegrityMode = "chain",
    key: bytes | None = None,
) -> tuple[bytes, str]:
    """Return the finished line with its LF, and its ``hash`` (empty in mode ``none``).

    Args:
        observed_time: From `format_time`, taken under the lock.
        prev_hash: ``hash`` of the entry before; `otel_audit.chain.GENESIS` for the first.
        key: The HMAC key's raw bytes, in mode ``chain`` only.
    """
    parts = (b'{"seq":', b"%d" % seq, draft.before, b',"observed_time":"', observed_time, b'"', draft.after)
    if mode == "chain":
        prefix = b"".join((*parts, b',"prev_hash":"', prev_hash.encode(), b'"'))
    elif mode == "hash":
        prefix = b"".join(parts)
    else:
        return b"".join((*parts, b"}\n")), ""
    digest = entry_hash(prefix)
    if key is not None:
        return b'%b,"hash":"%b","hmac":"%b"}\n' % (prefix, digest.encode(), entry_hmac(key, digest).encode()), digest
    return b"".join((prefix, b',"hash":"', digest.encode(), b'"}\n')), digest


def _fit(body: object, attributes: dict[str, object], room: int) -> bytes:
    """Return ``body`` and ``attributes`` in at most ``room`` bytes.

    The largest values become their digest first; where the names alone are too long,
    everything outside ``audit.*`` becomes one value. The ids, words and texts of the schema
    stay: they are short, and say who did what.
    """
    whole = dict(attributes)
    altered: list[str] = list(dict.fromkeys(whole.pop(semconv.AUDIT_ALTERED, ())))  # type: ignore[call-overload]
    pointers: dict[str, list[str]] = {}
    for pointer in altered:
        pointers.setdefault(_top(pointer), []).append(pointer)
    values = {_BODY: body} if body is not None else {}
    values.update((pointer_to("/attributes", name), value) for name, value in whole.items() if _is_payload(name))
    names = {pointer_to("/attributes", name): name for name in whole}
    encoded = {pointer: orjson.dumps(value) for pointer, value in values.items()}
    excess = len(_members(body, whole, altered)) - room
    if not altered:
        excess += len(b'"audit.altered":[],') - 1  # of the first pointer no comma
    for pointer in sorted(encoded, key=lambda pointer: -len(encoded[pointer])):
        digest = _digest(encoded[pointer])
        saved = len(encoded[pointer]) - len(orjson.dumps(digest))
        if excess <= 0 or saved <= 0:
            break
        if pointer == _BODY:
            body = digest
        else:
            whole[names[pointer]] = digest
        # what was altered inside of it is no longer there to point at
        excess -= saved + sum(len(orjson.dumps(inner)) + 1 for inner in pointers.get(pointer, ()))
        excess += len(orjson.dumps(pointer)) + 1
        pointers[pointer] = [pointer]
    altered = list(itertools.chain.from_iterable(pointers.values()))
    fitting = _members(body, whole, altered)
    if len(fitting) <= room:
        return fitting
    own = {name: value for name, value in whole.items() if _is_own(name)}
    rest = {name: value for name, value in attributes.items() if not _is_own(name)}
    own[semconv.AUDIT_REST] = _digest(orjson.dumps(rest))
    kept = [pointer for pointer in altered if names.get(_top(pointer), semconv.AUDIT_REST) in own]
    return _members(body, own, [*kept, pointer_to("/attributes", semconv.AUDIT_REST)])


_BODY: Final = "/body"
_PAYLOAD: Final = frozenset({semconv.AUDIT_ARGUMENTS, semconv.AUDIT_RESULT, semconv.AUDIT_DELEGATION})


def _is_own(name: str) -> bool:
    return name.startswith("audit.") or name == semconv.ERROR_TYPE


def _is_payload(name: str) -> bool:
    return name in _PAYLOAD or not name.startswith("audit.")


def _top(pointer: str) -> str:
    """Return the pointer to the value of the record that a pointer points into."""
    parts = pointer.split("/", 3)
    return "/".join(parts[:3] if parts[1] == "attributes" else parts[:2])


def _members(body: object, attributes: dict[str, object], altered: list[str]) -> bytes:
    encoded = b'"attributes":%b' % orjson.dumps(with_altered(attributes, altered) if altered else attributes)
    return b",%b" % encoded if body is None else b',"body":%b,%b' % (orjson.dumps(body), encoded)


def _digest(encoded: bytes) -> dict[str, object]:
    return {"$sha256": hashlib.sha256(encoded).hexdigest(), "$size": len(encoded)}


def _digest_large(value: object) -> object:
    encoded = orjson.dumps(value)
    return _digest(encoded) if len(encoded) > 4096 else value
