from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.llms import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CustomLLM,
    LLMMetadata,
    MockLLM,
)
from llama_index.core.llms.mock import MockFunctionCallingLLM
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

from otel_audit.testing import CapturedAudit
from tests.frameworks.llama_index_parts import CANARY, ScriptedModel, first, instrumented, last_line, lines, of, short

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # llama-index's own

ASK = [ChatMessage(role="user", content=CANARY)]


@pytest.fixture(autouse=True)
def audited(log: CapturedAudit) -> Iterator[None]:
    """Audit llama-index in every test, with all arguments and results: those of models are never recorded."""
    with instrumented(capture="*", capture_result=True):
        yield


async def all_of(stream: Any) -> list[Any]:
    """Return the items of an async stream that is still to be awaited."""
    return [item async for item in await stream]


WAYS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda model: model.chat(ASK),
    "complete": lambda model: model.complete(CANARY),
    "achat": lambda model: asyncio.run(model.achat(ASK)),
    "acomplete": lambda model: asyncio.run(model.acomplete(CANARY)),
    "stream_chat": lambda model: list(model.stream_chat(ASK)),
    "stream_complete": lambda model: list(model.stream_complete(CANARY)),
    "astream_chat": lambda model: asyncio.run(all_of(model.astream_chat(ASK))),
    "astream_complete": lambda model: asyncio.run(all_of(model.astream_complete(CANARY))),
}
"""Every way to ask a model."""


class Plain(CustomLLM):  # type: ignore[misc]
    """A model of the program's with the two methods that it has to have; the others end in these."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="plain-1")

    def complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="yes")

    def stream_complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> Iterator[CompletionResponse]:
        for word in ("yes", "no"):
            yield CompletionResponse(text=word, delta=word)


UNAUDITED = {way: str(ask(Plain())) for way, ask in WAYS.items()}
"""What each way answers where nothing is audited."""


class TestWays:
    @pytest.mark.parametrize("way", WAYS)
    def test_once(self, log: CapturedAudit, way: str) -> None:
        """Each way to ask a model is in the log once, with all that the answer tells and nothing that it says."""
        WAYS[way](ScriptedModel(script=["yes"]))
        assert lines(log) == ["model intent scripted-1", "model success scripted-1"]
        outcome = of(log, "model success scripted-1").attributes
        told = {name: value for name, value in outcome.items() if name.startswith("gen_ai.")}
        assert told == {
            "gen_ai.operation.name": "chat" if way.endswith("chat") else "text_completion",
            "gen_ai.provider.name": "ScriptedModel",
            "gen_ai.request.model": "scripted-1",
            "gen_ai.response.model": "scripted-1-2026",
            "gen_ai.response.id": "answer-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 3,
        }
        text = b"".join(entry.raw for entry in log.entries)
        assert CANARY.encode() not in text
        assert b"yes" not in text

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("model", [Plain, MockLLM, MockFunctionCallingLLM])
    def test_through_others(self, log: CapturedAudit, model: type, way: str) -> None:
        """A model whose one method asks another of its own is in the log once."""
        WAYS[way](model())
        assert [line.split()[1] for line in lines(log)] == ["intent", "success"]

    @pytest.mark.parametrize("way", WAYS)
    def test_same_answers(self, way: str) -> None:
        """Answers are the same as without auditing."""
        assert str(WAYS[way](Plain())) == UNAUDITED[way]

    def test_structured(self, log: CapturedAudit) -> None:
        """A model that is made to answer in a form is in the log once, as the model that it asks."""

        class Form(BaseModel):
            """A form."""

            text: str

        model = Plain().as_structured_llm(Form)
        with pytest.raises(Exception, match="."):  # what it says is no form
            model.chat(ASK)
        assert lines(log) == ["model intent plain-1", "model success plain-1"]

    def test_intent_before(self, log: CapturedAudit) -> None:
        """A model is asked when the intent is in the log; that of a stream as soon as the stream is asked for."""
        seen = []
        model = ScriptedModel(script=[first(lambda: seen.append(last_line(log.path)), "yes")] * 2)
        model.chat(ASK)
        stream = model.stream_chat(ASK)
        assert lines(log)[2:] == ["model intent scripted-1"]
        list(stream)
        assert seen == ["model intent scripted-1"] * 2

    @pytest.mark.parametrize("way", WAYS)
    def test_raises(self, log: CapturedAudit, way: str) -> None:
        """A model's own exception goes on, the same object; the log has its type."""
        error = ConnectionError(CANARY)
        with pytest.raises(ConnectionError) as raised:
            WAYS[way](ScriptedModel(script=[error]))
        assert raised.value is error
        assert of(log, "model failure scripted-1").attributes["error.type"] == "ConnectionError"
        assert CANARY.encode() not in b"".join(entry.raw for entry in log.entries)

    @pytest.mark.parametrize("way", WAYS)
    def test_not_recorded(self, log: CapturedAudit, way: str) -> None:
        """A model is not asked where the intent cannot be written."""
        asked: list[int] = []
        log.fail(OSError("no room"))
        with pytest.raises(Exception, match="no room"):
            WAYS[way](ScriptedModel(script=[first(lambda: asked.append(1), "yes")]))
        assert asked == []
        assert lines(log) == []

    @pytest.mark.parametrize("way", WAYS)
    def test_outcome_is_lost(self, log: CapturedAudit, way: str) -> None:
        """Where the outcome cannot be written, the answer comes through all the same."""

        def answer() -> str:
            log.fail(OSError("no room"))
            return "yes"

        assert "yes" in str(WAYS[way](ScriptedModel(script=[answer])))
        assert lines(log) == ["model intent scripted-1"]


class TestStreams:
    def test_closed_early(self, log: CapturedAudit) -> None:
        """A stream that is closed before its end is neither a success nor a failure, and so is the model's."""
        closed = []

        class Closing(ScriptedModel):
            def stream_chat(self, messages: Any, **kwargs: Any) -> Iterator[ChatResponse]:
                try:
                    yield from super().stream_chat(messages)
                finally:
                    closed.append(True)

        stream = Closing(script=["yes"]).stream_chat(ASK)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert closed == [True]
        outcome = of(log, "model unknown scripted-1")
        assert outcome.attributes["audit.reason"] == "closed by its consumer before it ended"

    def test_thrown_into(self, log: CapturedAudit) -> None:
        """A stream that its reader throws into is closed, with the model's, and fails."""
        closed = []

        class Closing(ScriptedModel):
            def stream_chat(self, messages: Any, **_kwargs: Any) -> Any:
                def answers() -> Iterator[ChatResponse]:
                    try:
                        yield from (self._answer(), self._answer())
                    finally:
                        closed.append(True)

                return answers()

        stream: Any = Closing(script=["one", "two"]).stream_chat([])
        next(stream)
        error = KeyError("of the reader")
        with pytest.raises(KeyError) as raised:
            stream.throw(error)
        assert raised.value is error
        assert closed == [True]
        assert lines(log) == ["model intent scripted-1", "model failure scripted-1"]

    async def test_async_thrown_into(self, log: CapturedAudit) -> None:
        """An async stream that its reader throws into is closed, with the model's, and fails."""
        closed = []

        class Closing(ScriptedModel):
            async def astream_chat(self, messages: Any, **_kwargs: Any) -> Any:
                async def answers() -> AsyncIterator[ChatResponse]:
                    try:
                        yield self._answer()
                        yield self._answer()
                    finally:
                        closed.append(True)

                held.append(answers())
                return held[0]

        held: list[Any] = []
        stream: Any = await Closing(script=["one", "two"]).astream_chat([])
        await anext(stream)
        with pytest.raises(KeyError):
            await stream.athrow(KeyError("of the reader"))
        assert closed == [True]
        assert lines(log) == ["model intent scripted-1", "model failure scripted-1"]

    async def test_async_closed_early(self, log: CapturedAudit) -> None:
        """An async stream that is closed before its end is neither a success nor a failure."""
        stream: Any = await ScriptedModel(script=["yes"]).astream_chat(ASK)
        await anext(stream)
        await stream.aclose()
        of(log, "model unknown scripted-1")

    async def test_cancelled(self, log: CapturedAudit) -> None:
        """A stream that is cancelled while it waits is a failure."""
        waiting = asyncio.Event()

        class Hanging(ScriptedModel):
            async def astream_chat(self, messages: Any, **_kwargs: Any) -> AsyncIterator[ChatResponse]:
                async def parts() -> AsyncIterator[ChatResponse]:
                    waiting.set()
                    await asyncio.Event().wait()
                    yield ChatResponse(message=ChatMessage(role="assistant"))

                return parts()

        task = asyncio.create_task(all_of(Hanging(script=[]).astream_chat(ASK)))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert of(log, "model failure scripted-1").attributes["error.type"] == "asyncio.exceptions.CancelledError"

    async def test_spans(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """A stream has a span of its own where there is none, up to its end; both lines have its ids."""
        stream: Any = await ScriptedModel(script=["yes"]).astream_chat(ASK)
        await anext(stream)
        assert spans.get_finished_spans() == ()
        assert [item async for item in stream]
        (span,) = spans.get_finished_spans()
        assert {entry.span_id for entry in log.entries} == {format(span.context.span_id, "016x")}
        assert {entry.trace_id for entry in log.entries} == {format(span.context.trace_id, "032x")}

    def test_failed_spans(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """The span of a stream that fails, at once or later, is ended, with the type of the error only."""

        class Refusing(ScriptedModel):
            def stream_chat(self, messages: Any, **_kwargs: Any) -> Iterator[ChatResponse]:
                raise ConnectionError(CANARY)

        for model in (Refusing(script=[]), ScriptedModel(script=[ConnectionError(CANARY)])):
            with pytest.raises(ConnectionError):
                list(model.stream_chat(ASK))
        log.fail(OSError("no room"))
        with pytest.raises(Exception, match="no room"):
            ScriptedModel(script=[]).stream_chat(ASK)
        told = [dict(span.attributes or {}).get("error.type") for span in spans.get_finished_spans()]
        assert told == ["ConnectionError", "ConnectionError", "otel_audit.errors.AuditWriteError"]
        assert not any(CANARY in span.to_json() for span in spans.get_finished_spans())

    def test_interleaved(self, log: CapturedAudit) -> None:
        """Two streams of one model at the same time are two acts, also where one is read inside the other."""
        model = Plain()
        for _ in model.stream_chat(ASK):
            list(model.stream_chat(ASK))
        assert len(lines(log)) == 6
        assert lines(log).count("model success plain-1") == 3


ANSWERS: dict[str, tuple[Any, dict[str, Any], tuple[Any, Any, Any]]] = {
    "openai": (
        SimpleNamespace(
            usage=SimpleNamespace(prompt_tokens=5, completion_tokens=6),
            choices=[SimpleNamespace(finish_reason="length")],
        ),
        {},
        (5, 6, ["length"]),
    ),
    "openai, as keywords": ({"choices": []}, {"prompt_tokens": 5, "completion_tokens": 6}, (5, 6, None)),
    "anthropic": (
        {"usage": SimpleNamespace(input_tokens=5, output_tokens=6), "stop_reason": "end_turn"},
        {},
        (5, 6, ["end_turn"]),
    ),
    "google": (
        {
            "usage_metadata": {"prompt_token_count": 5, "candidates_token_count": 6},
            "candidates": [SimpleNamespace(finish_reason=SimpleNamespace(name="STOP"))],
        },
        {},
        (5, 6, ["STOP"]),
    ),
    "bedrock": ({"usage": {"inputTokens": 5, "outputTokens": 6}, "stopReason": "tool_use"}, {}, (5, 6, ["tool_use"])),
    "ollama": ({"prompt_eval_count": 5, "eval_count": 6, "done_reason": "stop"}, {}, (5, 6, ["stop"])),
    "none": (None, {}, (None, None, None)),
    "odd": ({"usage": "many", "choices": "two", "finish_reason": 5, "model": 7}, {}, (None, None, None)),
}
"""An answer in the form of each provider's client: raw, keywords, and the counts and reasons that it tells."""


class TestAnswers:
    @pytest.mark.parametrize("provider", ANSWERS)
    def test_usage(self, log: CapturedAudit, provider: str) -> None:
        """Token counts and finish reasons are found where each provider has them."""
        raw, keywords, expected = ANSWERS[provider]

        class Answering(ScriptedModel):
            def chat(self, messages: Any, **_kwargs: Any) -> ChatResponse:
                message = ChatMessage(role="assistant", content="yes")
                return ChatResponse(message=message, raw=raw, additional_kwargs=keywords)

        Answering(script=[]).chat(ASK)
        outcome = of(log, "model success scripted-1").attributes
        names = ("usage.input_tokens", "usage.output_tokens", "response.finish_reasons")
        assert tuple(outcome.get(f"gen_ai.{name}") for name in names) == expected

    def test_spread_over_a_stream(self, log: CapturedAudit) -> None:
        """What the parts of a stream tell one by one is all in the outcome."""

        class Streaming(ScriptedModel):
            def stream_chat(self, messages: Any, **_kwargs: Any) -> Iterator[ChatResponse]:
                for raw in (
                    {"choices": [{"finish_reason": None}], "model": "m-1"},
                    {"choices": [{"finish_reason": "stop"}]},
                    {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
                ):
                    yield ChatResponse(message=ChatMessage(role="assistant", content=""), raw=raw)

        list(Streaming(script=[]).stream_chat(ASK))
        outcome = of(log, "model success scripted-1").attributes
        assert outcome["gen_ai.response.finish_reasons"] == ["stop"]
        assert outcome["gen_ai.response.model"] == "m-1"
        assert outcome["gen_ai.usage.output_tokens"] == 2

    @pytest.mark.parametrize(
        ("module", "expected"),
        [("openai.base", "openai"), ("bedrock_converse.base", "aws.bedrock"), ("google_genai", "gcp.gemini")],
    )
    def test_provider(self, log: CapturedAudit, module: str, expected: str) -> None:
        """The provider is that of the package that the model, or what it derives from, comes from."""
        integration: Any = type(
            "Integration", (ScriptedModel,), {"__module__": f"llama_index.llms.{module}", "__annotations__": {}}
        )

        class Own(integration):  # type: ignore[misc]
            """A class of the program's."""

        Own(script=["yes"]).chat(ASK)
        assert of(log, "model intent scripted-1").attributes["gen_ai.provider.name"] == expected

    def test_unknown_model(self, log: CapturedAudit) -> None:
        """A model that cannot tell its own name is asked as ever, and recorded without it."""

        class Unknown(Plain):
            @property
            def metadata(self) -> LLMMetadata:
                raise ValueError(CANARY)

        assert Unknown().complete("x").text == "yes"
        assert [short(entry) for entry in log.entries] == ["model intent None", "model success None"]
