from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.query_engine import CustomQueryEngine
from llama_index.core.tools import BaseTool, FunctionTool, QueryEngineTool, ToolMetadata, ToolOutput
from llama_index.core.tools.types import AsyncBaseTool
from pydantic import Field

from otel_audit.testing import CapturedAudit
from tests.frameworks.llama_index_parts import ScriptedModel, call_of, instrumented, lines, recorded

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # llama-index's own

TOOL = ["tool intent x", "tool success x"]
MODEL = ["model intent plain-1", "model success plain-1"]


def output() -> ToolOutput:
    """Return what the tools here answer."""
    return ToolOutput(content="yes", tool_name="x", raw_input={}, raw_output="yes")


class Named:
    """A tool's description."""

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata(description="Does x.", name="x")


class Does:
    """Brings what a tool does, and is no tool."""

    def call(self, *_args: Any, **_kwargs: Any) -> ToolOutput:
        return output()

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return self.call(*args, **kwargs)


class Twice(Does):
    """Brings its own, which goes on to the next."""

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        super().call(*args, **kwargs)
        return super().call(*args, **kwargs)


class FromMixin(Named, Does, AsyncBaseTool):  # type: ignore[misc]
    """A tool whose methods are a mixin's."""


class Diamond(FromMixin, Twice):
    """A tool whose methods are of the more special of two mixins."""


class Apart(Named, AsyncBaseTool):  # type: ignore[misc]
    """A parent that keeps to itself which classes derive from it."""

    def __init_subclass__(cls, **_kwargs: Any) -> None:
        pass


class Answers:
    """Brings what a model answers, and is no model."""

    def complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="yes")

    def stream_complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> Iterable[CompletionResponse]:
        return [CompletionResponse(text=word, delta=word) for word in ("yes", "no")]


class Model(Answers, CustomLLM):  # type: ignore[misc]
    """A model whose methods are a mixin's."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="plain-1")


class ApartModel(Model):
    """A parent that keeps to itself which classes derive from it."""

    def __init_subclass__(cls, **_kwargs: Any) -> None:
        pass


@pytest.fixture
def audited(log: CapturedAudit) -> Iterator[None]:
    """Audit llama-index for a test."""
    with instrumented():
        yield


class Engine(CustomQueryEngine):  # type: ignore[misc]
    """A query engine that asks the tool that it is in, the first time."""

    tools: list[Any] = Field(default_factory=list)

    def custom_query(self, query_str: str) -> str:
        return str(asyncio.run(self.tools.pop().acall(input="inner"))) if self.tools else query_str

    async def acustom_query(self, query_str: str) -> str:
        return str(await asyncio.to_thread(self.tools.pop().call, input="inner")) if self.tools else query_str


@pytest.mark.usefixtures("audited")
@pytest.mark.parametrize("way", ["__call__", "call", "acall"])
def test_called_anew(log: CapturedAudit, way: str) -> None:
    """A query engine's tool that the engine calls by its other method is two acts."""
    engine = Engine()
    made = QueryEngineTool.from_defaults(engine, name="x", description="Does x.")
    engine.tools.append(made)
    result = getattr(made, way)(input="outer")
    assert str(asyncio.run(result) if way == "acall" else result) == "inner"
    assert lines(log) == [TOOL[0]] * 2 + [TOOL[1]] * 2


@pytest.mark.usefixtures("audited")
class TestMixin:
    @pytest.mark.parametrize("kind", [FromMixin, Diamond])
    def test_tool(self, log: CapturedAudit, kind: type) -> None:
        """A tool that has its methods from a class that is no tool is audited, once for each time that it runs."""
        expected = TOOL if kind is FromMixin else [TOOL[0], *TOOL, TOOL[1]]
        kind()()
        assert lines(log) == expected
        asyncio.run(kind().acall())
        assert lines(log) == expected * 2

    def test_made_later(self, log: CapturedAudit) -> None:
        """So is one of a class that is made while auditing."""

        class Brings:
            def __call__(self, *_args: Any, **_kwargs: Any) -> ToolOutput:
                return output()

        class Tool(Named, Brings, BaseTool):  # type: ignore[misc]
            pass

        Brings()()
        assert lines(log) == []
        Tool()()
        assert lines(log) == TOOL

    def test_others(self, log: CapturedAudit) -> None:
        """What else uses the mixin is not audited."""
        Does().call()
        Answers().complete("x")
        assert lines(log) == []

    @pytest.mark.parametrize("way", ["complete", "chat"])
    def test_model(self, log: CapturedAudit, way: str) -> None:
        """A model that has its methods from a class that is no model is audited once."""
        getattr(Model(), way)([] if way == "chat" else "x")
        assert lines(log) == MODEL

    def test_agent(self, log: CapturedAudit) -> None:
        """An agent whose `run` is a mixin's is audited once."""

        class Runs:
            def run(self, *args: Any, **kwargs: Any) -> Any:
                return super().run(*args, **kwargs)  # type: ignore[misc]

        class Clerk(Runs, FunctionAgent):  # type: ignore[misc]
            pass

        async def run() -> None:
            await Clerk(name="clerk", tools=[FromMixin()], llm=ScriptedModel(script=[[call_of("x")], "done"])).run("go")

        asyncio.run(run())
        assert lines(log, "agent", "tool") == ["agent intent clerk", *TOOL, "agent success clerk"]

    def test_cannot_be_wrapped(self) -> None:
        """A tool whose method is of a class that cannot be changed is refused, rather than left out."""
        refused = recorded(lambda: type("Tool", (Named, functools.partial, BaseTool), {}))
        gc.collect()  # what is left of the class
        assert refused == "AuditConfigError: expected a class whose '__call__' can be wrapped, got 'partial'"


def test_mixin_is_restored(log: CapturedAudit) -> None:
    """A mixin gets the identical methods back."""
    before = dict(vars(Does))
    with instrumented():
        assert vars(Does)["call"] is not before["call"]
    assert all(vars(Does)[name] is value for name, value in before.items())
    FromMixin()()
    assert lines(log) == []


@pytest.mark.usefixtures("audited")
class TestUnnoticed:
    def test_tool(self, log: CapturedAudit) -> None:
        """A tool is audited also where its parent keeps new classes to itself."""

        class Tool(Apart):
            def call(self, *_args: Any, **_kwargs: Any) -> ToolOutput:
                return output()

            async def acall(self, *_args: Any, **_kwargs: Any) -> ToolOutput:
                return output()

        asyncio.run(Tool().acall())
        assert lines(log) == TOOL

    def test_model(self, log: CapturedAudit) -> None:
        """So is a model."""

        class Own(ApartModel):
            def complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> CompletionResponse:
                return CompletionResponse(text="own")

        Own().complete("x")
        assert lines(log) == MODEL

    def test_hidden_by_another_parent(self, log: CapturedAudit) -> None:
        """A tool whose making another parent hides is audited where a model's request is answered."""

        class Hides:
            def __init_subclass__(cls, **_kwargs: Any) -> None:
                pass

        class Tool(Hides, FromMixin):
            def call(self, *_args: Any, **_kwargs: Any) -> ToolOutput:
                return output()

        tool = Tool()
        ScriptedModel(script=[[call_of("x")]]).predict_and_call([tool], "go")
        assert lines(log, "tool") == TOOL
        tool.call()
        assert lines(log, "tool") == TOOL * 2

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_put_on_later(self, log: CapturedAudit, asynchronous: bool) -> None:
        """A method that is put on a class later is audited where a model's request is answered."""

        class Tool(FromMixin):
            pass

        def call(_self: Any, *_args: Any, **_kwargs: Any) -> ToolOutput:
            return output()

        async def acall(_self: Any, *_args: Any, **_kwargs: Any) -> ToolOutput:
            return output()

        Tool.call, Tool.acall = call, acall  # type: ignore[assignment,method-assign]
        model = ScriptedModel(script=[[call_of("x")]])
        if asynchronous:
            asyncio.run(model.apredict_and_call([Tool()], "go"))
        else:
            model.predict_and_call([Tool()], "go")
        assert lines(log, "tool") == TOOL

    def test_put_on_before_a_step(self, log: CapturedAudit) -> None:
        """Methods that are put on classes of tools and models later are audited where an agent uses them."""

        class Tool(FromMixin):
            pass

        class Own(ScriptedModel):
            pass

        async def acall(_self: Any, *_args: Any, **_kwargs: Any) -> ToolOutput:
            return output()

        async def achat(self: Any, messages: Any, **_kwargs: Any) -> Any:
            return self._answer()

        Tool.acall = acall  # type: ignore[assignment,method-assign]
        Own.achat = Own.astream_chat = achat  # type: ignore[method-assign]

        async def run() -> None:
            model = Own(script=[[call_of("x")], "done"])
            await FunctionAgent(name="clerk", tools=[Tool()], llm=model, streaming=False).run("go")

        asyncio.run(run())
        asked = ["model intent scripted-1", "model success scripted-1"]
        assert lines(log, "tool", "model") == [*asked, *TOOL, *asked]

    def test_wrapped_by_others(self, log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
        """What others put around a wrapped method is one act with it, and calls inside of it are acts of their own."""
        inner = FunctionTool.call

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return inner(self, *args, **kwargs)

        monkeypatch.setattr(FunctionTool, "call", call)

        def count(number: int) -> int:
            """Count down."""
            return number if number == 0 else int(tool.call(number=number - 1).raw_output)

        tool = FunctionTool.from_defaults(count)
        ScriptedModel(script=[[call_of("count", number=1)]]).predict_and_call([tool], "go")
        expected = ["tool intent count"] * 2 + ["tool success count"] * 2
        assert lines(log, "tool") == expected


def test_wrapped_by_others_is_left(log: CapturedAudit) -> None:
    """What others put in the place of a wrapped method stays when auditing ends, and passes straight through."""

    class Tool(FromMixin):
        def call(self, *_args: Any, **_kwargs: Any) -> ToolOutput:
            return output()

    own = vars(Tool)["call"]
    with instrumented():
        ours = vars(Tool)["call"]
        Tool.call = lambda self, *args, **kwargs: ours.__get__(self)(*args, **kwargs)  # type: ignore[method-assign]
        theirs = vars(Tool)["call"]
        for _ in range(2):
            ScriptedModel(script=[[call_of("x")]]).predict_and_call([Tool()], "go")
        assert lines(log, "tool") == TOOL * 2
        assert vars(Tool)["call"].__wrapped__ is theirs
    log.clear()
    assert vars(Tool)["call"] is theirs
    assert ours.__wrapped__ is own
    Tool()()
    assert lines(log) == []


@pytest.mark.usefixtures("audited")
class TestIterables:
    def test_list(self, log: CapturedAudit) -> None:
        """A model that streams a list, which is no iterator, streams it as ever."""
        assert [answer.delta for answer in Model().stream_complete("x")] == ["yes", "no"]
        assert lines(log) == MODEL

    async def test_async(self, log: CapturedAudit) -> None:
        """A model that streams what has ``__aiter__`` only streams it as ever."""

        class Words:
            async def __aiter__(self) -> AsyncIterator[CompletionResponse]:
                for word in ("yes", "no"):
                    yield CompletionResponse(text=word, delta=word)

        class Own(Model):
            async def astream_complete(self, *_args: Any, **_kwargs: Any) -> Any:
                return Words()

        assert [answer.delta async for answer in await Own().astream_complete("x")] == ["yes", "no"]
        assert lines(log) == MODEL


class Failing(FunctionAgent):  # type: ignore[misc]
    """An agent whose run is a future of its own, which fails."""

    def run(self, *_args: Any, **_kwargs: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError("no"))
        return future


@pytest.mark.parametrize("audited", [False, True])
async def test_never_retrieved(log: CapturedAudit, audited: bool) -> None:
    """Of a run that nobody asked about, asyncio says so, audited or not."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["message"]))

    async def run() -> None:
        Failing(name="clerk", llm=ScriptedModel(script=[])).run("go")
        await asyncio.sleep(0)
        gc.collect()

    if audited:
        with instrumented():
            await run()
        assert lines(log) == ["agent intent clerk", "agent failure clerk"]
    else:
        await run()
    assert told == ["Future exception was never retrieved"]
