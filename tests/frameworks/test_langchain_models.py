from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import FakeListLLM, FakeStreamingListLLM
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit.testing import CapturedAudit
from tests.frameworks.langchain_support import (
    HELLO,
    ScriptedModel,
    StreamingModel,
    calls,
    chain,
    instrumented,
    line,
    lines,
    model,
    of,
    says,
)


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Audit LangChain."""
    with instrumented():
        yield


class ChatAcme(StreamingModel):
    """A model whose provider is known."""


CALL = [("model.call", "scripted-1", "intent", "unknown"), ("model.call", "scripted-1", "outcome", "success")]
ANSWER = {
    "gen_ai.usage.input_tokens": 11,
    "gen_ai.usage.output_tokens": 7,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.response.model": "scripted-1-0613",
    "gen_ai.response.id": "answer-1",
}


async def collected(items: Any) -> list[Any]:
    return [item async for item in items]


def ask(way: str, chat: ScriptedModel) -> None:
    {
        "invoke": lambda: chat.invoke("hello"),
        "ainvoke": lambda: asyncio.run(chat.ainvoke("hello")),
        "stream": lambda: list(chat.stream("hello")),
        "astream": lambda: asyncio.run(collected(chat.astream("hello"))),
        "generate": lambda: chat.generate([[AIMessage("hello")]]),
        "batch": lambda: chat.batch(["hello"]),
        "bound": lambda: chat.bind(stop=["."]).invoke("hello"),
        "astream_events": lambda: asyncio.run(collected(chat.astream_events("hello", version="v2"))),
    }[way]()


WAYS = ("invoke", "ainvoke", "stream", "astream", "generate", "batch", "bound", "astream_events")


class TestCall:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("kind", [ScriptedModel, StreamingModel])
    def test_is_recorded_once(self, log: CapturedAudit, way: str, kind: Any) -> None:
        """A call is one intent and one outcome with tokens, model and why it ended, whether or not it can stream."""
        ask(way, model("fine", kind=kind))
        assert lines(log) == CALL
        outcome = log.entries[1].attributes
        assert {
            key: value for key, value in outcome.items() if key.startswith(("gen_ai.usage", "gen_ai.response"))
        } == (ANSWER)
        assert not [key for key in log.entries[0].attributes if key.startswith(("gen_ai.usage", "gen_ai.response"))]

    def test_names_the_provider(self, log: CapturedAudit) -> None:
        """Provider, model and operation are said in the intent, and a call may name another model."""
        chat = model("fine", "fine", kind=ChatAcme)
        chat.invoke("hello")
        chat.invoke("hello", model="acme-2")
        assert [
            [entry.attributes[f"gen_ai.{name}"] for name in ("provider.name", "request.model", "operation.name")]
            for entry in log.entries[::2]
        ] == [["acme", "scripted-1", "chat"], ["acme", "acme-2", "chat"]]

    def test_is_of_the_agent(self, log: CapturedAudit) -> None:
        """A call inside an agent's run is the agent's."""
        create_agent(model("fine"), [], name="helper").invoke(HELLO)
        call = of(log, "model.call")[0]
        assert call.attributes["gen_ai.agent.name"] == "helper"
        assert chain(call)[-1] == "helper"

    def test_fails(self, log: CapturedAudit) -> None:
        """The exception of a model is recorded by its type and goes on."""
        error = TimeoutError("no")
        with pytest.raises(TimeoutError) as caught:
            model(error).invoke("hello")
        assert caught.value is error
        assert lines(log) == [CALL[0], ("model.call", "scripted-1", "outcome", "failure")]
        assert log.entries[1].attributes["error.type"] == "TimeoutError"

    def test_of_each_fallback_is_recorded(self, log: CapturedAudit) -> None:
        """Where one model fails and another is asked, both are in the log."""
        model(TimeoutError(), model_name="first").with_fallbacks([model("fine", model_name="second")]).invoke("hello")
        assert [(entry[1], entry[3]) for entry in lines(log)[1::2]] == [("first", "failure"), ("second", "success")]

    def test_of_a_model_that_asks_another_is_recorded(self, log: CapturedAudit) -> None:
        """A model that routes to another one leaves the lines of both."""

        class Router(ScriptedModel):
            to: ScriptedModel

            def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
                self.answers.append(self.to.invoke(messages))
                return super()._generate(messages, *args, **kwargs)

        Router(answers=[], model_name="router", to=model("fine")).invoke("hello")
        assert [entry[:3] for entry in lines(log)] == [
            ("model.call", "router", "intent"),
            *(entry[:3] for entry in CALL),
            ("model.call", "router", "outcome"),
        ]

    def test_counts_the_tokens_of_all_prompts(self, log: CapturedAudit) -> None:
        """Several prompts in one call are one act, whose tokens are added up."""
        model("fine", "fine").generate([[AIMessage("hello")], [AIMessage("hello")]])
        assert lines(log) == CALL
        assert log.entries[1].attributes["gen_ai.usage.input_tokens"] == 22

    def test_that_a_cache_answers_is_recorded(self, log: CapturedAudit) -> None:
        """An answer out of the cache is an answer."""
        chat = model("fine", cache=InMemoryCache())
        assert chat.invoke("hello").content == chat.invoke("hello").content
        assert lines(log) == CALL * 2

    def test_may_be_of_a_text_model(self, log: CapturedAudit) -> None:
        """Models of texts are audited in the same way."""
        FakeListLLM(responses=["fine"]).invoke("hello")
        asyncio.run(FakeListLLM(responses=["fine"]).ainvoke("hello"))
        FakeListLLM(responses=["fine"]).batch(["hello"])
        list(FakeStreamingListLLM(responses=["fine"]).stream("hello"))
        list(FakeListLLM(responses=["fine"]).stream("hello"))
        asyncio.run(collected(FakeStreamingListLLM(responses=["fine"]).astream("hello")))
        assert [entry[2:] for entry in lines(log)] == [entry[2:] for entry in CALL] * 6
        assert {entry.attributes["gen_ai.operation.name"] for entry in log.entries} == {"text_completion"}


class TestStream:
    def test_has_its_intent_before_the_first_word(self, log: CapturedAudit) -> None:
        """The intent is written when the first word is asked for, and the outcome after the last."""
        stream = model("one two", kind=StreamingModel).stream("hello")
        assert lines(log) == []
        next(stream)
        assert lines(log) == CALL[:1]
        list(stream)
        assert lines(log) == CALL

    def test_closed_early_is_unknown(self, log: CapturedAudit) -> None:
        """A stream that is left after a word is neither a success nor a failure."""
        stream = model("one two", kind=StreamingModel).stream("hello")
        next(stream)
        stream.close()
        assert lines(log) == [CALL[0], ("model.call", "scripted-1", "outcome", "unknown")]

    async def test_closed_early_is_unknown_in_coroutines(self, log: CapturedAudit) -> None:
        """So is one of a coroutine."""
        stream = model("one two", kind=StreamingModel).astream("hello")
        await anext(stream)
        await stream.aclose()
        assert lines(log) == [CALL[0], ("model.call", "scripted-1", "outcome", "unknown")]

    def test_fails(self, log: CapturedAudit) -> None:
        """The exception of a stream is recorded by its type and goes on."""

        class Breaking(StreamingModel):
            def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
                yield next(super()._stream(*args, **kwargs))
                raise ConnectionError("no")

        with pytest.raises(ConnectionError):
            list(model("one two", kind=Breaking).stream("hello"))
        assert lines(log)[1] == ("model.call", "scripted-1", "outcome", "failure")
        assert log.entries[1].attributes["error.type"] == "ConnectionError"

    def test_is_in_a_span(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """A stream outside every span has one of its own, of which its consumer sees nothing."""
        from opentelemetry import trace

        for _ in model("one two", kind=StreamingModel).stream("hello"):
            assert not trace.get_current_span().get_span_context().is_valid
        (span,) = spans.get_finished_spans()
        assert span.name == "gen_ai.model.call scripted-1"
        assert [entry.trace_id for entry in log.entries] == [f"{span.context.trace_id:032x}"] * 2

    @pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
    def test_of_events_is_recorded(self, log: CapturedAudit) -> None:
        """The newest protocol of streams leaves the same lines, with the tokens of the message that it gathers."""
        assert model("fine", kind=StreamingModel).stream_events("hello", version="v3").output.content
        assert lines(log) == CALL
        assert log.entries[1].attributes["gen_ai.usage.input_tokens"] == 11

    @pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
    async def test_of_events_is_recorded_in_coroutines(self, log: CapturedAudit) -> None:
        """So it does in coroutines."""
        stream = await model("fine", kind=StreamingModel).astream_events("hello", version="v3")
        assert (await stream.output).content
        assert lines(log) == CALL
        assert log.entries[1].attributes["gen_ai.usage.output_tokens"] == 7

    @pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
    def test_of_an_agents_events_is_recorded_once(self, log: CapturedAudit) -> None:
        """An agent whose events are streamed leaves the same lines as one that is invoked."""

        @tool
        def add(a: int, b: int) -> int:
            """Add two numbers."""
            return a + b

        chat = model(calls(("add", {"a": 1, "b": 2})), says("3"), kind=StreamingModel)
        run = create_agent(chat, [add], name="calculator").stream_events(HELLO, version="v3")
        assert run.output["messages"][-1].text == "3"
        assert [line(entry)[0] for entry in log.entries] == [
            "agent.invoke",
            *["model.call"] * 2,
            *["tool.execute"] * 2,
            *["model.call"] * 2,
            "agent.invoke",
        ]
