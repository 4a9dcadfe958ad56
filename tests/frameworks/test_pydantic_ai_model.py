"""Pydantic AI: what asking models leaves in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, Embedder
from pydantic_ai.direct import model_request, model_request_stream, model_request_sync
from pydantic_ai.embeddings import TestEmbeddingModel as FakeEmbeddingModel
from pydantic_ai.embeddings import WrapperEmbeddingModel
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.wrapper import WrapperModel

from otel_audit import acting_as
from otel_audit.testing import CapturedAudit
from tests.frameworks.pydantic_ai_fakes import (
    WAYS_TO_RUN,
    CountingModel,
    answer,
    instrumented,
    loop_of_its_own,  # noqa: F401 - a fixture
    scripted,
    told,
)

ASK = [ModelRequest.user_text_prompt("what?")]

CALL = [
    ("model.call", "counting", "intent", "unknown"),
    ("model.call", "counting", "outcome", "success"),
]


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Every test runs with Pydantic AI audited, by default settings."""
    with instrumented():
        yield


class TestChat:
    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_attributes(self, log: CapturedAudit, way: str) -> None:
        """A model call has provider, model and agent; its outcome the answer's model, id, end and token counts."""
        WAYS_TO_RUN[way](Agent(CountingModel(), name="writer"))
        assert told(log, "model") == CALL
        intent, outcome = [entry.attributes for entry in log.entries if entry.event_name == "gen_ai.model.call"]
        asked = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "fake",
            "gen_ai.request.model": "counting",
            "gen_ai.agent.name": "writer",
        }
        assert {name: value for name, value in intent.items() if name.startswith("gen_ai.")} == asked
        assert {name: value for name, value in outcome.items() if name.startswith("gen_ai.")} == asked | {
            "gen_ai.response.model": "counting-2026",
            "gen_ai.response.id": "answer-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 3,
        }

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_that_fails(self, log: CapturedAudit, way: str) -> None:
        """A model's exception comes through as it is, at whatever point of a stream, and its type is the outcome."""
        error = ModelAPIError("counting", "secret")
        with pytest.raises(ModelAPIError) as raised:
            WAYS_TO_RUN[way](Agent(CountingModel(error=error), name="writer"))
        assert raised.value is error
        ends = [entry.attributes for entry in log.entries if entry.attributes["audit.phase"] == "outcome"]
        assert {end["audit.outcome"] for end in ends} == {"failure"}
        assert {end["error.type"] for end in ends} == {"pydantic_ai.exceptions.ModelAPIError"}

    def test_without_an_agent(self, log: CapturedAudit) -> None:
        """A model that is asked directly is asked by the caller."""
        with acting_as("maya", type="user"):
            assert model_request_sync(CountingModel(), ASK).parts == answer("counting").parts
        assert told(log) == CALL
        assert {entry.attributes["audit.actor.id"] for entry in log.entries} == {"maya"}

    async def test_streamed_without_an_agent(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """The same for a stream, whose entries are of one trace, and whose block is not within our span."""
        async with model_request_stream(CountingModel(), ASK) as stream:
            assert told(log) == CALL[:1]
            async for _ in stream:
                pass
        assert told(log) == CALL
        (span,) = spans.get_finished_spans()
        assert {entry.span_id for entry in log.entries} == {f"{span.context.span_id:016x}"}

    @pytest.mark.parametrize("cancel", [False, True])
    async def test_stream_that_is_left(self, log: CapturedAudit, cancel: bool) -> None:
        """A stream that is left or cancelled before its end has the outcome unknown, and says why."""
        async with model_request_stream(CountingModel(), ASK) as stream:
            async for _ in stream:
                if not cancel:
                    break
                await stream.cancel()
        assert told(log) == [CALL[0], ("model.call", "counting", "outcome", "unknown")]
        assert log.entries[-1].attributes["audit.reason"] == "closed by its consumer before it ended"

    async def test_cancelled(self, log: CapturedAudit) -> None:
        """A call that is cancelled has failed so."""
        began = asyncio.Event()

        async def wait(_messages: Any, _info: Any) -> Any:
            began.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(model_request(FunctionModel(wait, model_name="counting"), ASK))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told(log)[-1] == ("model.call", "counting", "outcome", "failure")

    def test_model_that_runs_an_agent(self, log: CapturedAudit) -> None:
        """An agent that a model runs is run by the agent whose model it is."""
        inner = Agent(CountingModel(), name="inner")

        async def ask(_messages: Any, _info: Any) -> Any:
            await inner.run("go")
            return answer("outer")

        with acting_as("maya", type="user"):
            Agent(FunctionModel(ask, model_name="outer"), name="outer").run_sync("go")
        chains = [
            (entry.attributes["audit.target.id"], entry.attributes.get("audit.delegation"))
            for entry in log.entries
            if entry.attributes["audit.phase"] == "intent"
        ]
        assert chains == [
            ("outer", None),
            ("outer", ["maya", "outer"]),
            ("inner", ["maya", "outer"]),
            ("counting", ["maya", "outer", "inner"]),
        ]


class TestModelsAroundModels:
    @pytest.mark.parametrize("way", ["run", "run_stream"])
    def test_fallback(self, log: CapturedAudit, way: str) -> None:
        """Of models that fall back, each one that is asked has its own entries, and the chain has none."""
        first = CountingModel("first", ModelAPIError("first", "down"))
        model = FallbackModel(first, CountingModel("second"))
        if way == "run_stream":
            model = FallbackModel(WrapperModel(CountingModel("second")))
        WAYS_TO_RUN[way](Agent(model, name="writer"))
        second = [("model.call", "second", "intent", "unknown"), ("model.call", "second", "outcome", "success")]
        tried = [("model.call", "first", "intent", "unknown"), ("model.call", "first", "outcome", "failure")]
        assert told(log, "model") == (second if way == "run_stream" else tried + second)

    def test_that_calls_its_parent(self, log: CapturedAudit) -> None:
        """A model that has its parent class ask the same makes one call."""

        class Careful(CountingModel):
            """Asks its parent."""

            async def request(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
                """Ask."""
                return await super().request(messages, *args, **kwargs)

        model_request_sync(Careful(), ASK)
        assert told(log) == CALL

    def test_classes_made_later(self, log: CapturedAudit) -> None:
        """A model class that is made while models are audited is audited, and no more when they are not."""

        class Later(CountingModel):
            """Answers by itself."""

            async def request(self, messages: Any, model_settings: Any, model_request_parameters: Any) -> Any:
                """Answer."""
                return answer("later")

        model_request_sync(Later("later"), ASK)
        assert told(log)[-1] == ("model.call", "later", "outcome", "success")


class TestEmbedder:
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_attributes(self, log: CapturedAudit, wrapped: bool) -> None:
        """An embedder's call is a model call of its own kind, with token counts and without the text."""
        model: Any = FakeEmbeddingModel("small")
        Embedder(WrapperEmbeddingModel(model) if wrapped else model).embed_query_sync("canary-9f3b")
        assert told(log) == [
            ("model.call", "small", "intent", "unknown"),
            ("model.call", "small", "outcome", "success"),
        ]
        end = log.entries[-1].attributes
        assert end["gen_ai.operation.name"] == "embeddings"
        assert end["gen_ai.provider.name"] == "test"
        assert isinstance(end["gen_ai.usage.input_tokens"], int)
        assert b"canary" not in b"".join(entry.raw for entry in log.entries)


class TestClasses:
    def test_base_is_left_alone(self) -> None:
        """The base class keeps its own methods, by which the framework knows models that cannot stream."""
        assert type(vars(Model)["request_stream"]).__name__ == "function"

    def test_that_cannot_stream(self, log: CapturedAudit) -> None:
        """A model that cannot stream still says so by the framework's own error."""

        class Plain(CountingModel):
            """Has no stream."""

            request_stream = Model.request_stream

        with pytest.raises(NotImplementedError, match="not supported"):
            WAYS_TO_RUN["run_stream"](Agent(Plain(), name="writer"))

    async def test_wrong_arguments(self, log: CapturedAudit) -> None:
        """Wrong arguments raise the framework's own error."""
        model: Any = scripted("done")
        with pytest.raises(TypeError, match="missing 3 required"):
            await model.request()
        with pytest.raises(TypeError, match="missing 3 required"):
            async with model.request_stream():
                pass
