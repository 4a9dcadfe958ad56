"""Haystack: methods of a tool's or a model's class that are no plain functions, and copies of bound methods."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Iterator
from functools import partialmethod
from typing import Any

import pytest
from haystack import component
from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage
from haystack.tools import Tool

from otel_audit import AuditInstrumentor
from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.frameworks.haystack_parts import agent, call_of, instrumented, messages
from tests.frameworks.recorded import lines

ACT = ["tool intent act", "tool success act"]


@pytest.fixture(autouse=True)
def auditing() -> Iterator[None]:
    """Audit Haystack."""
    with instrumented():
        yield


class Partial(Tool):  # type: ignore[misc]  # not installed where the types are checked
    def _do(self, kind: str, **given: Any) -> Any:
        ran.append(kind)
        return given["text"]

    async def _ado(self, kind: str, **given: Any) -> Any:
        ran.append(kind)
        return given["text"]

    invoke = partialmethod(_do, "partial")
    invoke_async = partialmethod(_ado, "partial")


class Property(Tool):  # type: ignore[misc]
    def _do(self, **given: Any) -> Any:
        ran.append("property")
        return given["text"]

    async def _ado(self, **given: Any) -> Any:
        ran.append("property")
        return given["text"]

    invoke = property(lambda self: self._do)
    invoke_async = property(lambda self: self._ado)


class Static(Tool):  # type: ignore[misc]
    @staticmethod
    def invoke(**given: Any) -> Any:
        ran.append("static")
        return given["text"]

    @classmethod
    async def invoke_async(cls, **given: Any) -> Any:
        ran.append("static")
        return given["text"]


ran: list[str] = []


@component
class PartialModel:
    """Answers as is said in its class."""

    model = "scripted-1"

    def __init__(self) -> None:
        component.set_output_types(self, replies=list[ChatMessage])

    def _do(self, answer: str, messages: list[ChatMessage], tools: Any = None) -> dict[str, Any]:
        return {"replies": [ChatMessage.from_assistant(answer)]}

    run = partialmethod(_do, "done")


def same(text: str) -> str:
    """Return what is given."""
    ran.append("plain")
    return text


def made(kind: Any) -> Any:
    """Return a tool."""
    ran.clear()
    parameters = {"type": "object", "properties": {"text": {"type": "string"}}}
    return kind(name="act", description="Act.", parameters=parameters, function=same)


def use(tool: Any, *, is_async: bool) -> Any:
    """Call a tool."""
    return asyncio.run(tool.invoke_async(text="a")) if is_async else tool.invoke(text="a")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", [Partial, Property, Static])
class TestTool:
    def test_is_one_act(self, log: CapturedAudit, kind: Any, is_async: bool) -> None:
        """A tool's method may be a partial one, a property's, a class's or a static one."""
        assert use(made(kind), is_async=is_async) == "a"
        assert lines(log) == ACT

    def test_does_not_run_unrecorded(self, log: CapturedAudit, kind: Any, is_async: bool) -> None:
        """A tool whose intent cannot be written does not run."""
        tool = made(kind)
        log.fail(OSError("no space"), times=9)
        with pytest.raises(AuditWriteError):
            use(tool, is_async=is_async)
        assert ran == []


def test_model(log: CapturedAudit) -> None:
    """A chat generator's ``run`` that is a partial method is audited when an agent asks it."""
    result = Agent(chat_generator=PartialModel()).run(messages=messages())
    assert result["last_message"].text == "done"
    assert lines(log)[1:-1] == ["model intent scripted-1", "model success scripted-1"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda held: pickle.loads(pickle.dumps(held))])
@pytest.mark.parametrize("kind", [Tool, Partial])
def test_bound_methods_are_copied(log: CapturedAudit, kind: Any, copied: Any) -> None:
    """A copy of a bound method, deep or by pickle, is audited as the method is; later, it is the plain one."""
    tool = made(kind)
    assert copied({"h": tool.invoke})["h"](text="a") == "a"
    assert lines(log) == ACT
    AuditInstrumentor().uninstrument()
    assert copied(tool.invoke)(text="a") == "a"
    assert lines(log) == ACT


def test_in_an_agent(log: CapturedAudit) -> None:
    """An agent's tool of such a class is recorded with the id of the call."""
    agent([call_of("act", text="a"), "done"], [made(Partial)]).run(messages=messages())
    entries = [entry for entry in log.entries if entry.event_name == "gen_ai.tool.execute"]
    assert [entry.attributes["gen_ai.tool.call.id"] for entry in entries] == ["call-1"] * 2
    assert ran == ["partial"]
