"""A captured value whose own code ends the program, or cancels the task: the call goes on."""

from __future__ import annotations

import asyncio
import collections
import collections.abc
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_audit import audited
from otel_audit.instrument.capture import MAX_CHARACTERS, TRUNCATED, capture_arguments, capture_result
from otel_audit.instrument.secrets import REDACTED
from otel_audit.testing import capture_audit
from tests.hostile import laughs

ERRORS = [SystemExit(3), asyncio.CancelledError(), GeneratorExit(), RecursionError(), ValueError()]


class Own:
    """What a value's methods do."""

    error: BaseException

    def fail(self, *_: Any) -> Any:
        raise self.error


class Text(Own):
    __repr__ = Own.fail


class Class(Own):
    __class__ = property(Own.fail)


class Items(Own, collections.UserDict[str, Any]):
    items = Own.fail


class LateItems(Own, collections.UserDict[str, Any]):
    def items(self) -> Any:
        yield "a", 1
        raise self.error


class Length(Own, list[Any]):
    __len__ = Own.fail


class Iteration(Own, list[Any]):
    __iter__ = Own.fail


class Slice(Own, bytes):
    __getitem__ = Own.fail


class Members(Own):
    model_fields = {"a": None}  # noqa: RUF012
    a = property(Own.fail)


class Name(Own):
    __repr__ = Own.fail
    __str__ = Own.fail
    __hash__ = object.__hash__


class Meta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit(4)


class Nameless(Own, metaclass=Meta):
    __repr__ = Own.fail


def values(error: BaseException) -> Iterator[Any]:
    """Yield a value of each kind."""
    for kind in (Text, Class, Items, LateItems, Length, Iteration, Slice, Members, Name, Nameless):
        value: Any = kind.__new__(kind)  # type: ignore[type-var]
        value.error = error
        yield value
        yield [{"a": value}]
        if kind is Name:
            yield {value: 1}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
class TestErrors:
    def test_the_call_goes_on(self, error: BaseException) -> None:
        """Whatever a captured argument or result raises, the function runs, and its own result comes through."""
        with capture_audit() as log:

            @audited("thing.pass", capture="*", capture_result=True, attributes=lambda call: dict(call.arguments))
            def give_back(value: Any) -> Any:
                return value

            for value in values(error):
                assert give_back(value) is value
            entries = log.entries
        count = len(list(values(error)))
        assert [entry.attributes["audit.phase"] for entry in entries] == ["intent", "outcome"] * count
        assert {entry.attributes["audit.outcome"] for entry in entries} == {"unknown", "success"}

    async def test_the_coroutine_goes_on(self, error: BaseException) -> None:
        """So it is in a coroutine, which is not cancelled by it."""
        with capture_audit() as log:

            @audited("thing.pass", capture="*", capture_result=True)
            async def give_back(value: Any) -> Any:
                await asyncio.sleep(0)
                return value

            for value in values(error):
                assert await give_back(value) is value
            assert len(log.entries) == 2 * len(list(values(error)))

    def test_emit_goes_on(self, error: BaseException) -> None:
        """Values, names and whole maps that fail so are recorded by their text, or their type."""
        with capture_audit() as log:
            audit = log.provider.get_audit_logger("shop")
            for value in values(error):
                assert audit.emit("event", attributes={"x": value}, body=value).recorded
                attributes: Any = {value: 1} if type(value) is Name else value
                assert audit.emit("event", attributes=attributes).recorded
            texts = [str(entry.attributes) for entry in log.entries]
        assert any("<unprintable Text>" in text for text in texts)

    def test_redact_fails(self, error: BaseException) -> None:
        """Where the provider's `redact` raises it, nothing of the value is recorded, and the call goes on."""
        own = Own()
        own.error = error
        assert capture_arguments({"a": 1}, ("a",), redact=own.fail) == {"a": REDACTED}
        assert capture_result(1, redact=own.fail) == REDACTED


class Striking:
    """Strikes with a signal while it is looked at."""

    def __repr__(self) -> str:
        signal.raise_signal(signal.SIGUSR1)
        return "Striking()"


def test_a_signal_handler_ends_the_program() -> None:
    """What a signal handler raises while a value is captured goes on; the function does not run."""
    before = signal.signal(signal.SIGUSR1, lambda *_: sys.exit(7))
    ran: list[object] = []
    try:
        with capture_audit():

            @audited("thing.pass", capture="*")
            def note(value: object) -> None:
                ran.append(value)

            with pytest.raises(SystemExit, match="7"):
                note([Striking()])
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ran == []


def calls_in(run: Callable[[], object]) -> int:
    """Return how many functions were called: what work it was, whatever the machine."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def shared_sets(levels: int) -> object:
    """Return sets that unfold to two to the power of so many levels."""
    value: object = frozenset()
    for level in range(levels):
        value = frozenset([value, (value,), level])
    return value


class TestBounds:
    def test_texts_together(self) -> None:
        """All texts and bytes of one call together are bounded: one that is shared is redacted again each time."""
        altered: list[str] = []
        given: list[object] = ["x" * 60_000] * 1000 + [b"x" * 60_000] * 1000
        captured = capture_arguments({"a": given}, ("a",), altered=altered)
        assert captured is not None
        texts: Any = captured["a"]
        assert sum(map(len, texts)) < MAX_CHARACTERS + 2000 * len(TRUNCATED)
        assert texts[0] == "x" * 60_000
        assert texts[999] == TRUNCATED
        assert len(altered) > 1900

    def test_texts_of_objects(self) -> None:
        """Nor is the text of another object asked for, once nothing of it could be recorded."""
        asked: list[int] = []

        class Long:
            def __repr__(self) -> str:
                asked.append(1)
                return "x" * 100_000

        capture_arguments({"a": [Long() for _ in range(5000)]}, ("a",))
        assert len(asked) < 20

    @pytest.mark.parametrize("value", [laughs(70), shared_sets(60), {shared_sets(60): 1}, [shared_sets(60)] * 100])
    def test_shared_parts(self, value: object) -> None:
        """What shares its parts, and would unfold without end, is captured with little work."""
        assert calls_in(lambda: capture_arguments({"a": value}, ("a",))) < 3_000_000
