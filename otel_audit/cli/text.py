"""Log content on a terminal, as text and as JSON (`otel_audit.inert` makes it harmless)."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable

from otel_audit.inert import visible

__all__ = ["ascii_json", "path_text", "plural", "tell", "visible", "visible_json"]


def tell(message: str, dressed: Callable[[str], str] = str) -> None:
    """Say something on stderr, as this program; nothing where that is closed, or cannot be written.

    Args:
        message: Made harmless here.
        dressed: Gives the whole line its colour.
    """
    if sys.stderr is None:  # print would take stdout for it
        return
    with contextlib.suppress(OSError):
        print(dressed(f"otel-audit: {visible(message)}"), file=sys.stderr)


def visible_json(value: object) -> str:
    """Return compact JSON of a value for people: other scripts as they are, nothing unsafe."""
    return visible(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def ascii_json(value: object, indent: int | None = None) -> str:
    """Return JSON for programs, in ASCII, with DEL escaped as well."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, indent=indent, separators=separators).replace("\x7f", "\\u007f")


def path_text(path: str) -> str:
    """Return a path that may hold undecodable bytes as text that can be encoded."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return visible(path)


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return ``1 line``, ``2 lines``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
