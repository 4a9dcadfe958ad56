"""One copied entry against the lines of the log that have its ``seq``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from otel_audit import semconv
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.reconcile.compare import difference, stamps_differ
from otel_audit.reconcile.copied import Copied, Judgement, is_sound
from otel_audit.verify.seal import split_seal

_SEALED: Final = frozenset({"prev_hash", "hash", "hmac"})


SAME: Final = Judgement("same")


def judge(copied: Copied, lines: Sequence[bytes], stream_id: str | None) -> Judgement:
    """Return what a copied entry shows.

    Args:
        copied: The entry.
        lines: Those of the log with its ``seq``, at least one.
        stream_id: The log's.
    """
    if copied.altered is None and stream_id is not None and copied.stream_id not in (None, stream_id):
        copied = copied._replace(altered=f"another {semconv.AUDIT_STREAM_ID}")
    if copied.line is not None:
        if copied.line in lines:
            return SAME if copied.telemetry is None else _record(copied, copied.line, copied.line)
        if not is_sound(copied.line):
            return wrong_hash(copied)
        return _lines_differ(copied, copied.line, lines[0])
    line = next((line for line in lines if _hash(line) == copied.hash), None)
    if line is not None:
        return _record(copied, line, None)
    return _hashes_differ(copied, lines[0])


def wrong_hash(copied: Copied) -> Judgement:
    """Return the judgement on an entry whose own hash is wrong."""
    name = "the line" if copied.telemetry is None else semconv.LOG_RECORD_ORIGINAL
    return Judgement("altered", False, f"{name} with hash {copied.hash}", "bytes that have another")


def _record(copied: Copied, line: bytes, original: bytes | None) -> Judgement:
    """Judge the members of a record whose hash, or exact line, the log has."""
    if copied.altered is not None:
        return Judgement("altered", False, "the record as it was sent", copied.altered)
    differing = _first_difference(copied, line)
    if original is None and (copied.hash is None or not is_sound(line)):
        if differing is not None:
            # the seal is as it was, the bytes before it are not
            return Judgement("diverged", True, f"{differing} as the copy has it", f"another {differing}")
        if content(line) is None:
            return Judgement("diverged", True, "an entry, which the copy has", "a line that is none")
        if copied.hash is not None:  # in a member that a record need not have, or may have for itself
            return Judgement("diverged", True, f"bytes with hash {copied.hash}", "bytes that have another")
    if differing is None:
        return SAME
    return Judgement("altered", False, f"{differing} as the line has it", f"another {differing}")


def _lines_differ(copied: Copied, original: bytes, line: bytes) -> Judgement:
    theirs, ours = content(original), content(line)
    changed = theirs is None or theirs != ours
    if split_seal(original) is None:
        return Judgement("diverged", changed, "the line that the copy has", "another")
    got = f"hash {_hash(line)}" if _hash(line) != copied.hash else "the same hash on other bytes"
    return Judgement("diverged", changed, f"hash {copied.hash}", got)


def by_hash(copied: Copied, lines: Sequence[bytes], *, changed: bool = False) -> Judgement:
    """Judge by hashes alone: an entry of which nothing else was kept, or is asked.

    Args:
        copied: The entry.
        lines: Those of the log with its ``seq``, at least one.
        changed: Of the judgement, where they differ.
    """
    if any(_hash(line) == copied.hash for line in lines):
        return SAME
    return Judgement("diverged", changed, f"hash {copied.hash}", f"hash {_hash(lines[0])}")


def _hashes_differ(copied: Copied, line: bytes) -> Judgement:
    if copied.hash is None:
        return Judgement("altered", False, f"hash {_hash(line)}", "a record without it")
    changed = copied.altered is not None or _first_difference(copied, line, stamps=False) is not None
    return Judgement("diverged", changed, f"hash {copied.hash}", f"hash {_hash(line)}")


def _first_difference(copied: Copied, line: bytes, *, stamps: bool = True) -> str | None:
    try:
        members: dict[str, Any] = parse_line(line)
    except MalformedLineError:
        return None  # that of the log is for `verify`; a copy of the very bytes is a copy
    assert copied.telemetry is not None
    if stamps:
        wrong = stamps_differ(copied.attributes, members["seq"], members.get("prev_hash"), members.get("hash"))
        if wrong is not None:
            return wrong
    return difference(copied.telemetry, copied.attributes, members, carried=copied.line is not None)


def content(line: bytes) -> list[tuple[str, object]] | None:
    """Return the members of a line but for its seal; None: it is none of the format."""
    try:
        return [(name, value) for name, value in parse_line(line).items() if name not in _SEALED]
    except MalformedLineError:
        return None


def hashes_of(lines: Iterable[bytes]) -> list[str | None]:
    """Return the hashes that lines say, of those that have a seal."""
    return [seal.hash for line in lines if (seal := split_seal(line)) is not None]


def _hash(line: bytes) -> str | None:
    seal = split_seal(line)
    return None if seal is None else seal.hash
