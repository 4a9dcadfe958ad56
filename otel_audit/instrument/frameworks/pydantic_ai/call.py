"""Which methods of a model make one call: a subclass that has its parent ask, a stream that is asked for at once.

Only what is certain is one: the first other method of the same object that is asked the same. A
second try, and whatever another model is asked, is a call of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from otel_audit.instrument.frameworks.methods import Method


class Call:
    """A method of a model under way, as a part of a call.

    Attributes:
        begins: Whether the call begins with this method, rather than goes on.
        methods: Those that the call went through so far.
    """

    __slots__ = ("_goes_on", "_model", "_question", "begins", "methods")

    def __init__(self, model: object, question: object, method: Method) -> None:
        outer = _under_way.get()
        self._model = model
        self._question = question
        self._goes_on = True
        self.begins = True
        self.methods: frozenset[Method] = frozenset({method})
        if outer is not None and outer.takes(model, question, method):
            self.begins = False
            self.methods |= outer.methods

    def takes(self, model: object, question: object, method: Method) -> bool:
        """Return whether this method goes on with the call; only the first one does."""
        same = self._model is model and question is not None and self._question is question
        if not same or method in self.methods or not self._goes_on:
            return False
        self._goes_on = False
        return True

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Go on with this call for a block."""
        before = _under_way.get()
        _under_way.set(self)
        try:
            yield
        finally:
            # Not by token: a coroutine can be closed in another context than it was begun in.
            if _under_way.get() is self:
                _under_way.set(before)


_under_way: ContextVar[Call | None] = ContextVar("otel-audit-pydantic-ai-call", default=None)
