"""Exit statuses of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

OK: Final = 0
"""No error was found, or something was shown."""
FOUND: Final = 1
"""Tampering, loss, a missing or empty log; of what looks for entries: there are none."""
UNUSABLE: Final = 2
"""Wrong usage, a file that cannot be read, a format version that is not known."""
UNANCHORED: Final = 3
"""An anchor was required and none matched."""
INTERRUPTED: Final = 130
"""Ctrl-C."""
PIPE_CLOSED: Final = 141
"""Whoever read stdout went away."""

_GRAVEST_FIRST: Final = (FOUND, UNUSABLE, UNANCHORED)


def gravest(statuses: Iterable[int]) -> int:
    """Return the status of several logs together: what was found outweighs what cannot be read."""
    seen = set(statuses)
    return next((status for status in _GRAVEST_FIRST if status in seen), OK)
