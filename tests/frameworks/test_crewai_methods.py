"""crewai: methods of a tool's class that are no plain functions, and copies of bound methods."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Iterator
from functools import partialmethod
from typing import Any, ClassVar

import pytest

from otel_audit import AuditInstrumentor, AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.frameworks.conformance.crewai import DRIVER
from tests.frameworks.conformance.told import audited, of_kind, short
from tests.frameworks.crewai_parts import BaseTool

pytestmark = [pytest.mark.filterwarnings(text) for text in DRIVER.warnings]
ran: list[str] = []


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit crewai in every test."""
    ran.clear()
    with audited(DRIVER):
        yield


class Pay(BaseTool):  # type: ignore[misc]  # not installed where the types are checked
    name: str = "pay"
    description: str = "Pay."

    def _run(self, amount: int) -> str:
        return self.note("plain", amount=amount)

    def note(self, kind: str, amount: int) -> str:
        """Pay."""
        ran.append(kind)
        return f"paid {amount}"

    async def anote(self, kind: str, amount: int) -> str:
        """Pay, as a coroutine."""
        return self.note(kind, amount)


class Partial(Pay):
    run: ClassVar[Any] = partialmethod(Pay.note, "partial")
    arun: ClassVar[Any] = partialmethod(Pay.anote, "partial")


class Property(Pay):
    run = property(lambda self: lambda amount: self.note("property", amount))
    arun = property(lambda self: lambda amount: self.anote("property", amount))


class Static(Pay):
    @staticmethod
    def run(amount: int) -> str:
        """Pay."""
        ran.append("static")
        return f"paid {amount}"

    @classmethod
    async def arun(cls, amount: int) -> str:
        """Pay."""
        return cls.run(amount)


def use(tool: Any, *, is_async: bool) -> Any:
    """Call a tool."""
    return asyncio.run(tool.arun(amount=5)) if is_async else tool.run(amount=5)


def told(log: CapturedAudit) -> list[str]:
    """Return the entries of tools, in short."""
    return [short(entry) for entry in of_kind(log.entries, "tool")]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", [Partial, Property, Static])
class TestTool:
    def test_is_one_act(self, log: CapturedAudit, kind: Any, is_async: bool) -> None:
        """A tool's method may be a partial one, a property's, a class's or a static one."""
        assert use(kind(), is_async=is_async) == "paid 5"
        assert told(log) == ["tool intent pay", "tool success pay"]
        assert ran == [kind.__name__.lower()]

    def test_does_not_run_unrecorded(self, log: CapturedAudit, kind: Any, is_async: bool) -> None:
        """A tool whose intent cannot be written does not run."""
        tool = kind()
        log.fail(OSError("no space"), times=9)
        with pytest.raises(AuditWriteError):
            use(tool, is_async=is_async)
        assert ran == []


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda held: pickle.loads(pickle.dumps(held))])
@pytest.mark.parametrize("kind", [Pay, Partial])
def test_methods_are_copied(log: CapturedAudit, kind: Any, copied: Any) -> None:
    """A copy of a method, deep or by pickle, is audited as the method is; later, it is the plain one.

    By its class: crewai's tools themselves can neither be copied deep nor pickled.
    """
    tool = kind()
    assert copied({"h": kind.run})["h"](tool, amount=5) == copy.copy(tool.run)(amount=5) == "paid 5"
    assert told(log) == ["tool intent pay", "tool success pay"] * 2
    AuditInstrumentor().uninstrument()
    assert copy.copy(tool.run)(amount=5) == "paid 5"
    assert told(log) == ["tool intent pay", "tool success pay"] * 2
