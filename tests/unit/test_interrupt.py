"""`is_interrupt`: what a signal handler raised, and what a payload did."""

from __future__ import annotations

import asyncio
import functools
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from otel_audit.interrupt import is_interrupt
from otel_audit.value import clean, describe


class Stop(BaseException):
    """What a handler raises, and nobody else."""


def function(number: int, frame: FrameType | None) -> None:
    raise Stop


class Handlers:
    def method(self, number: int, frame: FrameType | None) -> None:
        raise Stop

    def __call__(self, *given: Any) -> None:
        raise Stop


def chained(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    function(number, frame)


def timed_out(number: int, frame: FrameType | None) -> None:
    raise TimeoutError


def with_setting(setting: str, number: int, frame: FrameType | None, *, status: int = 3) -> None:
    sys.exit(status)


HANDLERS: dict[str, tuple[Any, type[BaseException]]] = {
    "function": (function, Stop),
    "lambda": (lambda *_: sys.exit(3), SystemExit),
    "method": (Handlers().method, Stop),
    "callable object": (Handlers(), Stop),
    "partial": (functools.partial(with_setting, "x"), SystemExit),
    "one that calls another": (chained, Stop),
    "one that raises an ordinary exception": (timed_out, TimeoutError),
}


class Payload:
    """An object whose text runs code."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run

    def __repr__(self) -> str:
        self._run()
        return "Payload()"


@pytest.fixture
def handling() -> Iterator[Callable[[Any], object]]:
    """Return what sets the handler of SIGUSR1; put the old one back."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


def strike() -> None:
    signal.raise_signal(signal.SIGUSR1)


@pytest.mark.parametrize(("handler", "raised"), HANDLERS.values(), ids=HANDLERS)
def test_of_a_handler(handling: Callable[[Any], object], handler: Any, raised: type[BaseException]) -> None:
    """What a handler raises is an interrupt, in whatever frame it struck, and comes out of a payload's text."""
    handling(handler)
    with pytest.raises(raised) as caught:
        strike()
    assert is_interrupt(caught.value)
    handling(handler)
    with pytest.raises(raised):
        describe(Payload(strike))
    handling(handler)
    with pytest.raises(raised):
        clean({"a": [Payload(strike)]}, "/body", [], 2)


def raising(error: BaseException) -> Callable[[], object]:
    def run() -> None:
        raise error

    return run


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), GeneratorExit(), Stop(), TimeoutError()])
def test_of_a_payload(error: BaseException) -> None:
    """What a payload's own code raises is none, whatever its kind."""
    assert describe(Payload(raising(error))) == "<unprintable Payload>"
    assert not is_interrupt(error)


def test_a_handler_that_is_called_by_hand(handling: Callable[[Any], object]) -> None:
    """A payload that calls a function which is a handler, too, raises by itself."""
    handling(function)
    assert describe(Payload(lambda: function(signal.SIGUSR1, None))) == "<unprintable Payload>"
    assert describe(Payload(lambda: function(0, sys._getframe()))) == "<unprintable Payload>"


def test_keyboard_interrupt() -> None:
    """A KeyboardInterrupt is one wherever it comes from: nothing tells the two apart."""
    assert is_interrupt(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        describe(Payload(raising(KeyboardInterrupt())))


def test_parameters_of_another_kind() -> None:
    """Parameters that were assigned to, or deleted, are looked at without harm."""

    def assigned(*given: Any) -> None:
        given = 5  # type: ignore[assignment]  # noqa: F841
        raise Stop

    def deleted(number: int, frame: object) -> None:
        del number, frame
        raise Stop

    for call in (lambda: assigned(1, 2), lambda: deleted(1, 2)):
        with pytest.raises(Stop) as caught:
            call()
        assert not is_interrupt(caught.value)
