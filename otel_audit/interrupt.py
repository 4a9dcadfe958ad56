"""Whether an exception ends the program, or came out of a payload's own code.

A recorder of other people's values runs their code (``__repr__``, ``items()``, a property), and that may
raise anything, `SystemExit` and `asyncio.CancelledError` too; it must not reach the program that is
audited. What a signal handler raises at that moment must.
"""

from __future__ import annotations

import inspect
import itertools
import signal
from types import FrameType


def is_interrupt(error: BaseException) -> bool:
    """Whether an exception that was caught around a payload's code is none of its own.

    A `KeyboardInterrupt` never is: no traceback tells the interpreter's own handler from a
    payload that raises it. Any other was raised by a signal handler if it went through one.
    Python calls a handler as ``handler(signal_number, frame)`` with the frame that it
    interrupted, which then is the handler's caller; ordinary functions are not handed their
    caller's frame behind the number of a signal.

    Not recognized: a handler that is no Python function, or that assigns to its parameters; what
    another thread sets with ``PyThreadState_SetAsyncExc``.
    """
    if isinstance(error, KeyboardInterrupt):
        return True
    traceback = error.__traceback__
    while traceback is not None:
        if _is_handler(traceback.tb_frame):
            return True
        traceback = traceback.tb_next
    return False


def _is_handler(frame: FrameType) -> bool:
    code, caller = frame.f_code, frame.f_back
    many = bool(code.co_flags & inspect.CO_VARARGS)
    if caller is None or (code.co_argcount < 2 and not many):
        return False
    values = frame.f_locals
    given = [values.get(name) for name in code.co_varnames[: code.co_argcount]]
    if many:
        rest = values.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount])
        given += rest if type(rest) is tuple else ()
    return any(
        frame_given is caller and type(number) is int and 0 < number < signal.NSIG
        for number, frame_given in itertools.pairwise(given)
    )
