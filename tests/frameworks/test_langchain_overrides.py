"""Tools and models whose classes have ways of their own, which need not go through the framework's."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partialmethod, singledispatchmethod
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import LLM, BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.prebuilt import ToolNode
from pydantic import BaseModel

import otel_audit
from otel_audit import AuditInstrumentor, read_log
from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.disk import fill
from tests.frameworks.langchain_support import (
    HELLO,
    ScriptedModel,
    StreamingModel,
    calls,
    found_intent,
    instrumented,
    lines,
    model,
    of,
    says,
)
from tests.frameworks.test_langchain import run_program


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Audit LangChain."""
    with instrumented():
        yield


TOOL = [("tool.execute", "own", "intent", "unknown"), ("tool.execute", "own", "outcome", "success")]
CALL = [("model.call", "scripted-1", "intent", "unknown"), ("model.call", "scripted-1", "outcome", "success")]
OVERRIDES = ("run", "arun", "invoke", "ainvoke")

ran: list[Callable[[], None]] = []
"""What a tool does when it runs; the last one."""


class Own(BaseTool):  # type: ignore[misc]  # not installed where the types are checked
    name: str = "own"
    description: str = "Do."

    def _run(self, a: int) -> str:
        return does()


def does() -> str:
    if ran:
        ran[-1]()
    return "done"


def answers(given: Any) -> Any:
    return ToolMessage(does(), tool_call_id=given["id"]) if isinstance(given, dict) and "id" in given else does()


class Runs(Own):
    def run(self, tool_input: Any, **kwargs: Any) -> Any:
        return does()

    async def arun(self, tool_input: Any, **kwargs: Any) -> Any:
        return does()


class Invokes(Own):
    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002 - the framework's name
        return answers(input)

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002
        return answers(input)


class Through(Own):
    def run(self, *args: Any, **kwargs: Any) -> Any:
        return super().run(*args, **kwargs)

    async def arun(self, *args: Any, **kwargs: Any) -> Any:
        return await super().arun(*args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return super().invoke(*args, **kwargs)

    async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
        return await super().ainvoke(*args, **kwargs)


class Partial(Own):
    def _do(self, result: str, tool_input: Any, **kwargs: Any) -> Any:
        does()
        return result

    async def _ado(self, result: str, tool_input: Any, **kwargs: Any) -> Any:
        does()
        return result

    run: ClassVar[Any] = partialmethod(_do, "done")
    arun: ClassVar[Any] = partialmethod(_ado, "done")
    invoke: ClassVar[Any] = partialmethod(_do, "done")
    ainvoke: ClassVar[Any] = partialmethod(_ado, "done")


class Dispatched(Own):
    @singledispatchmethod
    def _of_any(self, tool_input: Any, **kwargs: Any) -> Any:
        return does()

    @singledispatchmethod
    async def _aof_any(self, tool_input: Any, **kwargs: Any) -> Any:
        return does()

    run: ClassVar[Any] = _of_any
    arun: ClassVar[Any] = _aof_any
    invoke: ClassVar[Any] = _of_any
    ainvoke: ClassVar[Any] = _aof_any


class Property(Own):
    def _do(self, tool_input: Any, **kwargs: Any) -> Any:
        return does()

    async def _ado(self, tool_input: Any, **kwargs: Any) -> Any:
        return does()

    run = property(lambda self: self._do)
    arun = property(lambda self: self._ado)
    invoke = property(lambda self: self._do)
    ainvoke = property(lambda self: self._ado)


class Static(Own):
    @staticmethod
    def run(tool_input: Any, **kwargs: Any) -> Any:
        return does()

    @classmethod
    async def arun(cls, tool_input: Any, **kwargs: Any) -> Any:
        return does()

    @classmethod
    def invoke(cls, tool_input: Any, **kwargs: Any) -> Any:
        return does()

    @staticmethod
    async def ainvoke(tool_input: Any, **kwargs: Any) -> Any:
        return does()


DESCRIPTORS = (Partial, Dispatched, Property, Static)


class Further(Through):
    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return super().invoke(*args, **kwargs)


class Mixin:
    def run(self, tool_input: Any, **kwargs: Any) -> Any:
        return does()

    async def arun(self, tool_input: Any, **kwargs: Any) -> Any:
        return does()


class Mixed(Mixin, Own):
    pass


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing is done by the next test's tools."""
    yield
    ran.clear()


def made_later(kind: str) -> Any:
    """Return a class that is made while LangChain is audited."""

    class LaterRuns(Own):
        def run(self, tool_input: Any, **kwargs: Any) -> Any:
            return does()

        async def arun(self, tool_input: Any, **kwargs: Any) -> Any:
            return does()

    class LaterInvokes(Own):
        def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002
            return answers(input)

        async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002
            return answers(input)

    class LaterMixed(Mixin, Own):
        pass

    return {"runs": LaterRuns, "invokes": LaterInvokes, "mixed": LaterMixed}[kind]


def use(way: str, each: Any) -> Any:
    return {
        "run": lambda: each.run({"a": 1}),
        "arun": lambda: asyncio.run(each.arun({"a": 1})),
        "invoke": lambda: each.invoke({"a": 1}),
        "ainvoke": lambda: asyncio.run(each.ainvoke({"a": 1})),
    }[way]()


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Audit to a disk that has no room left."""
    provider = otel_audit.configure(disk / "audit.jsonl", durability="os")
    try:
        filler = fill(disk)
        with suppress(AuditWriteError):
            while otel_audit.get_audit_logger("test").emit("test.filler").recorded:
                pass
        yield
        filler.unlink()
    finally:
        provider.shutdown()
    assert not [each for each in read_log(disk / "audit.jsonl") if each.event_name.startswith("gen_ai.")]


class TestTool:
    @pytest.mark.parametrize("way", OVERRIDES)
    @pytest.mark.parametrize("made", [Runs, Invokes, Through, Further, Mixed])
    def test_is_one_act(self, log: CapturedAudit, made: Any, way: str) -> None:
        """Whether or not a class goes through what it overrides: one intent, on disk before, and one outcome."""
        found: list[bool] = []
        ran.append(lambda: found.append(found_intent(log, "own")))
        assert use(way, made()) == "done"
        assert lines(log) == TOOL
        assert found == [True]

    @pytest.mark.parametrize("way", OVERRIDES)
    @pytest.mark.parametrize("made", DESCRIPTORS)
    def test_is_one_act_by_whatever_gives_its_methods(self, log: CapturedAudit, made: Any, way: str) -> None:
        """A method may be a partial one, one chosen by type, a property's, a class's or a static one."""
        found: list[bool] = []
        ran.append(lambda: found.append(found_intent(log, "own")))
        assert use(way, made()) == "done"
        assert lines(log) == TOOL
        assert found == [True]

    def test_is_none_where_there_is_no_tool(self, log: CapturedAudit) -> None:
        """A static or class method that is called without an object runs, and is no act of a tool's."""
        assert Static.run({"a": 1}) == Static.invoke({"a": 1}) == "done"
        assert lines(log) == []

    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda held: pickle.loads(pickle.dumps(held))])
    @pytest.mark.parametrize("made", [Own, Runs, Partial, Property])
    def test_has_methods_that_are_copied_and_pickled(self, log: CapturedAudit, made: Any, copied: Any) -> None:
        """A copy of a bound method, deep or by pickle, is audited as the method is; later, it is the plain one."""
        each = made()
        assert copied({"run": each.run})["run"]({"a": 1}) == "done"
        assert copied(each.invoke)({"a": 1}) == "done"
        assert lines(log) == TOOL * 2
        AuditInstrumentor().uninstrument()
        assert copied(each.run)({"a": 1}) == "done"
        assert lines(log) == TOOL * 2

    @pytest.mark.parametrize("way", OVERRIDES)
    @pytest.mark.parametrize("kind", ["runs", "invokes", "mixed"])
    def test_may_be_of_a_class_made_later(self, log: CapturedAudit, kind: str, way: str) -> None:
        """A class that is made while LangChain is audited is, too."""
        assert use(way, made_later(kind)()) == "done"
        assert lines(log) == TOOL

    @pytest.mark.parametrize("made", [Runs, Invokes, Through])
    def test_has_its_call_in_an_agent(self, log: CapturedAudit, made: Any) -> None:
        """Inside an agent the entries have the model's id of the call, once each."""
        AuditInstrumentor().uninstrument()
        AuditInstrumentor().instrument(frameworks=["langchain"], capture="*")
        agent = create_agent(model(calls(("own", {"a": 1})), "fine"), [made()], name="clerk")
        if made is Runs:  # the framework takes a message from a tool that it gave a call
            with pytest.raises(TypeError, match="unexpected type"):
                agent.invoke(HELLO)
        else:
            agent.invoke(HELLO)
        entries = of(log, "tool.execute")
        assert [entry.attributes["gen_ai.tool.call.id"] for entry in entries] == ["call-1"] * 2
        assert entries[0].attributes["gen_ai.agent.name"] == "clerk"
        assert entries[0].attributes["audit.arguments"] == {"a": 1}

    @pytest.mark.parametrize("way", OVERRIDES)
    @pytest.mark.parametrize("made", [Runs, Invokes, Mixed, *DESCRIPTORS])
    def test_does_not_run_unrecorded(self, disk: Path, made: Any, way: str) -> None:
        """A tool whose intent cannot be written does not run, whichever of its methods is called."""
        done: list[None] = []
        ran.append(lambda: done.append(None))
        with full(disk), pytest.raises(AuditWriteError):
            use(way, made())
        assert done == []

    @pytest.mark.parametrize(("made", "way"), [(Through, "invoke"), (Invokes, "run")])
    def test_that_calls_itself_is_two_acts(self, log: CapturedAudit, made: Any, way: str) -> None:
        """A tool that is called anew in its own run is another act."""
        again: list[Any] = []

        def once() -> None:
            if not again:
                again.append(None)
                each.invoke({"a": 1})

        ran.append(once)
        each = made()
        use(way, each)
        assert lines(log) == [TOOL[0], *TOOL, TOOL[1]]

    def test_left_behind_is_an_act_of_its_own(self, log: CapturedAudit) -> None:
        """What an overriding method starts, and does not wait for, is no part of it once it is over."""

        class Starts(Own):
            async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
                async def later() -> None:
                    await over.wait()
                    await super(Starts, self).ainvoke({"a": 1})

                tasks.append(asyncio.create_task(later()))
                return "started"

        async def program() -> None:
            await Starts().ainvoke({"a": 1})
            assert lines(log) == TOOL
            over.set()
            await tasks[0]

        over, tasks = asyncio.Event(), []  # type: ignore[var-annotated]
        asyncio.run(program())
        assert lines(log) == TOOL * 2

    @pytest.mark.parametrize("what", ["tool", "policy"])
    def test_closed_in_another_context_raises_nothing(self, log: CapturedAudit, what: str) -> None:
        """A call that is abandoned with its loop is closed without an error, from whatever context."""

        class Waits(Own):
            async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
                await wait()

        async def policy(request: Any, execute: Any) -> Any:
            await wait()

        async def wait() -> None:
            begun.set()
            await asyncio.Event().wait()

        async def begin() -> Any:
            node = ToolNode([Own()], awrap_tool_call=policy)
            task = asyncio.ensure_future(
                Waits().ainvoke({"a": 1}) if what == "tool" else node._awrap_tool_call(None, None)
            )
            await begun.wait()
            return task

        begun = asyncio.Event()
        loop = asyncio.new_event_loop()
        task = loop.run_until_complete(begin())
        task._log_destroy_pending = False  # asyncio's own word on it
        task.get_coro().close()
        loop.close()
        assert [entry[2] for entry in lines(log)] == (["intent", "outcome"] if what == "tool" else [])


ASKED = ("invoke", "ainvoke", "stream", "astream", "generate", "agenerate", "generate_prompt", "agenerate_prompt")


class OwnWays(ScriptedModel):
    """Answers by itself, in each way."""

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return says("mine")

    async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
        return says("mine")

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        yield says("mine")

    async def astream(self, *args: Any, **kwargs: Any) -> Any:
        yield says("mine")

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        return LLMResult(generations=[[ChatGeneration(message=says("mine"))]])

    async def agenerate(self, *args: Any, **kwargs: Any) -> Any:
        return LLMResult(generations=[[ChatGeneration(message=says("mine"))]])

    generate_prompt = generate
    agenerate_prompt = agenerate


class ThroughWays(StreamingModel):
    """Goes through what it overrides; the streams are no generators."""

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return super().invoke(*args, **kwargs)

    async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
        return await super().ainvoke(*args, **kwargs)

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        return super().stream(*args, **kwargs)

    def astream(self, *args: Any, **kwargs: Any) -> Any:
        return super().astream(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        return super().generate(*args, **kwargs)

    async def agenerate(self, *args: Any, **kwargs: Any) -> Any:
        return await super().agenerate(*args, **kwargs)

    def generate_prompt(self, *args: Any, **kwargs: Any) -> Any:
        return super().generate_prompt(*args, **kwargs)

    async def agenerate_prompt(self, *args: Any, **kwargs: Any) -> Any:
        return await super().agenerate_prompt(*args, **kwargs)


class AsksAndStreams(StreamingModel):
    """Asks itself, and then streams."""

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        self.invoke("what is this about?")
        yield from super().stream(*args, **kwargs)

    async def astream(self, *args: Any, **kwargs: Any) -> Any:
        await self.ainvoke("what is this about?")
        async for piece in super().astream(*args, **kwargs):
            yield piece


class StreamsAndAsks(StreamingModel):
    """Streams, and then asks itself."""

    async def astream(self, *args: Any, **kwargs: Any) -> Any:
        async for piece in super().astream(*args, **kwargs):
            yield piece
        await self.ainvoke("was that right?")


class TriesAgain(StreamingModel):
    """Has its parent ask twice."""

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        super().invoke(*args, **kwargs)
        return super().invoke(*args, **kwargs)

    async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
        await super().ainvoke(*args, **kwargs)
        return await super().ainvoke(*args, **kwargs)

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        yield from super().stream(*args, **kwargs)
        yield from super().stream(*args, **kwargs)

    async def astream(self, *args: Any, **kwargs: Any) -> Any:
        for _ in range(2):
            async for piece in super().astream(*args, **kwargs):
                yield piece


class Text(LLM):  # type: ignore[misc]
    """A text model that goes through what it overrides."""

    model_name: str = "scripted-1"

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return "fine"

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return super().invoke(*args, **kwargs)


async def collected(items: Any) -> list[Any]:
    return [item async for item in items]


def ask(way: str, chat: Any) -> Any:
    from langchain_core.prompt_values import StringPromptValue

    return {
        "invoke": lambda: chat.invoke("hello"),
        "ainvoke": lambda: asyncio.run(chat.ainvoke("hello")),
        "stream": lambda: list(chat.stream("hello")),
        "astream": lambda: asyncio.run(collected(chat.astream("hello"))),
        "generate": lambda: chat.generate([[AIMessage("hello")]]),
        "agenerate": lambda: asyncio.run(chat.agenerate([[AIMessage("hello")]])),
        "generate_prompt": lambda: chat.generate_prompt([StringPromptValue(text="hello")]),
        "agenerate_prompt": lambda: asyncio.run(chat.agenerate_prompt([StringPromptValue(text="hello")])),
    }[way]()


class TestModel:
    @pytest.mark.parametrize("way", ASKED)
    @pytest.mark.parametrize("kind", [OwnWays, ThroughWays])
    def test_is_one_act(self, log: CapturedAudit, kind: Any, way: str) -> None:
        """Whether or not a class goes through what it overrides: one intent, one outcome, the tokens counted once."""
        assert ask(way, model("fine", kind=kind))
        assert lines(log) == CALL
        assert log.entries[1].attributes["gen_ai.usage.input_tokens"] == 11
        assert log.entries[1].attributes["gen_ai.usage.output_tokens"] == 7

    def test_may_be_of_a_class_made_later(self, log: CapturedAudit) -> None:
        """A class that is made while LangChain is audited is, too."""

        class Later(ScriptedModel):
            def invoke(self, *args: Any, **kwargs: Any) -> Any:
                return says("mine")

        ask("invoke", model(kind=Later))
        assert lines(log) == CALL

    def test_that_asks_itself_first_asks_twice(self, log: CapturedAudit) -> None:
        """A stream of a class's own that asks for something else first has an intent for each of the two."""
        stream = model("a poem", "one two", kind=AsksAndStreams).stream("hello")
        next(stream)
        assert lines(log) == CALL[:1] * 2
        list(stream)
        assert lines(log) == CALL[:1] * 2 + CALL[1:] * 2

    def test_that_asks_itself_first_asks_twice_in_coroutines(self, log: CapturedAudit) -> None:
        """A stream of coroutines is no different, whichever of the two comes first."""

        async def program(kind: Any) -> None:
            assert await collected(model("one", "two", kind=kind).astream("hello"))

        asyncio.run(program(AsksAndStreams))
        assert lines(log) == CALL[:1] * 2 + CALL[1:] * 2
        asyncio.run(program(StreamsAndAsks))
        assert lines(log)[4:] == [*CALL[:1], *CALL, *CALL[1:]]

    @pytest.mark.parametrize("way", [way for way in ASKED if way in vars(TriesAgain)])
    def test_that_tries_again_asks_twice(self, log: CapturedAudit, way: str) -> None:
        """A method that has its parent ask once more has an intent for each time, on disk before."""
        found: list[int] = []

        class Counts(TriesAgain):
            def _generate(self, *args: Any, **kwargs: Any) -> Any:
                found.append(len(log.entries))
                return super()._generate(*args, **kwargs)

            def _stream(self, *args: Any, **kwargs: Any) -> Any:
                found.append(len(log.entries))
                yield from super()._stream(*args, **kwargs)

        assert ask(way, model("no", "fine", kind=Counts))
        assert lines(log) == [CALL[0], *CALL, CALL[1]]
        assert found == [1, 2]

    def test_that_fails_and_is_asked_again_is_asked_twice(self, log: CapturedAudit) -> None:
        """A failure of what is tried again does not hide the second try."""

        class Retries(ScriptedModel):
            def invoke(self, *args: Any, **kwargs: Any) -> Any:
                with suppress(ValueError):
                    return super().invoke(*args, **kwargs)
                return super().invoke(*args, **kwargs)

        model(ValueError(), "fine", kind=Retries).invoke("hello")
        assert lines(log) == [CALL[0], *CALL, CALL[1]]

    def test_closed_early_is_unknown(self, log: CapturedAudit) -> None:
        """A stream of a class's own that is closed before its end is neither a success nor a failure."""

        async def program() -> None:
            stream = model("one two", kind=ThroughWays).astream("hello")
            await anext(stream)
            await stream.aclose()

        asyncio.run(program())
        stream = model("one two", kind=ThroughWays).stream("hello")
        next(stream)
        stream.close()
        assert [entry[2:] for entry in lines(log)] == [("intent", "unknown"), ("outcome", "unknown")] * 2

    def test_closes_its_stream_at_once(self, log: CapturedAudit) -> None:
        """What a class's own method streams from is closed with the stream, not some time later."""
        closed: list[bool] = []

        async def pieces() -> AsyncIterator[Any]:
            try:
                yield says("one")
                yield says("two")
            finally:
                closed.append(True)

        class Passes(ScriptedModel):
            def astream(self, *args: Any, **kwargs: Any) -> Any:
                held.append(pieces())
                return held[0]

        async def program() -> None:
            stream = model(kind=Passes).astream("hello")
            await anext(stream)
            await stream.aclose()
            assert closed

        held: list[Any] = []
        asyncio.run(program())
        assert lines(log)[1][3] == "unknown"

    def test_of_texts_is_one_act(self, log: CapturedAudit) -> None:
        """A text model that overrides how it is asked is audited as a chat model is."""
        assert Text().invoke("hello") == "fine"
        assert [entry[2:] for entry in lines(log)] == [entry[2:] for entry in CALL]

    @pytest.mark.parametrize("way", ASKED)
    def test_is_not_asked_unrecorded(self, disk: Path, way: str) -> None:
        """A model whose intent cannot be written is not asked, whichever of its methods is called."""
        chat = model("fine", kind=ThroughWays)
        with full(disk), pytest.raises(AuditWriteError):
            ask(way, chat)
        assert len(chat.answers) == 1


class TestClasses:
    def test_are_as_before_when_it_is_over(self, log: CapturedAudit) -> None:
        """Uninstrumented, each class has its functions from before, and one that was made meanwhile its own."""

        class Meanwhile(Mixin, Own):
            def invoke(self, *args: Any, **kwargs: Any) -> Any:
                return "done"

        def held() -> list[Any]:
            owners = (Runs, Invokes, Through, Mixed, OwnWays, BaseTool, BaseChatModel, Text, Meanwhile)
            names = (*OVERRIDES, *ASKED, "__pydantic_init_subclass__")
            return [vars(owner).get(name) for owner in owners for name in names]

        during = held()
        AuditInstrumentor().uninstrument()
        before = held()
        assert [one for one, other in zip(before, during, strict=True) if one is not other]
        assert "run" not in vars(Meanwhile)
        assert type(vars(Meanwhile)["invoke"]).__name__ == "function"
        AuditInstrumentor().instrument(frameworks=["langchain"])
        AuditInstrumentor().uninstrument()
        assert all(one is other for one, other in zip(before, held(), strict=True))
        assert Meanwhile().invoke({}) == "done"
        assert log.entries == ()

    def test_are_made_as_before(self) -> None:
        """A class that stands between a new one and the framework's is told of it, as without us."""
        told: list[type] = []

        class Registers(BaseModel):
            @classmethod
            def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
                super().__pydantic_init_subclass__(**kwargs)
                told.append(cls)

        class Registered(Own, Registers):
            pass

        assert told == [Registered]

    def test_find_what_they_inherit_as_before(self, log: CapturedAudit) -> None:
        """A method of a class that is not the framework's is looked up in the order of the object's own class."""

        class Other(Mixin):
            def run(self, tool_input: Any, **kwargs: Any) -> Any:
                return "other"

        class Both(Mixed, Other):
            pass

        assert Both().run({"a": 1}) == "other"
        assert lines(log) == TOOL

    def test_of_the_framework_end_in_what_is_wrapped(self) -> None:
        """The framework's own kinds of tools have no wrapper beside those of `run` and `arun`."""
        assert type(vars(StructuredTool)["ainvoke"]).__name__ == "function"


def test_nothing_is_left_of_what_waited_for_an_import() -> None:
    """However often it was instrumented before, what is imported later is audited once, and nothing else is kept."""
    out = run_program(
        "import gc, sys\n"
        "from otel_audit import AuditInstrumentor\n"
        "from otel_audit.instrument.frameworks.auditor import Auditor\n"
        "import langchain_core.tools\n"
        "for _ in range(5):\n"
        "    AuditInstrumentor().instrument(frameworks=['langchain'])\n"
        "    AuditInstrumentor().uninstrument()\n"
        "gc.collect()\n"
        "print(sum(isinstance(each, Auditor) for each in gc.get_objects()))\n"
        "AuditInstrumentor().instrument(frameworks=['langchain'])\n"
        "from langgraph.prebuilt import ToolNode\n"
        "init = ToolNode.__init__\n"
        "print(type(vars(ToolNode)['__init__']).__name__, type(init.__wrapped__).__name__)\n"
        "AuditInstrumentor().uninstrument()\n"
        "print(type(vars(ToolNode)['__init__']).__name__)\n"
        "AuditInstrumentor().instrument(frameworks=['langchain'])\n"
        "print(type(vars(ToolNode)['__init__']).__name__)\n"
        "AuditInstrumentor().uninstrument()\n"
        "del sys.modules['langgraph.prebuilt']\n"
        "AuditInstrumentor().instrument(frameworks=['langchain'])\n"
        "import langgraph.prebuilt\n"
        "print(type(vars(ToolNode)['__init__']).__name__)\n"
    )
    assert out == "0\n_Patch function\nfunction\n_Patch\n_Patch\n"
