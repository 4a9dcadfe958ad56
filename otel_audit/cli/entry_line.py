"""One entry as one line, for lists; coloured by how it went where that is wanted."""

from __future__ import annotations

import os
import sys
from typing import Final, TextIO

from otel_audit import semconv
from otel_audit.cli.text import visible, visible_json
from otel_audit.entry import Entry

MAX_VALUE_CHARACTERS: Final = 200
"""Longer values are cut in a list; ``otel-audit show`` has them whole."""

_RESET: Final = "\x1b[0m"
_RED, _GREEN, _YELLOW, _DIM = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m"
_BY_OUTCOME: Final = {"success": _GREEN, "failure": _RED, "unknown": _YELLOW}
_BLOCKED: Final = frozenset({"block", "error"})


def as_line(entry: Entry, *, colour: bool = False, dim: bool = False) -> str:
    """Return when, what, its phase or outcome, who, for whom, upon what, in which trace.

    Args:
        entry: The entry.
        colour: Green, red, yellow by its outcome; a block is red.
        dim: It only stands near what was looked for.
    """
    found = entry.attributes.get
    phase = found(semconv.AUDIT_PHASE)
    how = "[intent]" if phase == "intent" else _shown(found(semconv.AUDIT_OUTCOME))
    if error := _shown(found(semconv.ERROR_TYPE)):
        how = f"{how}: {error}"
    delegation = found(semconv.AUDIT_DELEGATION)
    behalf = delegation[0] if isinstance(delegation, list) and len(delegation) > 1 else None
    parts = [
        f"#{entry.seq}",
        f"{entry.time[:23]}Z",
        _shown(entry.event_name),
        _shown(found(semconv.AUDIT_ACTION)),
        how,
        _shown(found(semconv.AUDIT_DECISION)),
        f"by {_shown(found(semconv.AUDIT_ACTOR_ID))}",
        "" if behalf is None else f"for {_shown(behalf)}",
        "" if found(semconv.AUDIT_TARGET_ID) is None else f"on {_shown(found(semconv.AUDIT_TARGET_ID))}",
        "" if entry.trace_id is None else f"trace {entry.trace_id}",
    ]
    text = "  ".join(part for part in parts if part)
    if not colour:
        return text
    if dim:
        return f"{_DIM}{text}{_RESET}"
    code = _DIM if phase == "intent" else _BY_OUTCOME.get(str(found(semconv.AUDIT_OUTCOME)), "")
    if found(semconv.AUDIT_DECISION) in _BLOCKED:
        code = _RED
    return f"{code}{text}{_RESET}" if code else text


def alarm(text: str, *, colour: bool) -> str:
    """Return a text that must not be overlooked; it is visible already."""
    return f"\x1b[1;31m{text}{_RESET}" if colour else text


def is_coloured(stream: TextIO | None) -> bool:
    """Return whether to colour: on a terminal that can, unless ``NO_COLOR`` is set (no-color.org)."""
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def stdout_is_coloured() -> bool:
    """Return `is_coloured` of stdout."""
    return is_coloured(sys.stdout)


def _shown(value: object) -> str:
    if value is None:
        return ""
    text = visible(value) if isinstance(value, str) else visible_json(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}…"
