"""The lines of a block of bytes that a selection may want, found without parsing them.

Pure. What it passes over cannot match; what it yields has still to be asked
(`otel_audit.selection.Selection.matches`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from otel_audit.errors import AuditRecordError
from otel_audit.line_form import format_time
from otel_audit.selection import Selection

_BEGINS: Final = re.compile(rb'\{"seq":([0-9]{1,16}),"time":"([^"\\]{30})"')
"""How a line begins, but for one whose time is spelled with an escape."""
_FOLD_ESCAPES: Final = (b"/", b"u(?!00[01])")
_MAX_FINDS: Final = 8
_FIRST_TIME: Final = b"0000"
_LAST_TIME: Final = b"9999-99"

Find = Callable[[bytes, int], int]
"""Where the next hit in some bytes begins, from a place on; -1: there is none."""


class Scanner:
    """Finds the lines that a selection may want.

    Args:
        selection: What is wanted.
    """

    def __init__(self, selection: Selection) -> None:
        self._finds: list[Find] = []
        escapes: dict[bytes, None] = {}
        # The longest first: it is the rarest, as a rule.
        for group in sorted(selection.needles(), key=lambda group: -len(group[0])):
            spelled = [needle for needle in group if not needle.startswith(b"\\")]
            escapes |= dict.fromkeys(needle for needle in group if needle.startswith(b"\\"))
            self._finds.append(_find_any(spelled))
        behind = [re.escape(escape[1:]) for escape in escapes]
        self._folded = selection.folded_needle()
        if self._folded is not None:
            behind += _FOLD_ESCAPES
        self._escape = re.compile(rb"\\(?=%b)" % b"|".join(behind)) if behind else None
        self._has_text = selection.is_text_in if selection.text else None
        self._begins = _begins(selection)

    def lines(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield where each line that may match begins, and its bytes without LF.

        Args:
            data: Whole lines, the last LF left off.
        """
        if self._finds:
            found = self._by_needle(data)
        elif self._folded is not None and self._has_none_of_the_text(data):
            return
        else:
            found = _all_lines(data)
        for at, line in found:
            if (self._begins is None or self._begins(line)) and (self._has_text is None or self._has_text(line)):
                yield at, line

    def _by_needle(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        first, *others = self._finds
        at = 0
        hit = first(data, 0)
        escaped = _search_escape(self._escape, data, 0)
        while hit >= 0 or escaped >= 0:
            either = hit if escaped < 0 or 0 <= hit < escaped else escaped
            at = data.rfind(b"\n", at, either) + 1 or at
            end = data.find(b"\n", either)
            line = data[at:] if end < 0 else data[at:end]
            if 0 <= escaped < at + len(line) or all(find(line, 0) >= 0 for find in others):
                yield at, line
            if end < 0:
                return
            at = end + 1
            if 0 <= hit < at:
                hit = first(data, at)
            if 0 <= escaped < at:
                escaped = _search_escape(self._escape, data, at)

    def _has_none_of_the_text(self, data: bytes) -> bool:
        return (
            self._folded is not None
            and data.isascii()
            and self._folded not in data.lower()
            and _search_escape(self._escape, data, 0) < 0
        )


def _all_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    for line in data.split(b"\n"):
        yield at, line
        at += len(line) + 1


def _find_any(needles: list[bytes]) -> Find:
    if len(needles) == 1:
        (needle,) = needles
        return lambda data, at: data.find(needle, at)
    if len(needles) > _MAX_FINDS:
        pattern = re.compile(b"|".join(map(re.escape, needles)))
        return lambda data, at: _search(pattern, data, at)

    def find(data: bytes, at: int) -> int:
        best = -1
        for needle in needles:
            found = data.find(needle, at) if best < 0 else data.find(needle, at, best)
            best = best if found < 0 else found
        return best

    return find


def _search(pattern: re.Pattern[bytes] | None, data: bytes, at: int) -> int:
    match = None if pattern is None else pattern.search(data, at)
    return -1 if match is None else match.start()


def _search_escape(pattern: re.Pattern[bytes] | None, data: bytes, at: int) -> int:
    # One byte is found many times as fast as a pattern, and most blocks have no backslash.
    at = data.find(b"\\", at)
    return -1 if at < 0 else _search(pattern, data, at)


def _begins(selection: Selection) -> Callable[[bytes], bool] | None:
    """Return what tells by the beginning of a line that its seq or time is not wanted."""
    if (selection.since_seq, selection.until_seq, selection.since_ns, selection.until_ns) == (None,) * 4:
        return None
    lowest = selection.since_seq or 0
    highest = 10**16 if selection.until_seq is None else selection.until_seq
    first = _time(selection.since_ns, _FIRST_TIME)
    last = _time(selection.until_ns, _LAST_TIME)

    def wanted(line: bytes) -> bool:
        match = _BEGINS.match(line)
        # What begins otherwise is left to the parser.
        return match is None or (lowest <= int(match[1]) <= highest and first <= match[2] < last)

    return wanted


def _time(time_ns: int | None, default: bytes) -> bytes:
    try:
        return default if time_ns is None else format_time(time_ns)
    except AuditRecordError:  # outside the years 1 to 9999
        return _FIRST_TIME if time_ns is not None and time_ns < 0 else _LAST_TIME
