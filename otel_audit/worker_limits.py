"""How many processes read a log at the same time at most, and from what length on they are worth their while."""

from __future__ import annotations

import os
from typing import Final

MIN_BYTES: Final = 64 << 20
"""Fewer are read sooner by one process than more processes are there for them."""
MAX_WORKERS: Final = 8
"""Unless more are asked for."""


def processors() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
