"""Haystack: what is recorded of agents, tools, chat generators and confirmations; and the way back."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import wrapt
from haystack import component
from haystack.components.agents import Agent
from haystack.components.agents.state import State
from haystack.components.generators.chat import FallbackChatGenerator
from haystack.components.generators.chat.llm import LLM
from haystack.core.component.component import ComponentMeta
from haystack.dataclasses import ChatMessage
from haystack.hooks.human_in_the_loop import (
    AlwaysAskPolicy,
    BlockingConfirmationStrategy,
    ConfirmationHook,
    ConfirmationUIResult,
)
from haystack.tools import AgentTool, Tool, create_tool_from_function
from haystack.tools.errors import ToolInvocationError

from otel_audit import AuditInstrumentor, acting_as
from otel_audit.errors import AuditConfigError, AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.frameworks.haystack_parts import (
    CANARY,
    ScriptedModel,
    agent,
    call_of,
    in_pipeline,
    instrumented,
    messages,
    task_of,
)
from tests.frameworks.recorded import check_example, delegation, first, lines, of

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_haystack.py"
FULL = OSError(errno.ENOSPC, "no space")


def add(a: Annotated[int, "The one."], b: Annotated[int, "The other."]) -> int:
    """Add two numbers."""
    return a + b


ADD = call_of("add", a=1, b=2)
MODEL = ["model intent scripted-1", "model success scripted-1"]


@pytest.fixture
def auditing() -> Iterator[None]:
    """Audit Haystack."""
    with instrumented():
        yield


@pytest.fixture(params=["run", "run_async"])
def play(request: pytest.FixtureRequest, auditing: None) -> Any:
    """Return what runs an agent, blocking or as a coroutine, and returns its text."""

    def run(made: Any, text: str = "go") -> str:
        result = getattr(made, request.param)(messages=messages(text))
        result = asyncio.run(result) if request.param == "run_async" else result
        return str(result["last_message"].text)

    return run


class TestAttributes:
    def test_what_is_told(self, log: CapturedAudit, play: Any) -> None:
        """Agent, tool and model say their names and ids, and the model its tokens."""
        assert play(agent([ADD, "3"], [add])) == "3"
        tool = of(log, "tool intent add").attributes
        assert (tool["gen_ai.tool.call.id"], tool["gen_ai.agent.name"]) == ("call-1", "Agent")
        model = log.entries[2].attributes
        assert (model["gen_ai.usage.input_tokens"], model["gen_ai.usage.output_tokens"]) == (7, 3)
        assert model["gen_ai.response.finish_reasons"] == ["tool_calls"]
        assert model["gen_ai.response.model"] == "scripted-1-2026"
        assert model["gen_ai.provider.name"] == "ScriptedModel"

    def test_several(self, log: CapturedAudit, play: Any) -> None:
        """Of several calls in one answer each has its own id."""
        calls = [("add", f"id-{number}", {"a": number, "b": 0}) for number in range(3)]
        play(agent([calls, "done"], [add]))
        told = [entry.attributes for entry in log.entries if entry.event_name == "gen_ai.tool.execute"]
        assert sorted(str(said["gen_ai.tool.call.id"]) for said in told) == [f"id-{n // 2}" for n in range(6)]

    def test_no_content(self, log: CapturedAudit, play: Any) -> None:
        """Nothing of messages, arguments, results and errors is in the log."""

        def fail(text: Annotated[str, "What."]) -> str:
            """Fail."""
            raise KeyError(text)

        made = agent([call_of("fail", text=CANARY), CANARY], [fail], raise_on_tool_invocation_failure=False)
        assert play(made, CANARY) == CANARY
        assert of(log, "tool failure fail").attributes["error.type"] == "KeyError"
        assert CANARY not in Path(log.path).read_text(encoding="utf-8")

    def test_captured(self, log: CapturedAudit) -> None:
        """Arguments are those that the model gave, not what the framework adds of its state."""

        def keep(text: Annotated[str, "What."], state: State) -> str:
            """Keep."""
            return text

        with instrumented(capture="*", capture_result=True):
            agent([call_of("keep", text="x"), "done"], [keep]).run(messages=messages())
            create_tool_from_function(add).invoke(a=1, b=2)
        assert of(log, "tool intent keep").attributes["audit.arguments"] == {"text": "x"}
        assert of(log, "tool success keep").attributes["audit.result"] == "x"
        assert of(log, "tool intent add").attributes["audit.arguments"] == {"a": 1, "b": 2}

    def test_max_steps(self, log: CapturedAudit, play: Any) -> None:
        """A run that is out of steps is a failure, though it has a result."""
        play(agent([ADD], [add], max_agent_steps=1))
        assert of(log, "agent failure Agent").attributes["error.type"] == "max_agent_steps"


class TestOtherAgents:
    def test_chain(self, log: CapturedAudit, play: Any) -> None:
        """An agent that is a tool goes by the tool's name, and acts on behalf of the agent that calls it."""
        inner = AgentTool(agent=agent([ADD, "3"], [add]), name="helper", description="Helps.")
        outer = agent([task_of("helper", "call-7"), "done"], [inner])
        in_pipeline("boss", outer)
        with acting_as("maya", type="user"):
            play(outer)
        assert delegation(of(log, "agent intent boss")) == ["maya"]
        assert of(log, "tool intent helper").attributes["gen_ai.tool.call.id"] == "call-7"
        assert delegation(of(log, "agent intent helper")) == ["maya", "boss"]
        assert delegation(of(log, "tool intent add")) == ["maya", "boss", "helper"]
        assert of(log, "tool intent add").attributes["gen_ai.tool.call.id"] == "call-1"
        assert len(lines(log, "agent")) == 4

    def test_called_in_a_tool(self, log: CapturedAudit, play: Any) -> None:
        """A tool that another tool calls has not the id of what the model asked for."""
        inner = create_tool_from_function(add)

        def twice(a: Annotated[int, "What."]) -> int:
            """Double."""
            return inner.invoke(a=a, b=a)  # type: ignore[no-any-return]

        play(agent([call_of("twice", a=2), "4"], [twice]))
        assert "gen_ai.tool.call.id" not in of(log, "tool intent add").attributes

    def test_llm(self, log: CapturedAudit, auditing: None) -> None:
        """An agent's subclass that has its parent run is one run."""
        LLM(chat_generator=ScriptedModel(["done"])).run(messages=messages())
        assert lines(log) == ["agent intent LLM", *MODEL, "agent success LLM"]

    def test_side_by_side(self, log: CapturedAudit, auditing: None) -> None:
        """Runs in threads at the same time keep their agents apart."""
        both = threading.Barrier(2)

        def run(name: str) -> None:
            def wait() -> Any:
                both.wait(9)
                return call_of("add", name, a=1, b=2)

            made = agent([wait, "3"], [add])
            in_pipeline(name, made)
            with acting_as(f"user of {name}"):
                made.run(messages=messages())

        threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        tools = [entry for entry in log.entries if entry.event_name == "gen_ai.tool.execute"]
        assert len(tools) == 4
        for entry in tools:
            name = entry.attributes["gen_ai.tool.call.id"]
            assert delegation(entry) == [f"user of {name}", name]


class TestRefused:
    def test_told_as_text(self, log: CapturedAudit, play: Any) -> None:
        """Where the framework would tell the model of an error inside of an agent that is a tool, ours is raised."""
        ran: list[int] = []

        def act() -> str:
            """Do it."""
            ran.append(1)
            return "acted"

        inside = agent([first(lambda: log.fail(FULL, times=2), call_of("act")), "told"], [act])
        inner = AgentTool(agent=inside, name="helper", description="Helps.")
        outer = agent([task_of("helper"), "told"], [inner], raise_on_tool_invocation_failure=False)
        with pytest.raises(AuditWriteError):
            play(outer)
        assert ran == []
        assert outer.chat_generator.script == ["told"]

    def test_own_error(self, log: CapturedAudit, play: Any) -> None:
        """An error of that class that a tool raises itself is the tool's, and is told as without auditing."""

        def act() -> str:
            """Do it."""
            raise AuditWriteError("of the program's own")

        made = agent([call_of("act"), "told"], [act], raise_on_tool_invocation_failure=False)
        assert play(made) == "told"
        assert "tool failure act" in lines(log)

    def test_model(self, log: CapturedAudit, play: Any) -> None:
        """A model whose call cannot be written is not asked."""

        @component
        class Prompt:
            @component.output_types(text=str)
            def run(self) -> dict[str, str]:
                log.fail(FULL, times=99)
                return {"text": ""}

        prompt = create_tool_from_function(lambda: Prompt().run()["text"], name="prompt", description="Ask.")
        made = agent([call_of("prompt"), "never"], [prompt])
        with pytest.raises(AuditWriteError):
            play(made)
        assert made.chat_generator.script == ["never"]


def test_tool_that_runs_twice(log: CapturedAudit, auditing: None) -> None:
    """A tool of a class that has its parent's run a second time has an intent each time, or does not run."""

    class Again(Tool):  # type: ignore[misc]
        def invoke(self, **given: Any) -> Any:
            super().invoke(**given)
            log.fail(FULL, times=9)
            return super().invoke(**given)

    ran: list[int] = []

    def keep(a: int) -> None:
        ran.append(a)

    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}}
    tool = Again(name="keep", description="Keep.", parameters=parameters, function=keep)
    with pytest.raises(AuditWriteError):
        tool.invoke(a=1)
    assert ran == [1]


def tool_of(function: Any, *, kind: Any = Tool, **kwargs: Any) -> Any:
    """Return a tool that takes a text."""
    parameters = {"type": "object", "properties": {"text": {"type": "string"}}}
    return kind(name="act", description="Act.", parameters=parameters, function=function, **kwargs)


def same(text: str) -> str:
    """Return what is given."""
    return text


class TestCalledAnew:
    @pytest.mark.parametrize("full", [False, True])
    @pytest.mark.parametrize("outermost", ["invoke", "invoke_async"])
    def test_by_its_function(self, log: CapturedAudit, auditing: None, outermost: str, full: bool) -> None:
        """A tool whose function calls it by its other method is two acts, and on a full disk that call is not made."""
        ran: list[str] = []

        def begin(text: str) -> bool:
            if text == "outer":
                log.fail(FULL, times=9 if full else 0)
                return True
            ran.append(text)
            return False

        def act(text: str) -> str:
            return str(asyncio.run(made.invoke_async(text="inner"))) if begin(text) else text

        async def aact(text: str) -> str:
            return str(made.invoke(text="inner")) if begin(text) else text

        made = tool_of(act, async_function=aact)
        call = made.invoke if outermost == "invoke" else lambda text: asyncio.run(made.invoke_async(text=text))
        if full:
            with pytest.raises(AuditWriteError):
                call(text="outer")
            assert ran == []
        else:
            assert call(text="outer") == "inner"
            assert lines(log) == ["tool intent act"] * 2 + ["tool success act"] * 2

    def test_without_coroutine(self, log: CapturedAudit, auditing: None) -> None:
        """A tool without a coroutine that is awaited is one act, whose function runs in a thread."""
        assert asyncio.run(tool_of(same).invoke_async(text="a")) == "a"
        assert lines(log) == ["tool intent act", "tool success act"]

    def test_after_its_end(self, log: CapturedAudit, auditing: None) -> None:
        """A task that a tool begins calls the tool by another method once its call is over: an act of its own."""
        tasks: list[asyncio.Task[Any]] = []

        async def play() -> None:
            ended = asyncio.Event()

            class Own(Tool):  # type: ignore[misc]  # not installed where the types are checked
                async def invoke_async(self, **given: Any) -> None:
                    async def later() -> Any:
                        await ended.wait()
                        return self.invoke(**given)

                    tasks.append(asyncio.create_task(later()))

            await tool_of(same, kind=Own).invoke_async(text="a")
            ended.set()
            assert await tasks[0] == "a"

        asyncio.run(play())
        assert lines(log) == ["tool intent act", "tool success act"] * 2


def test_method_put_on_class(log: CapturedAudit, play: Any) -> None:
    """What is put on a tool's class after it was made is audited from the next run of an agent on, and put back."""

    class Decorated(Tool):  # type: ignore[misc]
        pass

    def invoke(self: Any, **given: Any) -> Any:
        return self.function(**given)

    async def invoke_async(self: Any, **given: Any) -> Any:
        return self.function(**given)

    Decorated.invoke = invoke
    Decorated.invoke_async = invoke_async
    assert play(agent([call_of("act", text="a"), "done"], [tool_of(same, kind=Decorated)])) == "done"
    assert lines(log, "tool") == ["tool intent act", "tool success act"]
    AuditInstrumentor().uninstrument()
    assert Decorated.invoke is invoke


def test_unreadable_name(log: CapturedAudit, auditing: None) -> None:
    """A tool whose name cannot be read runs as without auditing."""

    class Unreadable(Tool):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            if name == "name":
                raise RuntimeError(name)
            return super().__getattribute__(name)

    made = tool_of(same)
    made.__class__ = Unreadable
    assert made.invoke(text="a") == "a"
    assert [entry.attributes.get("audit.outcome") for entry in log.entries] == ["unknown", "success"]


class TestModels:
    def test_alone(self, log: CapturedAudit, auditing: None) -> None:
        """A chat generator in a pipeline without an agent is audited."""
        in_pipeline("llm", ScriptedModel(["done"])).run({"messages": messages()})
        assert lines(log) == MODEL

    def test_subclass(self, log: CapturedAudit, play: Any) -> None:
        """A model that has its parent class ask is one call."""

        class Child(ScriptedModel):
            def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
                return super().run(messages)  # type: ignore[no-any-return]

            async def run_async(self, messages: list[ChatMessage]) -> dict[str, Any]:
                return await super().run_async(messages)  # type: ignore[no-any-return]

        play(agent(["done"], model=Child))
        assert lines(log, "model") == MODEL

    def test_wrapped_by_others(self, log: CapturedAudit, play: Any) -> None:
        """A model whose method others wrap after us has one call all the same."""

        class Child(ScriptedModel):
            def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
                return super().run(messages)  # type: ignore[no-any-return]

            async def run_async(self, messages: list[ChatMessage]) -> dict[str, Any]:
                return await super().run_async(messages)  # type: ignore[no-any-return]

        made = agent(["one"], model=Child)
        for name in ("run", "run_async"):
            ours = vars(Child)[name]
            setattr(
                Child, name, wrapt.FunctionWrapper(ours, lambda wrapped, _self, args, kwargs: wrapped(*args, **kwargs))
            )
        play(made)
        assert lines(log, "model") == MODEL

    def test_wrapped_by_others_silently(self, log: CapturedAudit, play: Any) -> None:
        """Others' wrapper need not tell what it is around: one call all the same, of the outermost."""

        class Child(ScriptedModel):
            def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
                return super().run(messages)  # type: ignore[no-any-return]

            async def run_async(self, messages: list[ChatMessage]) -> dict[str, Any]:
                return await super().run_async(messages)  # type: ignore[no-any-return]

        play(agent(["one"], model=Child))
        log.clear()
        run, run_async = Child.run, Child.run_async

        def others_run(self: Any, messages: list[ChatMessage]) -> Any:
            return run(self, messages)

        async def others_run_async(self: Any, messages: list[ChatMessage]) -> Any:
            return await run_async(self, messages)

        Child.run, Child.run_async = others_run, others_run_async  # type: ignore[method-assign]
        play(agent(["two"], model=Child))
        assert lines(log, "model") == MODEL

    def test_no_component(self, log: CapturedAudit, play: Any) -> None:
        """What an agent uses as a chat generator is audited, whatever its class is."""

        class Plain:
            model = "plain-1"

            def run(self, messages: list[ChatMessage], **_kwargs: Any) -> dict[str, Any]:
                return {"replies": [ChatMessage.from_assistant("done")]}

        assert play(Agent(chat_generator=Plain())) == "done"
        assert lines(log, "model") == ["model intent plain-1", "model success plain-1"]

    def test_fallback(self, log: CapturedAudit, play: Any) -> None:
        """Of a chat generator that asks others each of those has an entry, and itself none."""
        others = [ScriptedModel([ValueError("no")]), ScriptedModel(["done"])]
        assert play(Agent(chat_generator=FallbackChatGenerator(others))) == "done"
        assert lines(log, "model") == [MODEL[0], "model failure scripted-1", *MODEL]

    def test_no_model(self, log: CapturedAudit, auditing: None) -> None:
        """A component that gives replies and takes no messages is none."""

        @component
        class Echo:
            @component.output_types(replies=list[str])
            def run(self, text: str) -> dict[str, Any]:
                return {"replies": [text]}

        assert in_pipeline("echo", Echo()).run({"text": "x"}) == {"echo": {"replies": ["x"]}}
        assert log.entries == ()


class _Person:
    """Answers confirmations."""

    def __init__(self, action: str) -> None:
        self.action = action

    def get_user_confirmation(self, tool_name: str, tool_description: str, tool_params: Any) -> ConfirmationUIResult:
        return ConfirmationUIResult(action=self.action)


class TestConfirmation:
    @pytest.mark.parametrize("action", ["confirm", "reject"])
    def test_decision(self, log: CapturedAudit, play: Any, action: str) -> None:
        """What a person decides is recorded, by whoever started all this, before the tool runs or does not."""
        strategy = BlockingConfirmationStrategy(confirmation_policy=AlwaysAskPolicy(), confirmation_ui=_Person(action))
        made = agent([ADD, "done"], [add], hooks={"before_tool": [ConfirmationHook({"add": strategy})]})
        with acting_as("maya", type="user"):
            play(made)
        entry = of(log, f"approval {'allow' if action == 'confirm' else 'block'} add")
        assert delegation(entry) == ["maya"]
        assert entry.attributes["gen_ai.tool.call.id"] == "call-1"
        assert entry.attributes["gen_ai.agent.name"] == "Agent"
        assert lines(log, "tool") == (["tool intent add", "tool success add"] if action == "confirm" else [])

    def test_without_strategy(self, log: CapturedAudit, play: Any) -> None:
        """A tool that nobody is asked about has no approval."""
        strategy = BlockingConfirmationStrategy(confirmation_policy=AlwaysAskPolicy(), confirmation_ui=_Person("x"))
        play(agent([ADD, "done"], [add], hooks={"before_tool": [ConfirmationHook({("other",): strategy})]}))
        assert lines(log, "approval") == []
        assert "tool success add" in lines(log)

    def test_unwritten(self, log: CapturedAudit, play: Any) -> None:
        """A decision that cannot be written has no effect."""

        class Person(_Person):
            def get_user_confirmation(self, *args: Any) -> ConfirmationUIResult:
                log.fail(FULL, times=99)
                return super().get_user_confirmation(*args)

        strategy = BlockingConfirmationStrategy(
            confirmation_policy=AlwaysAskPolicy(), confirmation_ui=Person("confirm")
        )
        made = agent([ADD, "never"], [add], hooks={"before_tool": [ConfirmationHook({"*": strategy})]})
        with pytest.raises(AuditWriteError):
            play(made)
        assert made.chat_generator.script == ["never"]


class TestWayBack:
    def test_identical(self) -> None:
        """Uninstrumented, every class has the very objects that it had before."""

        def objects() -> dict[tuple[Any, str], object]:
            owners: list[Any] = [ComponentMeta]
            waiting: list[Any] = [Tool, Agent, ScriptedModel, *component.registry.values()]
            while waiting:
                owners.append(waiting.pop())
                waiting += type.__subclasses__(owners[-1])
            return {(owner, name): value for owner in owners for name, value in vars(owner).items()}

        before = objects()
        with instrumented():
            changed = {key for key, value in objects().items() if before.get(key) is not value}
        assert len(changed) > 8
        after = objects()
        assert [key for key in before if key not in after or after[key] is not before[key]] == []
        assert [key for key in after if key not in before] == []

    def test_passes_through(self, log: CapturedAudit) -> None:
        """What was made while instrumented passes every call through afterwards, and its errors are the framework's."""

        def fail() -> None:
            """Fail."""
            raise KeyError

        with instrumented():
            made = agent([ADD, "3"], [add])
            broken = create_tool_from_function(fail)
        assert made.run(messages=messages())["last_message"].text == "3"
        with pytest.raises(ToolInvocationError):
            broken.invoke()
        assert log.entries == ()

    def test_from_before(self, log: CapturedAudit) -> None:
        """Agents, tools and models that were made before are audited."""
        made = agent([ADD, "3"], [add])
        with instrumented():
            made.run(messages=messages())
        assert len(lines(log)) == 8

    @pytest.mark.parametrize(
        ("module", "name"),
        [
            ("haystack.components.agents.tool_calling", "_make_context_bound_invoke"),
            ("haystack.hooks.human_in_the_loop.strategies", "_run_confirmation_strategies_async"),
        ],
    )
    def test_target_has_moved(self, module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A function that this version lacks is an error that names it, and nothing stays wrapped."""
        invoke = vars(Tool)["invoke"]
        monkeypatch.delattr(f"{module}.{name}")
        with pytest.raises(AuditConfigError, match=name):
            AuditInstrumentor().instrument(frameworks=["haystack"])
        assert vars(Tool)["invoke"] is invoke


def test_example(tmp_path: Path) -> None:
    """The example runs as it stands, and its log has every kind of act that it shows."""
    check_example(
        EXAMPLE,
        tmp_path / "audit.jsonl",
        "gen_ai.tool.execute",
        "gen_ai.model.call",
        "gen_ai.agent.invoke",
        "gen_ai.tool.approve",
    )
