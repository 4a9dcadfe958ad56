"""What is fuzzed: a module with ``check``, ``seeds``, ``mutate`` and ``MAX_INPUT_BYTES``."""

from __future__ import annotations

import base64
import contextlib
import importlib
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

MAX_SECONDS = 10
"""Of processor time, for one input: on a busy machine it may last longer."""
MAX_MIB = 512
MINIMISE_SECONDS = 30.0


class TooSlow(BaseException):
    """An input took longer than `MAX_SECONDS`; no handler of ``Exception`` may hide it."""


class Target:
    """A target.

    Attributes:
        check: Raises where something is wrong with what is made of an input.
        seeds: Inputs to begin with.
        mutate: Makes another input of one.
    """

    def __init__(self, module_name: str) -> None:
        """Import the module: that of ``tests.fuzz.line_target`` is ``line``."""
        module = importlib.import_module(module_name)
        self.name = self.name_of(module_name)
        self.check: Callable[[bytes], None] = module.check
        self.seeds: Callable[[], Sequence[bytes]] = module.seeds
        self.mutate: Callable[[bytes, random.Random], bytes] = module.mutate
        self.max_bytes: int = module.MAX_INPUT_BYTES

    @staticmethod
    def name_of(module_name: str) -> str:
        """Return how a target is called."""
        return module_name.rpartition(".")[2].removesuffix("_target")

    def failure(self, data: bytes) -> BaseException | None:
        """Return what an input makes the target raise, `TooSlow` where that takes too long."""
        with _alarm():
            try:
                self.check(data)
            except (Exception, TooSlow) as error:
                return error
        return None

    def minimised(self, data: bytes, seconds: float = MINIMISE_SECONDS) -> bytes:
        """Return a shorter input that fails in the same way: the same error from the same line."""
        expected = _where(self.failure(data))
        stop = time.monotonic() + seconds
        size = len(data) // 2 if expected else 0  # where it took only just too long, it may not fail again
        while size:
            at = 0
            while at < len(data) and time.monotonic() < stop:
                shorter = data[:at] + data[at + size :]
                if _where(self.failure(shorter)) == expected:
                    data = shorter
                else:
                    at += size
            size //= 2
        return data

    def told(self, data: bytes) -> str:
        """Return what is to be said of an input that fails: why, its bytes, and how to run it again."""
        small = self.minimised(data)
        error = self.failure(small)
        trace = "".join(traceback.format_exception(error)) if error else "it does not fail again\n"
        replay = f"python -m tests.fuzz.fuzz_{self.name} --replay {base64.b64encode(small).decode()}"
        return f"{trace}found by {len(small)} bytes (at first {len(data)}): {small[:4000]!r}\nreplay: {replay}"


def shown(data: bytes) -> str:
    """Return how long an input is, and what to replay, where that is short."""
    return f"{len(data)} bytes" + (f": {base64.b64encode(data).decode()}" if 0 < len(data) <= 120 else "")


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"longer than {MAX_SECONDS} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _where(error: BaseException | None) -> tuple[object, ...]:
    if error is None:
        return ()
    if isinstance(error, TooSlow):
        return (TooSlow,)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return type(error), last.filename, last.lineno
