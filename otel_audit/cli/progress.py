"""How far a long command is, on a terminal; nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Final

_WIDTH: Final = 30
_EVERY_SECONDS: Final = 0.1
_SETTLED_SECONDS: Final = 0.5
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """One line on stderr, drawn over itself.

    Args:
        unit: Of what is counted: ``bytes``, or a noun in the plural.
        quiet: Draw nothing, on a terminal either.
    """

    def __init__(self, unit: str, *, quiet: bool = False) -> None:
        self._unit = unit
        self._shown = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._drawn = False
        self._begun = time.monotonic()
        self._next = self._begun + _EVERY_SECONDS
        self._done = 0

    def __call__(self, done: int, total: int | None) -> None:
        """Say how far it is; of how much, where that is known. Less than before: it begins anew."""
        if not self._shown:
            return
        now = time.monotonic()
        if done < self._done:
            self._begun = now
        self._done = done
        if now < self._next:
            return
        self._next = now + _EVERY_SECONDS
        self._drawn = True
        with contextlib.suppress(OSError):
            line = bar(done, total, self._unit) + pace(done, total, self._unit, now - self._begun)
            print(f"{_CLEAR}{line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, so that nothing of it stands before what comes next."""
        if self._drawn:
            self._drawn = False
            with contextlib.suppress(OSError):
                print(_CLEAR, end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(unit: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Show progress while the body runs; nothing of it is left behind, after Ctrl-C either."""
    shown = Progress(unit, quiet=quiet)
    try:
        yield shown
    finally:
        shown.clear()


def bar(done: int, total: int | None, unit: str) -> str:
    """Return the line that says how far it is."""
    amount = _size(done) if unit == "bytes" else f"{done:,}"
    if not total:
        return f"{amount} {'' if unit == 'bytes' else unit}".rstrip()
    share = min(1.0, done / total)
    filled = int(share * _WIDTH)
    whole = _size(total) if unit == "bytes" else f"{total:,} {unit}"
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {share:4.0%}  {amount} of {whole}"


def pace(done: int, total: int | None, unit: str, seconds: float) -> str:
    """Return how fast it goes, and how long it will still take at that; empty until that can be said."""
    if seconds < _SETTLED_SECONDS or done <= 0:
        return ""
    rate = done / seconds
    text = f"  {_size(int(rate)) if unit == 'bytes' else f'{rate:,.0f}'}/s"
    if not total or done >= total:
        return text
    left = round((total - done) / rate)
    minutes, seconds_left = divmod(left, 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{seconds_left:02}" if hours else f"{minutes}:{seconds_left:02}"
    return f"{text}, {clock} left"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
