r"""Log content that people look at: nothing in it may move the cursor, hide text or turn it round.

Whoever is audited chooses what stands in the log. Control characters (C0, C1, DEL), line and
paragraph separators, the marks that change the direction of text, lone surrogates, and all that
has no shape of its own (Unicode's Default_Ignorable_Code_Point: soft hyphens, joiners, fillers,
variation selectors, tag characters) are shown as ``\n``, ``\t``, ``\r``, ``\u001b``,
``\u{e0001}``. Joiners and variation selectors belong to ordinary Persian and Hindi, and to emoji:
there an escape is read in their place. Else two names could look the same and differ, or carry
what nobody sees. `visible_in_json` leaves every value what it is. Pure.
"""

from __future__ import annotations

import re
from typing import Final

UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Return the text with every unsafe character escaped; safe text as it is."""
    return UNSAFE.sub(_escape, text)


def visible_in_json(text: str) -> str:
    """Return JSON with every unsafe character in it escaped as JSON does: still JSON of the same value."""
    return UNSAFE.sub(_escape_in_json, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\u{code:04x}" if code <= 0xFFFF else f"\\u{{{code:x}}}")


def _escape_in_json(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
