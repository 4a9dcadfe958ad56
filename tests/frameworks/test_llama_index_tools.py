from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import Response
from llama_index.core.evaluation import BaseEvaluator, EvaluationResult
from llama_index.core.llms import MockLLM
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import BaseTool, FunctionTool, QueryEngineTool, RetrieverTool, ToolMetadata, ToolOutput
from llama_index.core.tools.eval_query_engine import EvalQueryEngineTool
from llama_index.core.tools.types import AsyncBaseTool, adapt_to_async_tool
from llama_index.core.workflow import Context
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.frameworks.llama_index_parts import (
    CANARY,
    ScriptedModel,
    agent,
    call_of,
    instrumented,
    last_line,
    lines,
    of,
    pairs,
    recorded,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # llama-index's own


@pytest.fixture
def audited(log: CapturedAudit) -> Iterator[None]:
    """Audit llama-index."""
    with instrumented():
        yield


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def aadd(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Upper(BaseTool):  # type: ignore[misc]
    """A sync tool, of a class of the program's."""

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata("Shout.", "upper")

    def __call__(self, input: str) -> ToolOutput:  # noqa: A002
        return ToolOutput(tool_name="upper", content=input.upper(), raw_input={"input": input}, raw_output=input)


class Lower(AsyncBaseTool):  # type: ignore[misc]
    """A tool of the program's, whose async method calls the sync one."""

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata("Whisper.", "lower")

    def call(self, input: str) -> ToolOutput:  # noqa: A002
        return ToolOutput(tool_name="lower", content=input.lower(), raw_input={"input": input}, raw_output=input)

    async def acall(self, input: str) -> ToolOutput:  # noqa: A002
        return await asyncio.to_thread(self.call, input)


class Logged(FunctionTool):  # type: ignore[misc]
    """A function tool that does more, before and after."""

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return super().call(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return await super().acall(*args, **kwargs)


class Engine(BaseQueryEngine):  # type: ignore[misc]
    """Answers with the question."""

    def __init__(self) -> None:
        super().__init__(callback_manager=None)

    def _query(self, query_bundle: Any) -> Response:
        return Response(query_bundle.query_str)

    async def _aquery(self, query_bundle: Any) -> Response:
        return self._query(query_bundle)

    def _get_prompt_modules(self) -> dict[str, Any]:
        return {}


class Retriever(BaseRetriever):  # type: ignore[misc]
    """Finds the question."""

    def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text=query_bundle.query_str), score=1.0)]


class Judge(BaseEvaluator):  # type: ignore[misc]
    """Lets an answer through, or not."""

    def __init__(self, passing: bool) -> None:
        self.passing = passing

    async def aevaluate(self, *_args: Any, **_kwargs: Any) -> EvaluationResult:
        return EvaluationResult(passing=self.passing, feedback="because")

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts_dict: Any) -> None: ...

    def _get_prompt_modules(self) -> dict[str, Any]:
        return {}


def engine_tool() -> QueryEngineTool:
    """Return a query engine as a tool."""
    return QueryEngineTool.from_defaults(Engine(), name="ask", description="Ask.")


def retriever_tool() -> RetrieverTool:
    """Return a retriever as a tool."""
    return RetrieverTool.from_defaults(Retriever(), name="find", description="Find.")


WAYS: dict[str, Callable[[], Any]] = {
    "add: called": lambda: FunctionTool.from_defaults(add)(a=1, b=2),
    "add: call": lambda: FunctionTool.from_defaults(add).call(1, b=2),
    "add: acall": lambda: asyncio.run(FunctionTool.from_defaults(add).acall(a=1, b=2)),
    "aadd: called": lambda: FunctionTool.from_defaults(async_fn=aadd)(a=1, b=2),
    "aadd: acall": lambda: asyncio.run(FunctionTool.from_defaults(async_fn=aadd).acall(a=1, b=2)),
    "add: own class, called": lambda: Logged.from_defaults(add)(a=1, b=2),
    "add: own class, acall": lambda: asyncio.run(Logged.from_defaults(add).acall(a=1, b=2)),
    "upper: called": lambda: Upper()("x"),
    "upper: adapted": lambda: adapt_to_async_tool(Upper())("x"),
    "upper: adapted, acall": lambda: asyncio.run(adapt_to_async_tool(Upper()).acall("x")),
    "lower: called": lambda: Lower()("x"),
    "lower: call": lambda: Lower().call("x"),
    "lower: acall": lambda: asyncio.run(Lower().acall("x")),
    "ask: called": lambda: engine_tool()("x"),
    "ask: acall": lambda: asyncio.run(engine_tool().acall(input="x")),
    "find: called": lambda: retriever_tool()("x"),
    "find: acall": lambda: asyncio.run(retriever_tool().acall(input="x")),
}
"""Every way to run a tool outside of an agent, after the tool's name."""


@pytest.mark.usefixtures("audited")
class TestWays:
    @pytest.mark.parametrize("way", WAYS)
    def test_once(self, log: CapturedAudit, way: str) -> None:
        """However a tool is made and called, it is in the log once: an intent and an outcome."""
        WAYS[way]()
        name = way.partition(":")[0]
        assert lines(log) == [f"tool intent {name}", f"tool success {name}"]
        intent, outcome = pairs(log, "tool")[""]
        assert intent.attributes["gen_ai.tool.name"] == outcome.attributes["gen_ai.tool.name"] == name
        expected = "datastore" if name in ("ask", "find") else "function"
        assert intent.attributes["gen_ai.tool.type"] == expected

    def test_own_class_called_by_an_agent(self, log: CapturedAudit) -> None:
        """An agent's tools of all kinds are each in the log once, with the model's id of the call."""
        tools = [Logged.from_defaults(add), Upper(), Lower(), engine_tool(), retriever_tool()]
        calls = [
            call_of("add", "1", a=1, b=2),
            *(call_of(name, name, input="X") for name in ("upper", "lower", "ask", "find")),
        ]

        async def run() -> None:
            await agent("clerk", [calls, "done"], tools).run("go")

        asyncio.run(run())
        met = pairs(log, "tool")
        assert {outcome.attributes["audit.target.id"] for _, outcome in met.values()} == {
            "add", "upper", "lower", "ask", "find"
        }  # fmt: skip
        assert set(met) == {"1", "upper", "lower", "ask", "find"}
        assert {entry.attributes["gen_ai.agent.name"] for pair in met.values() for entry in pair} == {"clerk"}
        assert len(lines(log, "tool")) == 10

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_predict_and_call(self, log: CapturedAudit, asynchronous: bool) -> None:
        """A tool that a model calls without an agent has the model's id of the call."""
        model = ScriptedModel(script=[[call_of("add", "call-7", a=1, b=2)]])
        tools = [FunctionTool.from_defaults(add)]
        if asynchronous:
            asyncio.run(model.apredict_and_call(tools, "add"))
        else:
            model.predict_and_call(tools, "add")
        assert lines(log) == [
            "model intent scripted-1",
            "model success scripted-1",
            "tool intent add",
            "tool success add",
        ]
        assert set(pairs(log, "tool")) == {"call-7"}

    @pytest.mark.parametrize("way", ["sync", "async", "sync in async"])
    def test_recursive(self, log: CapturedAudit, way: str) -> None:
        """A tool that calls itself is in the log each time."""

        def count(number: int) -> int:
            """Count down."""
            return 0 if number == 0 else tool(number=number - 1).raw_output + 1

        async def acount(number: int) -> int:
            """Count down."""
            return 0 if number == 0 else (await tool.acall(number=number - 1)).raw_output + 1

        if way == "async":
            tool = FunctionTool.from_defaults(async_fn=acount, name="count")
        else:
            tool = FunctionTool.from_defaults(count)
        output = tool(number=2) if way == "sync" else asyncio.run(tool.acall(number=2))
        assert output.raw_output == 2
        assert lines(log) == ["tool intent count"] * 3 + ["tool success count"] * 3

    def test_recursive_class(self, log: CapturedAudit) -> None:
        """A tool of a class of the program's that calls itself is in the log each time."""

        class Counter(Lower):
            def call(self, input: str) -> ToolOutput:  # noqa: A002
                return super().call(input) if input == "0" else self.call(str(int(input) - 1))

        Counter()("2")
        assert lines(log) == ["tool intent lower"] * 3 + ["tool success lower"] * 3

    def test_tool_that_calls_a_tool(self, log: CapturedAudit) -> None:
        """A tool that another one calls was not asked for by the model: it has no call id."""
        inner = FunctionTool.from_defaults(add)

        def outer() -> str:
            """Call the other one."""
            return str(inner(a=1, b=2))

        async def run() -> None:
            await agent("clerk", [[call_of("outer", "call-1")], "3"], [outer]).run("go")

        asyncio.run(run())
        met = pairs(log, "tool")
        assert met["call-1"][0].attributes["audit.target.id"] == "outer"
        assert met[""][0].attributes["audit.target.id"] == "add"


@pytest.mark.usefixtures("audited")
class TestOutcome:
    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_intent_before(self, log: CapturedAudit, asynchronous: bool) -> None:
        """A tool finds its own intent in the log when it runs."""

        def look() -> str:
            """Read the log."""
            return last_line(log.path)

        tool = FunctionTool.from_defaults(look)
        output = asyncio.run(tool.acall()) if asynchronous else tool()
        assert output.raw_output == "tool intent look"

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_raises(self, log: CapturedAudit, asynchronous: bool) -> None:
        """A tool's own exception goes on, the same object; the log has its type."""
        error = PermissionError(CANARY)

        def refuse() -> None:
            """Raise."""
            raise error

        tool = FunctionTool.from_defaults(refuse)
        with pytest.raises(PermissionError) as raised:
            asyncio.run(tool.acall()) if asynchronous else tool()
        assert raised.value is error
        assert of(log, "tool failure refuse").attributes["error.type"] == "PermissionError"

    def test_error_as_output(self, log: CapturedAudit) -> None:
        """An output that says that it is an error is a failure."""

        class Failing(Upper):
            def __call__(self, input: str) -> ToolOutput:  # noqa: A002
                return ToolOutput(tool_name="upper", content="no", raw_input={}, raw_output=None, is_error=True)

        assert Failing()("x").is_error
        assert of(log, "tool failure upper").attributes["error.type"] == "tool_error"

    def test_cancelled(self, log: CapturedAudit) -> None:
        """A tool that is cancelled is a failure, and the cancellation goes on."""

        async def run() -> None:
            running = asyncio.Event()

            async def hang() -> None:
                """Wait for ever."""
                running.set()
                await asyncio.Event().wait()

            task = asyncio.create_task(FunctionTool.from_defaults(async_fn=hang).acall())
            await running.wait()
            task.cancel()
            await task

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(run())
        assert of(log, "tool failure hang").attributes["error.type"] == "asyncio.exceptions.CancelledError"

    @pytest.mark.parametrize("error", [OSError("no room"), AuditWriteError("no room")])
    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_outcome_is_lost(self, log: CapturedAudit, asynchronous: bool, error: Exception) -> None:
        """Where the outcome cannot be written, the result comes through all the same."""

        def break_the_log() -> int:
            """Have the next append fail."""
            log.fail(error)
            return 5

        tool = FunctionTool.from_defaults(break_the_log)
        output = asyncio.run(tool.acall()) if asynchronous else tool()
        assert output.raw_output == 5
        assert lines(log) == ["tool intent break_the_log"]

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_wrong_arguments(self, log: CapturedAudit, asynchronous: bool) -> None:
        """A call with wrong arguments raises what it raises without auditing, and is a failure."""
        tool = FunctionTool.from_defaults(add)

        def call() -> Any:
            return asyncio.run(tool.acall(c=1)) if asynchronous else tool(c=1)

        told = recorded(call)
        assert told.startswith("TypeError")
        assert of(log, "tool failure add").attributes["error.type"] == "TypeError"

    def test_broken_metadata(self, log: CapturedAudit) -> None:
        """A tool whose own metadata raises runs as ever; it is recorded without a name."""

        class Nameless(Upper):
            @property
            def metadata(self) -> ToolMetadata:
                raise RuntimeError(CANARY)

        assert Nameless()("x").content == "X"
        assert lines(log) == ["tool intent None", "tool success None"]


class TestUnchanged:
    def test_errors_are_the_same(self, log: CapturedAudit) -> None:
        """Wrong calls raise the same errors with and without auditing, word for word."""
        calls: list[Callable[[], Any]] = [
            lambda: FunctionTool.from_defaults(add)(1),
            lambda: FunctionTool.from_defaults(add)(a=1, c=2),
            lambda: asyncio.run(FunctionTool.from_defaults(add).acall(1, 2, 3)),
            Upper(),
            lambda: Lower().call(),  # type: ignore[call-arg]
            lambda: asyncio.run(Lower().acall()),  # type: ignore[call-arg]
            lambda: engine_tool()(1, 2),
            lambda: MockLLM().chat(),
            lambda: ScriptedModel(script=[]).complete(),  # type: ignore[call-arg]
        ]
        before = [recorded(call) for call in calls]
        with instrumented():
            assert [recorded(call) for call in calls] == before

    def test_copies(self, log: CapturedAudit) -> None:
        """Tools and agents are pickled and copied as without auditing, and the copies are audited."""
        with instrumented():
            tool = FunctionTool.from_defaults(aadd)
            for made in (copy.copy(tool), copy.deepcopy(tool)):
                assert made(a=1, b=2).raw_output == 3
            assert pickle.loads(pickle.dumps(Upper()))("x").content == "X"
            clerk = copy.deepcopy(agent("clerk", ["0"], [add]))
            assert clerk.name == "clerk"
            model = pickle.loads(pickle.dumps(ScriptedModel(script=["4"])))
            assert model.chat([]).message.content == "4"
        assert lines(log) == [
            *["tool intent aadd", "tool success aadd"] * 2,
            *["tool intent upper", "tool success upper"],
            *["model intent scripted-1", "model success scripted-1"],
        ]


class TestCapture:
    @pytest.fixture
    def tool(self) -> FunctionTool:
        """Return a tool with all kinds of arguments."""

        def pay(ctx: Context, order: str, password: str, currency: str = "EUR") -> str:
            """Pay."""
            return f"paid {order}"

        pay.__annotations__["ctx"] = Context
        return FunctionTool.from_defaults(pay, partial_params={"currency": "CHF"})

    def test_nothing_by_default(self, log: CapturedAudit, tool: FunctionTool) -> None:
        """Arguments and results are not recorded by default."""
        with instrumented():
            tool(ctx=None, order="A-1", password=CANARY)
        text = b"".join(entry.raw for entry in log.entries)
        assert b"audit.arguments" not in text
        assert b"audit.result" not in text
        assert b"A-1" not in text

    def test_named(self, log: CapturedAudit, tool: FunctionTool) -> None:
        """Arguments that are named are recorded in the intent, the tool's own defaults among them."""
        with instrumented(capture=("order", "currency")):
            tool(ctx=None, order="A-1", password=CANARY)
        intent, outcome = pairs(log, "tool")[""]
        assert intent.attributes["audit.arguments"] == {"order": "A-1", "currency": "CHF"}
        assert "audit.arguments" not in outcome.attributes

    def test_all(self, log: CapturedAudit, tool: FunctionTool) -> None:
        """``*`` records all but what looks secret, and not the context that the framework adds."""
        with instrumented(capture="*"):
            tool(ctx=None, order="A-1", password=CANARY)
        assert of(log, "tool intent pay").attributes["audit.arguments"] == {"order": "A-1", "currency": "CHF"}

    def test_positional(self, log: CapturedAudit) -> None:
        """Arguments by position are recorded by name."""
        with instrumented(capture="*"):
            FunctionTool.from_defaults(add)(1, b=2)
            Upper()("x")
        assert of(log, "tool intent add").attributes["audit.arguments"] == {"a": 1, "b": 2}
        assert of(log, "tool intent upper").attributes["audit.arguments"] == {"input": "x"}

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_result(self, log: CapturedAudit, tool: FunctionTool, asynchronous: bool) -> None:
        """A result is what the function returned, without the arguments that the framework repeats in it."""
        with instrumented(capture_result=True):
            arguments: dict[str, Any] = {"ctx": None, "order": "A-1", "password": CANARY}
            asyncio.run(tool.acall(**arguments)) if asynchronous else tool(**arguments)
        assert of(log, "tool success pay").attributes["audit.result"] == "paid A-1"
        assert CANARY.encode() not in b"".join(entry.raw for entry in log.entries)

    def test_credentials(self, log: CapturedAudit) -> None:
        """What looks like a credential in a captured argument or result is left out."""

        def echo(text: str) -> dict[str, str]:
            """Return the text."""
            return {"api_key": "x1y2", "text": text}

        with instrumented(capture="*", capture_result=True):
            FunctionTool.from_defaults(echo)(text=f"my key is {CANARY}")
        assert CANARY.encode() not in b"".join(entry.raw for entry in log.entries)
        assert of(log, "tool success echo").attributes["audit.result"] == {
            "api_key": "[REDACTED]",
            "text": "my key is [REDACTED]",
        }


async def test_canary(log: CapturedAudit, spans: InMemorySpanExporter) -> None:
    """A secret in prompts, arguments, results and messages of exceptions reaches neither log nor spans."""

    def echo(text: str) -> str:
        """Return the text."""
        return text

    def refuse(text: str) -> str:
        """Raise the text."""
        raise ValueError(text)

    calls = [call_of("echo", "1", text=CANARY), call_of("refuse", "2", text=CANARY)]
    with instrumented():
        clerk = agent("clerk", [calls, CANARY, RuntimeError(CANARY)], [echo, refuse], system_prompt=CANARY)
        assert str(await clerk.run(CANARY)) == CANARY
        with pytest.raises(RuntimeError):
            await clerk.run(CANARY)
    assert len(lines(log, "tool")) == 4
    assert CANARY.encode() not in b"".join(entry.raw for entry in log.entries)
    assert not any(CANARY in span.to_json() for span in spans.get_finished_spans())


@pytest.mark.usefixtures("audited")
class TestGuardrail:
    @staticmethod
    def ask(passing: bool, asynchronous: bool) -> ToolOutput:
        """Ask an engine whose answers are evaluated."""
        tool = EvalQueryEngineTool.from_defaults(Engine(), name="ask", description="Ask.", evaluator=Judge(passing))
        return asyncio.run(tool.acall(input=CANARY)) if asynchronous else tool(input=CANARY)

    @pytest.mark.parametrize("asynchronous", [False, True])
    @pytest.mark.parametrize(("passing", "decision"), [(True, "allow"), (False, "block")])
    def test_decides(self, log: CapturedAudit, passing: bool, decision: str, asynchronous: bool) -> None:
        """Whether an evaluation lets an answer through is recorded, and nothing of the answer."""
        output = self.ask(passing, asynchronous)
        assert lines(log) == ["tool intent ask", f"guardrail {decision} ask", "tool success ask"]
        assert (output.content == CANARY) == passing
        assert CANARY.encode() not in b"".join(entry.raw for entry in log.entries)

    def test_cannot_be_recorded(self, log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
        """An answer whose evaluation cannot be recorded does not get through."""
        evaluate = Judge.aevaluate

        async def evaluate_and_break(self: Judge, *args: Any, **kwargs: Any) -> EvaluationResult:
            log.fail(OSError("no room"))
            return await evaluate(self, *args, **kwargs)

        monkeypatch.setattr(Judge, "aevaluate", evaluate_and_break)
        with pytest.raises(AuditWriteError):
            self.ask(passing=True, asynchronous=False)
        assert lines(log) == ["tool intent ask", "tool failure ask"]
