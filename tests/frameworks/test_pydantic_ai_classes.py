"""Pydantic AI: which classes of models are audited, and which of their methods make one call."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, Embedder
from pydantic_ai.direct import model_request, model_request_stream, model_request_sync
from pydantic_ai.embeddings import EmbeddingModel, EmbeddingResult
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.wrapper import WrapperModel

from otel_audit import AuditInstrumentor
from otel_audit.testing import CapturedAudit
from tests.frameworks.pydantic_ai_fakes import (
    WAYS_TO_RUN,
    CountingModel,
    CountingStream,
    answer,
    instrumented,
    loop_of_its_own,  # noqa: F401 - a fixture
    told,
)

ASK = [ModelRequest.user_text_prompt("what?")]
WAYS = pytest.mark.parametrize("way", ["run_sync", "run_stream"])


class Asking:
    """What asks, in no model class."""

    model_name = "mixed"
    system = "fake"

    async def request(self, messages: Any, model_settings: Any, model_request_parameters: Any) -> Any:
        """Answer."""
        return answer("mixed")

    @asynccontextmanager
    async def request_stream(
        self, messages: Any, model_settings: Any, model_request_parameters: Any, run_context: Any = None
    ) -> AsyncIterator[Any]:
        """Answer bit by bit."""
        yield CountingStream(model_request_parameters, "mixed", None)


class Quiet:
    """Keeps the making of its subclasses to itself."""

    def __init_subclass__(cls) -> None:
        pass


def made_quietly(*, mixed: bool) -> Any:
    """Return a class of models that was made without the framework's knowing, by a mixin or by its parent."""

    class Parent(Model):  # type: ignore[misc]
        """Tells nobody."""

        def __init_subclass__(cls) -> None:
            pass

    class Made(*((Quiet, Model) if mixed else (Parent,))):  # type: ignore[misc]
        """Answers by itself."""

        model_name = "quiet"
        system = "fake"

        async def request(self, messages: Any, model_settings: Any, model_request_parameters: Any) -> Any:
            """Answer."""
            return answer("quiet")

        @asynccontextmanager
        async def request_stream(
            self, messages: Any, model_settings: Any, model_request_parameters: Any, run_context: Any = None
        ) -> AsyncIterator[Any]:
            """Answer bit by bit."""
            yield CountingStream(model_request_parameters, "quiet", None)

    return Made


def call(name: str, outcome: str = "success") -> list[tuple[Any, ...]]:
    """Return what a call of a model leaves."""
    return [("model.call", name, "intent", "unknown"), ("model.call", name, "outcome", outcome)]


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Every test runs with Pydantic AI audited, by default settings."""
    with instrumented():
        yield


class TestClasses:
    @WAYS
    def test_mixin(self, log: CapturedAudit, way: str) -> None:
        """A model that is asked by a method of a mixin is audited, and the mixin is put back."""

        class Mixin(Asking):
            """Made anew for this test."""

            request = Asking.request
            request_stream = Asking.request_stream

        before = dict(vars(Mixin))

        class Mixed(Mixin, Model):  # type: ignore[misc]
            """Has nothing of its own."""

        WAYS_TO_RUN[way](Agent(Mixed(), name="writer"))
        assert told(log, "model") == call("mixed")
        AuditInstrumentor().uninstrument()
        assert all(vars(Mixin)[name] is before[name] for name in ("request", "request_stream"))

    @WAYS
    def test_mixin_from_before(self, log: CapturedAudit, way: str) -> None:
        """So is one whose class was there before auditing began."""
        AuditInstrumentor().uninstrument()

        class Mixed(Asking, Model):  # type: ignore[misc]
            """Has nothing of its own."""

        with instrumented():
            WAYS_TO_RUN[way](Agent(Mixed(), name="writer"))
        assert told(log, "model") == call("mixed")

    async def test_mixin_of_something_else(self, log: CapturedAudit) -> None:
        """A mixin's method is not audited where it is no model's."""

        class Mixed(Asking, Model):  # type: ignore[misc]
            """Has nothing of its own."""

        other: Any = Asking()
        assert (await other.request(ASK, None, None)).model_name == "mixed-2026"
        assert told(log) == []

    @pytest.mark.parametrize("mixed", [False, True])
    @WAYS
    def test_made_quietly(self, log: CapturedAudit, way: str, mixed: bool) -> None:
        """A model whose parent does not tell the framework of its making is audited once an agent runs."""
        agent = Agent(made_quietly(mixed=mixed)(), name="writer", defer_model_check=True)
        WAYS_TO_RUN[way](agent)
        assert told(log, "model") == call("quiet")

    @pytest.mark.parametrize("mixed", [False, True])
    def test_made_quietly_asked_directly(self, log: CapturedAudit, mixed: bool) -> None:
        """So is one that is asked without an agent."""
        model_request_sync(made_quietly(mixed=mixed)(), ASK)
        assert told(log) == call("quiet")

    def test_method_replaced_later(self, log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
        """A method that the program replaces in a class is audited at the next run."""

        class Made(CountingModel):
            """Its method is replaced."""

            async def request(self, messages: Any, model_settings: Any, model_request_parameters: Any) -> Any:
                """Answer."""
                return answer("first")

        async def request(self: Any, messages: Any, model_settings: Any, model_request_parameters: Any) -> Any:
            return answer("second")

        monkeypatch.setattr(Made, "request", request)
        model_request_sync(Made(), ASK)
        assert told(log) == call("counting")
        assert log.entries[-1].attributes["gen_ai.response.model"] == "second-2026"

    @WAYS
    def test_method_wrapped_silently_later(self, log: CapturedAudit, way: str) -> None:
        """A wrapper of the program's that does not tell what it is around makes no second call of one."""

        class Made(CountingModel):
            """Its methods are wrapped."""

            async def request(self, *args: Any, **kwargs: Any) -> Any:
                """Answer."""
                return await super().request(*args, **kwargs)

            @asynccontextmanager
            async def request_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                """Answer bit by bit."""
                async with super().request_stream(*args, **kwargs) as response:
                    yield response

        for name in ("request", "request_stream"):
            ours = getattr(Made, name)
            setattr(Made, name, lambda *args, _ours=ours, **kwargs: _ours(*args, **kwargs))
        WAYS_TO_RUN[way](Agent(Made()))
        assert told(log, "model") == call("counting")

    def test_made_while_another_process_is_started(self) -> None:
        """A child that is forked while a class is looked at can make classes, and have them audited."""
        held, go_on = threading.Event(), threading.Event()

        class Slow:
            """A method that takes time to look at."""

            def __call__(self) -> None:
                """Do nothing."""

            def __getattr__(self, name: str) -> Any:
                if name == "__wrapped__":
                    held.set()
                    go_on.wait()
                raise AttributeError(name)

        def make() -> Any:
            return type("Made", (CountingModel,), {"request": Slow()})

        thread = threading.Thread(target=make)
        thread.start()
        held.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of a fork beside threads
            child = os.fork()
        if child == 0:
            signal.alarm(20)
            go_on.set()
            make()
            os._exit(0)
        go_on.set()
        thread.join()
        assert os.waitpid(child, 0)[1] == 0

    def test_embedder_made_quietly(self, log: CapturedAudit) -> None:
        """An embedding model whose parent does not tell of its making is audited too."""

        class Made(Quiet, EmbeddingModel):  # type: ignore[misc]
            """Made without the framework's knowing."""

            model_name = "small"
            system = "fake"

            async def embed(self, inputs: Any, *, input_type: Any, settings: Any = None) -> Any:
                """Answer."""
                return EmbeddingResult(
                    [[0.5]], inputs=[inputs], input_type=input_type, model_name="small", provider_name="fake"
                )

        Embedder(Made()).embed_query_sync("what?")
        assert told(log)[0] == call("small")[0]
        assert len(log.entries) == 2


class TestWhichCallsAreOne:
    @WAYS
    def test_model_that_asks_others(self, log: CapturedAudit, way: str) -> None:
        """Models that are asked the same by a model of the program's own have entries each, and so has that one."""

        class Ensemble(CountingModel):
            """Asks three."""

            async def request(self, messages: Any, *args: Any) -> Any:
                """Ask."""
                answers = [await CountingModel(name).request(messages, *args) for name in ("a", "b", "c")]
                return answers[0]

            @asynccontextmanager
            async def request_stream(self, messages: Any, *args: Any) -> AsyncIterator[Any]:
                """Ask."""
                for name in ("a", "b"):
                    async with CountingModel(name).request_stream(messages, *args) as stream:
                        async for _ in stream:
                            pass
                async with CountingModel("c").request_stream(messages, *args) as stream:
                    yield stream

        WAYS_TO_RUN[way](Agent(Ensemble("ensemble"), name="writer"))
        outer = call("ensemble")
        inner = told(log, "model")[1:-1] if way == "run_sync" else told(log, "model")[1:]
        assert told(log, "model")[0] == outer[0]
        assert [entry for entry in inner if entry not in outer] == call("a") + call("b") + call("c")
        assert len(log.entries) == 2 + 8

    async def test_asked_at_once(self, log: CapturedAudit) -> None:
        """Neither are siblings one that are asked in tasks of their own."""

        async def ask(messages: Any, info: Any) -> Any:
            models = [CountingModel(name) for name in ("a", "b")]
            parameters = info.model_request_parameters
            return (await asyncio.gather(*(model.request(messages, None, parameters) for model in models)))[0]

        await model_request(FunctionModel(ask, model_name="outer"), ASK)
        names = sorted(name for _, name, phase, _ in told(log) if phase == "outcome")
        assert names == ["a", "b", "outer"]

    def test_wrapper_that_answers_itself(self, log: CapturedAudit) -> None:
        """A wrapper of the program's own that does not ask the model in it has entries."""

        class Own(WrapperModel):  # type: ignore[misc]
            """Answers by itself."""

            async def request(self, messages: Any, *args: Any) -> Any:
                """Answer."""
                return answer("own")

        model_request_sync(Own(CountingModel()), ASK)
        assert told(log) == call("counting")
        assert log.entries[-1].attributes["gen_ai.response.model"] == "own-2026"

    def test_wrapper_without_a_method(self, log: CapturedAudit) -> None:
        """A wrapper that has no method of its own for asking has no entries beside those of the model in it."""

        class Own(WrapperModel):  # type: ignore[misc]
            """Has another attribute."""

        model_request_sync(Own(CountingModel()), ASK)
        assert told(log) == call("counting")

    def test_second_try_of_the_parent(self, log: CapturedAudit) -> None:
        """A model that has its parent class ask a second time makes two calls."""
        failures = [ModelAPIError("counting", "down")]

        class Parent(CountingModel):
            """Fails once."""

            async def request(self, messages: Any, *args: Any) -> Any:
                """Answer."""
                if failures:
                    raise failures.pop()
                return answer("counting")

        class Careful(Parent):
            """Tries twice."""

            async def request(self, messages: Any, *args: Any) -> Any:
                """Ask."""
                try:
                    return await super().request(messages, *args)
                except ModelAPIError:
                    return await super().request(messages, *args)

        model_request_sync(Careful(), ASK)
        first, second = call("counting")
        assert told(log) == [first, first, second, second]

    async def test_stream_of_the_parent(self, log: CapturedAudit) -> None:
        """A model that has its parent class stream the same makes one call, through however many classes."""

        class Careful(CountingModel):
            """Asks its parent."""

            @asynccontextmanager
            async def request_stream(self, messages: Any, *args: Any) -> AsyncIterator[Any]:
                """Ask."""
                async with super().request_stream(messages, *args) as stream:
                    yield stream

        class More(Careful):
            """Asks its parent."""

            @asynccontextmanager
            async def request_stream(self, messages: Any, *args: Any) -> AsyncIterator[Any]:
                """Ask."""
                async with super().request_stream(messages, *args) as stream:
                    yield stream

        async with model_request_stream(More(), ASK) as stream:
            async for _ in stream:
                pass
        assert told(log) == call("counting")


class TestClosedElsewhere:
    def test_model_call(
        self, log: CapturedAudit, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A call that is closed in another context than it was begun in ends without a word, as a failure."""
        began = asyncio.Event()

        class Waiting(Asking):
            """Never answers."""

            async def request(self, messages: Any, *args: Any) -> Any:
                """Wait."""
                began.set()
                await asyncio.Event().wait()

        class Mixed(Waiting, Model):  # type: ignore[misc]
            """Has nothing of its own."""

        loop = asyncio.new_event_loop()
        asking = Mixed().request(ASK, None, ModelRequestParameters())
        task = loop.create_task(asking)
        loop.run_until_complete(began.wait())
        with caplog.at_level(logging.WARNING):
            asking.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        assert told(log) == call("mixed", "failure")
        assert len(spans.get_finished_spans()) == 1
        assert caplog.records == []
