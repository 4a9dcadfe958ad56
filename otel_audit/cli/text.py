r"""Log content on a terminal: nothing in it may move the cursor, hide text or turn it round.

Whoever is audited chooses what stands in the log. Control characters (C0, C1, DEL), line and
paragraph separators, the marks that change the direction of text, tag characters and lone
surrogates are shown as ``\n``, ``\t``, ``\r``, ``\u001b``, ``\u{e0001}``.
"""

from __future__ import annotations

import json
import os
import re
from typing import Final

_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Return the text with every unsafe character escaped; safe text as it is."""
    return _UNSAFE.sub(_escape, text)


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


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\u{code:04x}" if code <= 0xFFFF else f"\\u{{{code:x}}}")
