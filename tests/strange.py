"""A log in which every field holds what could do harm where it is shown, or can be misread."""

from __future__ import annotations

import json
from typing import Any, Final

from tests import logs

EVIL: Final = (
    "\x1b]0;owned\x07\x1b[2J",
    "\x00\x08\x7f\x85\u009b31m",
    "\u202etxt.exe\u2066\u200f\ufeff\U000e0041",
    "line\r\nfeed\u2028and\u2029\ttab",
)
"""Escape sequences, BEL, NUL, C1, bidirectional overrides, tag characters, line ends."""

FULL_WIDTH: Final = ("\uff1d1", "\uff0b1", "\uff0d1", "\uff20a")
FORMULAS: Final = (
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "'a", *FULL_WIDTH),
    *('=HYPERLINK("http://example.com","a")', '","=1', "=cmd|' /C calc'!A0"),
)
"""What spreadsheets run, with what could get round a rule."""

PLAIN: Final = ("日本 ☕ é", "a,b", 'quote " and , comma', " spaces ", "NA", "null", "1e5", "0123", "\U0001f600")


_WORDS: Final = (
    *("audit.actor.id", "audit.actor.type", "audit.action", "audit.outcome", "audit.target.id", "audit.target.type"),
    *("audit.source.id", "audit.source.type", "audit.phase", "audit.intent.id", "audit.decision", "audit.reason"),
    *("audit.trail", "error.type", "code.function.name"),
)


def _everywhere(seq: int, text: str) -> logs.Members:
    """Return an entry with a text in every field that takes one."""
    members: dict[str, Any] = logs.entry(seq, text[:200])
    members["attributes"] |= dict.fromkeys(_WORDS, text)
    members["attributes"] |= {
        "audit.delegation": [text, text],
        "audit.altered": [text],
        "audit.arguments": {text: [text]},
        "audit.result": text,
        text: {text: text},
    }
    members["resource"] = {"service.name": text, "host.name": text, "process.pid": 1, text: text}
    members["scope"] = {"name": text, "version": text}
    found: dict[str, Any] = {}
    for name, value in members.items():  # in the order of the format
        if name == "attributes":
            found |= {"severity_text": text, "severity_number": -3, "body": {text: [text]}}
        found[name] = value
    return found


def _typed(seq: int) -> logs.Members:
    """Return an entry whose attributes have types that they should not have, and numbers at their limits."""
    members = logs.entry(seq, "strange.types")
    members["time"] = "0001-01-01T00:00:00.000000000Z" if seq % 2 else "9999-12-31T23:59:59.999999999Z"
    members["attributes"] |= {
        "audit.actor.id": ["a"], "audit.outcome": 7, "audit.delegation": "a", "audit.duration": "-1",
        "audit.reason": {"a": 1}, "audit.altered": [1], "least": -(2**63), "greatest": 2**63 - 1, "odd": 2**53 + 1,
        "whole": 1.0, "zero": -0.0, "small": 5e-324, "null": None, "true": True, "$": {"$bytes": "AP8="},
    }  # fmt: skip
    return members


def _deep(seq: int) -> logs.Members:
    """Return an entry nested as deep as a line may be."""
    members = logs.entry(seq, "deep")
    value: object = "bottom"
    for _ in range(61):
        value = [value]
    members["attributes"]["deep"] = value
    return members


def lines() -> list[bytes]:
    """Return the lines of the log: sound, of one segment."""
    made = [logs.opened()]
    for text in (*EVIL, *FORMULAS, *PLAIN, "x" * 4_000):
        made.append(_everywhere(len(made) + 1, text))
    made += [_typed(len(made) + 1), _typed(len(made) + 2), _deep(len(made) + 3)]
    return list(logs.chain(made))


def members() -> list[dict[str, Any]]:
    """Return the entries, as JSON reads them."""
    return [json.loads(line) for line in lines()]


def is_inert(text: str) -> bool:
    """Whether nothing in a text but its line ends can move a cursor, hide or turn text."""
    return all(character.isprintable() or character in "\n\u00a0" for character in text.replace("\r\n", "\n"))
