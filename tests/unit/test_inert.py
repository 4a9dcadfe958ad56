"""`otel_audit.inert`, and the list of the report's page (``inert.js``), which is the same."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from otel_audit import inert
from otel_audit.inert import visible, visible_in_json

SCRIPT = Path(inert.__file__).parent / "report" / "assets" / "inert.js"


def shown_by_the_page() -> set[int]:
    """Return the code points in the page's list, read as JavaScript spells them."""
    [members] = re.findall(r"^  /\[(.+)\]/gu;$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
    code = r"\\u(?:\{([0-9a-f]+)\}|([0-9a-f]{4}))"
    assert re.fullmatch(f"(?:{code}(?:-{code})?)+", members)
    found: set[int] = set()
    for first, short, last, short_last in re.findall(f"{code}(?:-{code})?", members):
        start = int(first or short, 16)
        found.update(range(start, int(last or short_last, 16) + 1 if last or short_last else start + 1))
    return found


def unsafe() -> set[int]:
    """Return the code points that are escaped here."""
    return {code for code in range(sys.maxunicode + 1) if visible(chr(code)) != chr(code)}


def test_one_list() -> None:
    """What the page spells out is what the commands spell out, character by character."""
    assert sorted(unsafe() ^ shown_by_the_page()) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pay\u00adment", "pay\\u00adment"),
        ("rm\u3164", "rm\\u3164"),
        ("a\u200cb\u200dc", "a\\u200cb\\u200dc"),
        ("\u115f\u1160\u180e\uffa0", "\\u115f\\u1160\\u180e\\uffa0"),
        ("a\U000e0141", "a\\u{e0141}"),
        ("Müller, 日本, שלום, \u00a0", "Müller, 日本, שלום, \u00a0"),
    ],
)
def test_what_hides(text: str, shown: str) -> None:
    """What has no shape of its own is spelled out, in JSON so that the value stays; what people write stays."""
    assert visible(text) == shown
    quoted = json.dumps(text, ensure_ascii=False)
    assert json.loads(visible_in_json(quoted)) == text
    assert visible(visible_in_json(quoted)) == visible_in_json(quoted)
