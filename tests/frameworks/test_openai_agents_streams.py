"""openai-agents: who ends a stream or a run otherwise than by reading it to its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.run_internal import run_loop

from otel_audit.pipeline.context import current_actors
from otel_audit.testing import CapturedAudit
from tests.frameworks.openai_agents_script import Script, audited, call, of, run_streamed, say, told


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit openai-agents in every test."""
    with audited():
        yield


class Counting(Script):
    """Streams numbers without end; one that is thrown in is taken as the number to go on from."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    async def stream_response(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
        number = 0
        try:
            while True:
                try:
                    yield number
                except LookupError as error:
                    (number,) = error.args
                    self.record("recovered")
                number += 1
        finally:
            self.record("closed")

    def record(self, event: str) -> None:
        """Note what happens, and who acts meanwhile."""
        actors = current_actors()
        self.seen.append(f"{event} {actors[-1].id if actors else None}")


class TestModelStream:
    def open(self, seen: list[str]) -> Any:
        """Return the stream of a model as a run gets it."""
        return run_loop.get_model(Agent(name="a", model=Counting(seen)), RunConfig()).stream_response()

    def test_closed(self, log: CapturedAudit) -> None:
        """The model's generator is closed, in the agent's name, when the stream is."""
        seen: list[str] = []

        async def main() -> None:
            stream = self.open(seen)
            assert await anext(stream) == 0
            await stream.aclose()
            seen.append("after")

        asyncio.run(main())
        assert seen == ["closed a", "after"]
        assert told(log) == ["model gpt-test intent", "model gpt-test unknown"]

    def test_thrown_into(self, log: CapturedAudit) -> None:
        """What is thrown into the stream reaches the model's generator, which can go on or end by it."""
        seen: list[str] = []

        async def main() -> None:
            stream = self.open(seen)
            assert await anext(stream) == 0
            assert await stream.athrow(LookupError(7)) == 8
            assert await anext(stream) == 9
            with pytest.raises(ValueError, match="secret"):
                await stream.athrow(ValueError("secret"))
            seen.append("after")

        asyncio.run(main())
        assert seen == ["recovered a", "closed a", "after"]
        assert told(log) == ["model gpt-test intent", "model gpt-test failure"]
        assert of(log, "model", "failure")[0]["error.type"] == "ValueError"

    def test_left_at_the_end_of_the_loop(self, log: CapturedAudit, caplog: pytest.LogCaptureFixture) -> None:
        """A stream that is left open is closed by the event loop, without an error of its own."""
        seen: list[str] = []
        kept: list[Any] = []

        async def main() -> None:
            kept.append(self.open(seen))
            await anext(kept[0])

        asyncio.run(main())
        assert seen == ["closed a"]
        assert told(log) == ["model gpt-test intent", "model gpt-test unknown"]
        assert not caplog.records

    @pytest.mark.parametrize("close", ["aclose", "close", None])
    def test_of_an_iterator(self, log: CapturedAudit, close: str | None) -> None:
        """A model's stream that is no generator is read to its end and closed, as the framework would."""
        seen: list[str] = []

        async def closing() -> None:
            seen.append("closed")
            raise OSError

        class Stream:
            def __init__(self, inner: AsyncIterator[Any]) -> None:
                self.inner = inner
                if close is not None:
                    setattr(self, close, closing)

            def __aiter__(self) -> Stream:
                return self

            async def __anext__(self) -> Any:
                return await anext(self.inner)

        class Iterating(Script):
            def stream_response(self, *args: Any, **kwargs: Any) -> Any:
                return Stream(super().stream_response(*args, **kwargs))

        assert run_streamed(Agent(name="a", model=Iterating([say("3")]))) == "3"
        assert seen == ([] if close is None else ["closed"])
        assert told(log, "model") == ["model gpt-test intent", "model gpt-test success"]

    def test_odd_event(self, log: CapturedAudit) -> None:
        """An event that cannot be asked what it is goes to whoever reads the stream."""

        class Odd:
            def __getattr__(self, name: str) -> Any:
                raise RuntimeError(name)

        class Model(Script):
            async def stream_response(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
                yield Odd()

        async def main() -> list[Any]:
            model = run_loop.get_model(Agent(name="a", model=Model()), RunConfig())
            return [event async for event in model.stream_response()]

        assert [type(event) for event in asyncio.run(main())] == [Odd]
        assert told(log) == ["model gpt-test intent", "model gpt-test success"]


def test_run_that_nobody_reads(log: CapturedAudit) -> None:
    """A streamed run that fails unread is a failure, and asyncio tells of its exception as without auditing."""
    messages: list[tuple[str, type]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: messages.append((context["message"], type(context["exception"])))
        )
        result = Runner.run_streamed(Agent(name="a", model=Script(ValueError("secret text"))), "go")
        await asyncio.wait([result.run_loop_task])
        await asyncio.sleep(0)  # the callbacks of the task
        del result
        gc.collect()

    asyncio.run(main())
    assert messages == [("Task exception was never retrieved", ValueError)]
    assert told(log, "agent") == ["agent a intent", "agent a failure"]
    assert of(log, "agent", "failure")[0]["error.type"] == "ValueError"


def hangs_in_its_model(hang: Callable[[], Any]) -> Agent[Any]:
    """Return an agent whose first model call never ends."""
    return Agent(name="a", model=Script(hang))


def hangs_in_its_tool(hang: Callable[[], Any]) -> Agent[Any]:
    """Return an agent whose first tool call never ends."""
    return Agent(name="a", model=Script([call("hang", "call_1")]), tools=[function_tool(hang)])


@pytest.mark.parametrize("agent", [hangs_in_its_model, hangs_in_its_tool])
def test_closed_in_another_context(log: CapturedAudit, agent: Callable[..., Agent[Any]]) -> None:
    """A run whose loop is stopped, and whose coroutines are closed later, ends without an error of ours."""
    loop = asyncio.new_event_loop()
    hanging = loop.create_future()

    async def hang() -> None:
        """Wait for ever."""
        loop.stop()
        await hanging

    # A provider of the program's own: another one the framework closes, and needs a loop for that.
    config = RunConfig(model_provider=run_loop.RunConfig().model_provider)
    run = loop.create_task(Runner.run(agent(hang), "go", run_config=config))
    loop.run_forever()
    errors = []
    tasks: list[Any] = [run, *asyncio.all_tasks(loop)]
    for task in tasks:
        task._log_destroy_pending = False
        try:
            task.get_coro().close()
        except BaseException as error:
            errors.append(repr(error))
    loop.close()
    assert [error for error in errors if "otel-audit" in error] == []  # the framework has some of its own
    assert told(log, "agent") == ["agent a intent", "agent a failure"]
