"""What this process may hold, bounded for a while: proc_pid_statm(5), getrlimit(2)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

try:
    import resource
except ImportError:  # Windows reads, too
    resource = None  # type: ignore[assignment]

_STATM: Final = "/proc/self/statm"
_DATA: Final = 5


@contextlib.contextmanager
def bounded_memory(more_bytes: int) -> Iterator[None]:
    """Let this process hold no more than so much more than now; nothing where the system does not tell (not Linux).

    Of every thread, and for as long as the body runs. What does not fit fails as an allocation: `MemoryError`, or
    what a library makes of it.

    Args:
        more_bytes: Of private writable memory, used or not.
    """
    try:
        held = int(Path(_STATM).read_text().split()[_DATA]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = min(limit for limit in (held + more_bytes, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
