"""The names of a log's files (docs/format.md, "Segments"). Pure.

For ``NAME.jsonl`` the next segments are ``NAME.000002.jsonl``, ``NAME.000003.jsonl``, …, longer
from 1,000,000 on. Names are matched literally and compared as numbers.
"""

from __future__ import annotations

import re
from typing import Final

_SUFFIX: Final = ".jsonl"
_LATER: Final = re.compile(r"(?s)(?P<stem>.*)\.(?P<number>[0-9]{6,})\.jsonl")


def segment_name(first_name: str, number: int) -> str:
    """Return the base name of a segment, from that of the first (``NAME.jsonl``)."""
    return first_name if number == 1 else f"{first_name.removesuffix(_SUFFIX)}.{number:06d}{_SUFFIX}"


def segment_number(first_name: str, name: str) -> int | None:
    """Return the number of a segment of this log, None where the name is no segment's."""
    if name == first_name:
        return 1
    match = _LATER.fullmatch(name)
    if match is None or not match["number"].isascii():
        return None
    number = int(match["number"]) if len(match["number"]) < 20 else 0
    return number if number > 1 and name == segment_name(first_name, number) else None


def first_segment_name(name: str) -> str:
    """Return the base name of the first segment of the log that a segment belongs to."""
    match = _LATER.fullmatch(name)
    return name if match is None else match["stem"] + _SUFFIX


def checksum_name(first_name: str) -> str:
    """Return the base name of the checksum file, as ``sha256sum -c`` reads it."""
    return f"{first_name.removesuffix(_SUFFIX)}.sha256"
