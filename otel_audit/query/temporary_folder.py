"""A temporary folder of one run, which a SIGTERM does not leave behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

_ATTEMPTS: Final = 10


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder, and take it away with what is in it at the end.

    Also where SIGTERM ends the process, which then still dies of it: in the main thread, and where the program
    has no handler of its own. Another thread may still be writing there.
    """
    folder = Path(tempfile.mkdtemp(prefix="otel-audit-"))
    try:
        with _removed_on_sigterm(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _removed_on_sigterm(folder: Path) -> Iterator[None]:
    # Where SIGTERM is ignored or handled, that stays so, and only the main thread may ask for it.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    owner = os.getpid()

    def die(number: int, _: FrameType | None) -> None:
        if os.getpid() == owner:  # a forked child has no part in the folder
            for _attempt in range(_ATTEMPTS):  # what is written meanwhile is in the way
                shutil.rmtree(folder, ignore_errors=True)
                if not folder.exists():
                    break
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, die)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
