"""What SIGTERM ends is closed first.

A program that leaves SIGTERM alone dies of it where it stands: no exit hook runs, and the log has no
``audit.log.closed``. uvicorn, which serves its last requests first, then raises the signal once more to die of it.
"""

from __future__ import annotations

import _thread  # a signal can come while `threading` holds its own locks
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

_WAIT_SECONDS: Final = 1.0
"""How long the signal holds the main thread, which may be in the middle of an append."""


def close_at_sigterm(close: Callable[[], None]) -> None:
    """Have ``close`` called before the process dies of SIGTERM; it still dies of SIGTERM.

    Nothing happens where somebody handles or ignores the signal already, or outside of the main
    thread. Who sets a handler of his own later replaces this one, and is handed it as the one before.
    Forked children have it too; processes that are started anew have not.

    Args:
        close: Called in a thread of its own: the main thread may hold the lock that it needs. It
            ends the process whatever it raises.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # the second one ends it at once
        never = _thread.allocate_lock()
        never.acquire()

        def end() -> None:
            try:
                close()
            finally:
                os.kill(os.getpid(), number)

        _thread.start_new_thread(end, ())
        never.acquire(timeout=_WAIT_SECONDS)
        # Still here: this thread was interrupted in an append, goes on with it, and then dies.

    signal.signal(signal.SIGTERM, handle)
