"""Semantic Kernel: real kernels and agents, and a connector of ours that says what it is told to."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent, HandoffOrchestration, OrchestrationHandoffs
from semantic_kernel.agents.runtime import InProcessRuntime
from semantic_kernel.connectors.ai.embedding_generator_base import EmbeddingGeneratorBase
from semantic_kernel.filters import FilterTypes, FunctionInvocationContext
from semantic_kernel.functions import FunctionResult, KernelArguments, KernelFunction, kernel_function

from otel_audit import AuditInstrumentor, acting_as, read_log, verify_log
from otel_audit.testing import CapturedAudit
from tests.frameworks.semantic_kernel_parts import (
    WAYS,
    Connector,
    agent,
    instrumented,
    respond,
    scripted,
    told,
)

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecationWarning")  # the framework's own

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_semantic_kernel.py"
CALL = [("tools-note", "call-1", {"text": "x"})]


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Every test runs with Semantic Kernel audited, by default settings."""
    with instrumented():
        yield


def note(text: str) -> str:
    """Note something."""
    return f"noted {text}"


STEPS = [
    ("agent.invoke", "writer", "intent", "unknown"),
    ("model.call", "scripted-1", "intent", "unknown"),
    ("model.call", "scripted-1", "outcome", "success"),
    ("tool.execute", "tools-note", "intent", "unknown"),
    ("tool.execute", "tools-note", "outcome", "success"),
    ("model.call", "scripted-1", "intent", "unknown"),
    ("model.call", "scripted-1", "outcome", "success"),
    ("agent.invoke", "writer", "outcome", "success"),
]


class TestAgents:
    @pytest.mark.parametrize("way", WAYS)
    async def test_order_of_lines(self, log: CapturedAudit, way: str) -> None:
        """However an agent is run, its run, model calls and function call stand in the log in their order."""
        assert await WAYS[way](agent("writer", CALL, "all|done", functions=[note])) == "alldone"
        assert told(log) == STEPS

    @pytest.mark.parametrize("way", WAYS)
    async def test_plugin_of_another(self, log: CapturedAudit, way: str) -> None:
        """An agent that is another's plugin acts on behalf of it."""
        writer = agent("writer", CALL, functions=[note])
        front = agent("front", [("writer-writer", "call-0", {"messages": "y"})], plugins=[writer])
        with acting_as("maya", type="user"):
            await WAYS[way](front)
        assert {(e.event_name, str(e.attributes.get("audit.delegation"))) for e in log.entries} == {
            ("gen_ai.agent.invoke", "None"),
            ("gen_ai.agent.invoke", "['maya', 'front']"),
            ("gen_ai.tool.execute", "['maya', 'front']"),
            ("gen_ai.tool.execute", "['maya', 'front', 'writer']"),
            ("gen_ai.model.call", "['maya', 'front']"),
            ("gen_ai.model.call", "['maya', 'front', 'writer']"),
        }

    @pytest.mark.parametrize("way", WAYS)
    async def test_one_trace(self, log: CapturedAudit, spans: InMemorySpanExporter, way: str) -> None:
        """A run is one trace."""
        await WAYS[way](agent("writer", CALL, functions=[note]))
        ours = [span for span in spans.get_finished_spans() if "otel_audit" in str(span.instrumentation_scope)]
        assert [span.name for span in ours] == ["gen_ai.agent.invoke writer"]
        assert {entry.trace_id for entry in log.entries} == {f"{ours[0].context.trace_id:032x}"}

    async def test_attributes(self, log: CapturedAudit) -> None:
        """Entries have the conventions' attributes, and none of what was asked or answered."""
        made = agent("writer", CALL, functions=[note])
        await respond(made)
        run, answer, call = log.entries[0], log.entries[2], log.entries[3]
        assert run.attributes["gen_ai.agent.id"] == made.id
        assert {key: value for key, value in answer.attributes.items() if key.startswith("gen_ai.")} == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "fake",
            "gen_ai.request.model": "scripted-1",
            "gen_ai.agent.name": "writer",
            "gen_ai.response.model": "scripted-1-2026",
            "gen_ai.response.id": "answer-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 3,
        }
        assert {key: value for key, value in call.attributes.items() if key.startswith("gen_ai.")} == {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "tools-note",
            "gen_ai.tool.call.id": "call-1",
            "gen_ai.tool.type": "function",
            "gen_ai.agent.name": "writer",
        }

    @pytest.mark.parametrize("way", WAYS)
    async def test_failing_model(self, log: CapturedAudit, way: str) -> None:
        """A model's exception comes through as it is, and is the outcome of call and run."""
        error = ValueError("secret")
        with pytest.raises(ValueError, match="secret") as raised:
            await WAYS[way](agent("writer", error))
        assert raised.value is error
        assert told(log)[-2:] == [
            ("model.call", "scripted-1", "outcome", "failure"),
            ("agent.invoke", "writer", "outcome", "failure"),
        ]
        assert "secret" not in str(log.entries)

    async def test_closed_early(self, log: CapturedAudit) -> None:
        """A stream that its reader closes has the outcome unknown, of the model call too."""
        async with aclosing(agent("writer", "one|two|three").invoke_stream(messages="go")) as items:
            await anext(items)
        for _ in range(9):
            await asyncio.sleep(0)
        ends = [what[::3] for what in told(log) if what[2] == "outcome"]
        assert sorted(ends) == [("agent.invoke", "unknown"), ("model.call", "unknown")]

    async def test_class_of_the_program(self, log: CapturedAudit) -> None:
        """An agent of the program's own class is audited, and one way that comes to another is one run."""

        class Mine(ChatCompletionAgent):  # type: ignore[misc]
            async def get_response(self, *args: Any, **options: Any) -> Any:
                return [item async for item in self.invoke(*args, **options)][-1]

        class Other(ChatCompletionAgent):  # type: ignore[misc]
            async def invoke(self, *args: Any, **options: Any) -> Any:
                yield await self.get_response(*args, **options)

        for cls, way in ((Mine, "get_response"), (Other, "invoke")):
            log.clear()
            made = cls(service=scripted("done", "done"), name="writer")
            assert await WAYS[way](made) == "done"
            assert told(log, "agent") == [STEPS[0], STEPS[-1]]
            log.clear()
            function = kernel_function(partial(WAYS[way], made), name="write")
            assert str(await Kernel().add_function("tools", function).invoke(Kernel())) == "done"
            assert told(log, "agent") == [STEPS[0], STEPS[-1]]

    @pytest.mark.parametrize("inner", WAYS)
    @pytest.mark.parametrize("outer", WAYS)
    async def test_inside_of_itself(self, log: CapturedAudit, outer: str, inner: str) -> None:
        """An agent that its own function runs once more, in whatever way, has two runs, one inside of the call."""

        async def note(text: str) -> str:
            return await WAYS[inner](made)

        made = agent("writer", CALL, "inner", "done", functions=[note])
        assert await WAYS[outer](made) == "done"
        assert told(log) == [*STEPS[:4], STEPS[0], STEPS[1], STEPS[2], STEPS[-1], *STEPS[4:]]

    async def test_handoff(self, log: CapturedAudit) -> None:
        """An agent of an orchestration that hands over does so by a function, and each agent is run."""
        first = agent("first", [("Handoff-transfer_to_second", "call-1", {})])
        second = agent("second", [("Handoff-complete_task", "call-2", {"task_summary": "done"})])
        orchestration = HandoffOrchestration(
            members=[first, second], handoffs=OrchestrationHandoffs().add("first", "second")
        )
        runtime = InProcessRuntime()
        runtime.start()
        result = await orchestration.invoke("go", runtime)
        await asyncio.wait_for(result.get(), 20)
        await runtime.stop_when_idle()
        assert told(log, "handoff") == [
            ("agent.handoff", "second", "intent", "unknown"),
            ("agent.handoff", "second", "outcome", "success"),
        ]
        assert [e.attributes["gen_ai.agent.name"] for e in log.entries if "handoff" in e.event_name] == ["first"] * 2
        runs = [what[1] for what in told(log, "agent.invoke") if what[2] == "intent"]
        assert runs == ["first", "second"]


class TestFunctions:
    async def test_intent_first(self, log: CapturedAudit) -> None:
        """A function that reads the log finds its own intent there, as its last entry."""
        found: list[str] = []

        def note(text: str) -> str:
            found.append([entry.event_name for entry in read_log(log.path)][-1])
            return text

        await respond(agent("writer", CALL, functions=[note]))
        assert found == ["gen_ai.tool.execute"]

    async def test_failing(self, log: CapturedAudit) -> None:
        """A function that fails is a failure, though the model is told of it and the run goes on."""

        def note(text: str) -> str:
            raise KeyError("secret")

        assert await respond(agent("writer", CALL, functions=[note])) == "done"
        end = log.entries[4].attributes
        assert (end["audit.outcome"], end["error.type"]) == ("failure", "KeyError")
        assert "audit.reason" not in end
        assert "secret" not in str(log.entries)

    async def test_filter_that_answers(self, log: CapturedAudit) -> None:
        """A function in whose place a filter answers did not run, and the outcome says so."""
        made = agent("writer", CALL, functions=[note])

        async def answer(context: FunctionInvocationContext, next: Any) -> None:  # noqa: A002 - the framework's name
            context.result = FunctionResult(function=context.function.metadata, value="cached")

        made.kernel.add_filter(FilterTypes.FUNCTION_INVOCATION, answer)
        assert await respond(made) == "done"
        end = log.entries[4].attributes
        assert (end["audit.outcome"], end["audit.reason"]) == ("unknown", "the function did not run")

    async def test_filter_that_raises(self, log: CapturedAudit) -> None:
        """A function that a filter refuses did not run, and the outcome says so."""
        made = agent("writer", CALL, functions=[note])

        async def refuse(context: FunctionInvocationContext, next: Any) -> None:  # noqa: A002 - the framework's name
            raise PermissionError("secret")

        made.kernel.add_filter(FilterTypes.FUNCTION_INVOCATION, refuse)
        await respond(made)
        end = log.entries[4].attributes
        assert (end["audit.outcome"], end["audit.reason"]) == ("failure", "the function did not run")

    async def test_without_an_agent(self, log: CapturedAudit) -> None:
        """A function that the program has the kernel invoke is audited, whole and as a stream."""
        kernel = Kernel()

        async def words(text: str) -> AsyncIterator[str]:
            for word in text.split():
                yield word

        kernel.add_function("tools", kernel_function(note))
        kernel.add_function("tools", kernel_function(words))
        assert str(await kernel.invoke(plugin_name="tools", function_name="note", text="x")) == "noted x"
        kernel_stream = kernel.invoke_stream(plugin_name="tools", function_name="words", text="a b")
        assert [item async for item in kernel_stream] == ["a", "b"]
        assert told(log) == [
            STEPS[3],
            STEPS[4],
            ("tool.execute", "tools-words", "intent", "unknown"),
            ("tool.execute", "tools-words", "outcome", "success"),
        ]

    async def test_prompt(self, log: CapturedAudit) -> None:
        """A prompt that the program asks is a model call; one that a model calls is a tool too."""
        kernel = Kernel()
        kernel.add_service(scripted("yes"))
        assert str(await kernel.invoke_prompt("secret", arguments=KernelArguments())) == "yes"
        assert told(log) == [STEPS[1], STEPS[2]]
        log.clear()
        made = agent("writer", [("tools-ask", "call-1", {})])
        made.kernel.add_function("tools", prompt="secret", function_name="ask")
        await respond(made)
        assert ("tool.execute", "tools-ask", "outcome", "success") in told(log)
        assert "secret" not in str(log.entries)

    async def test_class_of_the_program(self, log: CapturedAudit) -> None:
        """A function of a class that overrides `invoke` has one pair."""
        made = Kernel()
        function = made.add_function("tools", kernel_function(note))

        class Noisy(type(function)):  # type: ignore[misc]
            async def invoke(self, *args: Any, **options: Any) -> Any:
                return await super().invoke(*args, **options)

        noisy: KernelFunction = Noisy(method=kernel_function(note), plugin_name="tools")
        assert str(await noisy.invoke(made, text="x")) == "noted x"
        assert told(log) == [STEPS[3], STEPS[4]]


class TestModels:
    async def test_class_that_asks_its_parent(self, log: CapturedAudit) -> None:
        """A connector whose class has its parent's ask is one call, whole or as a stream."""

        class Polite(Connector):
            async def _inner_get_chat_message_contents(self, chat_history: Any, settings: Any) -> Any:
                return await super()._inner_get_chat_message_contents(chat_history, settings)

            async def _inner_get_streaming_chat_message_contents(self, *args: Any, **options: Any) -> Any:
                async for item in super()._inner_get_streaming_chat_message_contents(*args, **options):
                    yield item

        for way in WAYS:
            log.clear()
            made = ChatCompletionAgent(service=Polite(ai_model_id="scripted-1", turn=lambda: "done"), name="writer")
            assert await WAYS[way](made) == "done"
            assert told(log, "model") == [STEPS[1], STEPS[2]]

    async def test_embeddings(self, log: CapturedAudit) -> None:
        """A connector of embeddings is a model too, and asked in either way it is asked once."""

        class Embeddings(EmbeddingGeneratorBase):  # type: ignore[misc]
            async def generate_embeddings(self, texts: list[str], settings: Any = None, **_: Any) -> Any:
                return [[0.5] for _ in texts]

        await Embeddings(ai_model_id="embedding-1").generate_raw_embeddings(["secret"])
        assert told(log) == [
            ("model.call", "embedding-1", "intent", "unknown"),
            ("model.call", "embedding-1", "outcome", "success"),
        ]
        assert log.entries[0].attributes["gen_ai.operation.name"] == "embeddings"


def test_example(tmp_path: Path) -> None:
    """The example runs offline and prints who did what."""
    AuditInstrumentor().uninstrument()
    path = tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"OTEL_AUDIT_FILE": str(path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    printed = done.stdout.splitlines()
    assert printed[0] == "done"
    call = "maya@example.com > front-desk > clerk: intent gen_ai.tool.execute Orders-refund"
    assert any(line.endswith(call) for line in printed)
    assert verify_log(path).findings == ()
