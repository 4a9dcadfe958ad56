"""crewai: crews, agents and delegation."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import AuditInstrumentor, AuditWriteError, acting_as, read_log, verify_log
from otel_audit.testing import CapturedAudit
from tests.frameworks.conformance.crewai import DRIVER
from tests.frameworks.conformance.driver import Call, Script, Turn
from tests.frameworks.conformance.told import asking, audited, chain, note, of_kind, pairs, short
from tests.frameworks.crewai_parts import BaseAgent, CheckpointConfig, ScriptedModel, agent, crewai

pytestmark = [pytest.mark.filterwarnings(text) for text in DRIVER.warnings]

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_crewai.py"


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit crewai in every test."""
    with audited(DRIVER):
        yield


def clerk(*turns: Turn, role: str = "clerk", tools: Any = (note,), **options: Any) -> Any:
    """Return an agent whose model says this."""
    return agent(role, Script(*turns), tools, **options)


def crew(*agents: Any, name: str = "desk", tasks: int = 1, **options: Any) -> Any:
    """Return a crew that has its agents do a task each."""
    made = [
        crewai.Task(description=f"Do {number}.", expected_output="It.", agent=worker, **options.pop("task", {}))
        for number, worker in enumerate(agents)
    ]
    return crewai.Crew(name=name, agents=list(agents), tasks=made, **options)


def disk_full(log: CapturedAudit, then: Any, appends: int = 2) -> Any:
    """Return a turn behind which the next appends fail: the model's outcome, and the intent of what it asks for."""

    def turn() -> Any:
        log.fail(OSError("disk full"), times=appends)
        return then

    return turn


def delegating(to: str) -> tuple[Call, ...]:
    """Return the turn that has a co-worker do the work."""
    return asking("delegate_work_to_coworker", "c0", task="it", context="none", coworker=to)


def hierarchy(log: CapturedAudit, *turns: Turn, manager: tuple[Turn, ...] | None = None) -> Any:
    """Return a crew whose manager delegates to one agent."""
    return crewai.Crew(
        name="desk",
        agents=[clerk(*turns, role="billing clerk")],
        tasks=[crewai.Task(description="Do it.", expected_output="It.")],
        manager_agent=clerk(*(manager or (delegating("Billing  Clerk"), "done")), role="triage", tools=()),
        process=crewai.Process.hierarchical,
    )


def crew_of_two() -> Any:
    """Return a crew of two agents, one after the other."""
    return crew(clerk(asking(), "one", role="first"), clerk(asking(), "two", role="second"))


TWO = [
    "agent intent desk",
    *("agent intent first", "model intent scripted-1", "model success scripted-1", "tool intent note"),
    *("tool success note", "model intent scripted-1", "model success scripted-1", "agent success first"),
    *("agent intent second", "model intent scripted-1", "model success scripted-1", "tool intent note"),
    *("tool success note", "model intent scripted-1", "model success scripted-1", "agent success second"),
    "agent success desk",
]


def kickoff(made: Any) -> str:
    return str(made.kickoff().raw)


def kickoff_async(made: Any) -> str:
    return str(asyncio.run(made.kickoff_async()).raw)


def akickoff(made: Any) -> str:
    return str(asyncio.run(made.akickoff()).raw)


def kickoff_for_each(made: Any) -> str:
    return str(made.kickoff_for_each([{}])[0].raw)


def stream(made: Any) -> str:
    made.stream = True
    answer = made.kickoff()
    list(answer)
    return str(answer.result.raw)


def astream(made: Any) -> str:
    made.stream = True

    async def main() -> Any:
        answer = await made.akickoff()
        async for _ in answer:
            pass
        return answer.result.raw

    return str(asyncio.run(main()))


WAYS = pytest.mark.parametrize("way", [kickoff, kickoff_async, akickoff, stream, astream])


class TestCrew:
    @WAYS
    def test_order(self, log: CapturedAudit, spans: InMemorySpanExporter, way: Any) -> None:
        """However a crew is run, each act has one pair, of one trace, by its agent, for the crew, for the caller."""
        with acting_as("ann", type="user"):
            assert way(crew_of_two()) == "two"
        assert [short(entry) for entry in log.entries if entry.event_name != "program.note"] == TWO
        assert len({entry.trace_id for entry in log.entries}) == 1
        assert {tuple(chain(entry)) for entry in of_kind(log.entries, "agent", "desk")} == {("ann",)}
        assert {tuple(chain(entry)) for entry in of_kind(log.entries, "agent", "second")} == {("ann", "desk")}
        noted = [chain(entry) for entry in log.entries if entry.event_name == "program.note"]
        assert noted == [["ann", "desk", "first"], ["ann", "desk", "second"]]

    def test_read_elsewhere(self, log: CapturedAudit) -> None:
        """A streamed crew runs for whoever asked for it, not for who reads the stream."""
        made = crew_of_two()
        made.stream = True
        with acting_as("ann", type="user"):
            answer = made.kickoff()
        with acting_as("bob", type="user"):
            list(answer)
        assert {chain(entry)[0] for entry in log.entries} == {"ann"}

    def test_closed_early(self, log: CapturedAudit) -> None:
        """Closing a crew's stream waits for the end of the run, which has its outcome."""
        made = crew_of_two()
        made.stream = True
        answer = made.kickoff()
        next(iter(answer), None)
        answer.close()
        pairs(entry for entry in log.entries if entry.event_name != "program.note")
        assert short(log.entries[-1]) == "agent success desk"

    def test_async_task(self, log: CapturedAudit) -> None:
        """A task in a thread of its own is done by its agent, too."""
        first, second = clerk(asking(), "one", role="first"), clerk(asking(), "two", role="second")
        tasks = [
            crewai.Task(description="Do.", expected_output="It.", agent=first, async_execution=True),
            crewai.Task(description="Do.", expected_output="It.", agent=second),
        ]
        with acting_as("ann", type="user"):
            crewai.Crew(name="desk", agents=[first, second], tasks=tasks).kickoff()
        noted = [chain(entry) for entry in log.entries if entry.event_name == "program.note"]
        assert sorted(noted) == [["ann", "desk", "first"], ["ann", "desk", "second"]]

    def test_unrecorded(self, log: CapturedAudit) -> None:
        """A crew whose intent cannot be written does not run."""
        worker = clerk("done")
        log.fail(OSError("disk full"))
        with pytest.raises(AuditWriteError):
            crew(worker).kickoff()
        assert worker.llm.script.asked == 0

    @WAYS
    def test_unrecorded_tool(self, log: CapturedAudit, way: Any) -> None:
        """A crew ends where a tool's intent cannot be written: the model is not told, and nothing is tried again."""
        worker = clerk(disk_full(log, asking()), "done")
        with pytest.raises(AuditWriteError):
            way(crew(worker))
        assert worker.llm.script.asked == 1
        assert "program.note" not in {entry.event_name for entry in log.entries}

    def test_unrecorded_model_call(self, log: CapturedAudit) -> None:
        """A task is not tried again where a model call cannot be recorded."""

        def fill(text: str) -> str:
            """Fill the disk: the tool's outcome is lost, and so is the intent of the next model call."""
            log.fail(OSError("disk full"), times=2)
            return text

        worker = clerk(asking("fill"), "done", tools=(fill,))
        with pytest.raises(AuditWriteError):
            crew(worker).kickoff()
        assert worker.llm.script.asked == 1

    def test_retry(self, log: CapturedAudit) -> None:
        """A task that is tried again after an error is one run, with a call of the model for each."""
        worker = clerk(ConnectionError("lost"), "done", tools=())
        assert kickoff(crew(worker)) == "done"
        assert [short(entry) for entry in of_kind(log.entries, "agent", "clerk")] == [
            "agent intent clerk",
            "agent success clerk",
        ]
        assert [short(entry) for entry in of_kind(log.entries, "model")][1::2] == [
            "model failure scripted-1",
            "model success scripted-1",
        ]

    @pytest.mark.parametrize("way", ["kickoff", "kickoff_async", "akickoff"])
    def test_from_a_checkpoint(self, log: CapturedAudit, tmp_path: Path, way: str) -> None:
        """A crew that goes on from a checkpoint is one run, of the crew that is restored."""

        class Own(crewai.Crew):  # type: ignore[misc]  # not installed where the types are checked
            @classmethod
            def from_checkpoint(cls, _config: Any) -> Any:
                return crew_of_two()

        config = CheckpointConfig(location=str(tmp_path), on_events=[], restore_from="x")
        first = clerk("done")
        made = Own(name="first", agents=[first], tasks=[crewai.Task(description="d", expected_output="e", agent=first)])
        for given, named in (((), {"from_checkpoint": config}), ((None, None, config), {})):
            log.clear()
            answer = getattr(made, way)(*given, **named)
            assert (answer if way == "kickoff" else asyncio.run(answer)).raw == "two"
            assert [short(entry) for entry in log.entries if entry.event_name != "program.note"] == TWO

    def test_timeout(self, log: CapturedAudit) -> None:
        """An agent with a time limit works in a thread, in its own name."""
        with acting_as("ann", type="user"):
            crew(clerk(asking(), "done", max_execution_time=60)).kickoff()
        (noted,) = [entry for entry in log.entries if entry.event_name == "program.note"]
        assert chain(noted) == ["ann", "desk", "clerk"]


class TestDelegation:
    @pytest.mark.parametrize("way", [kickoff, akickoff])
    def test_chain(self, log: CapturedAudit, way: Any) -> None:
        """Delegation is a handoff to the co-worker, who acts for the one that delegates."""
        with acting_as("ann", type="user"):
            assert way(hierarchy(log, asking(), "billed")) == "done"
        handed = [entry for entry in log.entries if entry.event_name == "gen_ai.agent.handoff"]
        assert [short(entry) for entry in handed] == [
            "gen_ai.agent.handoff intent billing clerk",
            "gen_ai.agent.handoff success billing clerk",
        ]
        assert handed[0].attributes["gen_ai.agent.name"] == "triage"
        assert chain(handed[0]) == ["ann", "desk", "triage"]
        assert {tuple(chain(entry)) for entry in of_kind(log.entries, "tool", "note")} == {
            ("ann", "desk", "triage", "billing clerk")
        }

    def test_unrecorded(self, log: CapturedAudit) -> None:
        """Where what a co-worker does cannot be recorded, the whole crew ends."""
        made = hierarchy(log, disk_full(log, asking()), "billed")
        with pytest.raises(AuditWriteError):
            made.kickoff()
        assert made.manager_agent.llm.script.asked == 1
        assert "program.note" not in {entry.event_name for entry in log.entries}

    def test_unknown(self, log: CapturedAudit) -> None:
        """Delegation to nobody is a tool call, and no handoff."""
        made = hierarchy(log, manager=(delegating("nobody"), "done"))
        assert kickoff(made) == "done"
        assert "gen_ai.agent.handoff" not in {entry.event_name for entry in log.entries}

    def test_failing(self, log: CapturedAudit) -> None:
        """A co-worker that fails is a failed handoff, of which the manager is told."""
        made = hierarchy(log, *[ConnectionError("lost")] * 3)
        assert kickoff(made) == "done"
        assert "gen_ai.agent.handoff failure billing clerk" in [short(entry) for entry in log.entries]


class TestAgent:
    def test_in_a_loop(self, log: CapturedAudit) -> None:
        """A blocking run that is asked for in an event loop is a coroutine, and one run."""

        async def main() -> Any:
            return await clerk(asking(), "done").kickoff("go")

        assert asyncio.run(main()).raw == "done"
        assert [short(entry) for entry in of_kind(log.entries, "agent")] == [
            "agent intent clerk",
            "agent success clerk",
        ]

    def test_concurrent(self, log: CapturedAudit) -> None:
        """Runs at the same time do not mix up their agents."""

        async def main() -> None:
            agents = [clerk(asking(), "done", role=f"clerk {number}") for number in range(4)]
            await asyncio.gather(*(made.akickoff("go") for made in agents))

        asyncio.run(main())
        noted = [chain(entry)[-1] for entry in log.entries if entry.event_name == "program.note"]
        assert sorted(noted) == [f"clerk {number}" for number in range(4)]

    def test_in_a_flow(self, log: CapturedAudit) -> None:
        """An agent in a flow acts for whoever started the flow."""
        from crewai.flow.flow import Flow, start

        class Billing(Flow):  # type: ignore[misc]  # not installed where the types are checked
            @start()
            def bill(self) -> Any:
                return clerk(asking(), "done").kickoff("go")

        with acting_as("ann", type="user"):
            Billing().kickoff()
        (noted,) = [entry for entry in log.entries if entry.event_name == "program.note"]
        assert chain(noted) == ["ann", "clerk"]

    @pytest.mark.parametrize("in_loop", [False, True])
    @pytest.mark.parametrize("way", ["kickoff", "kickoff_async", "akickoff"])
    def test_own_class(self, log: CapturedAudit, way: str, in_loop: bool) -> None:
        """An agent's class of the program's own that has its parent run it has one run, by the agent."""

        class Own(crewai.Agent):  # type: ignore[misc]  # not installed where the types are checked
            def kickoff(self, *args: Any, **kwargs: Any) -> Any:
                return super().kickoff(*args, **kwargs)

            async def kickoff_async(self, *args: Any, **kwargs: Any) -> Any:
                return await super().kickoff_async(*args, **kwargs)

        with acting_as("ann", type="user"):
            assert run_agent(clerk(asking(), "done", cls=Own), way, in_loop).raw == "done"
        assert runs(log) == ["agent intent clerk", "agent success clerk"]
        assert {tuple(chain(entry)) for entry in of_kind(log.entries, "tool")} == {("ann", "clerk")}

    @pytest.mark.parametrize("in_loop", [False, True])
    @pytest.mark.parametrize("base", [BaseAgent, crewai.Agent])
    def test_own_way(self, log: CapturedAudit, base: Any, in_loop: bool) -> None:
        """An agent's class of the program's own that answers at once has a run, whose intent stands before that."""

        class Own(base):  # type: ignore[misc]  # not installed where the types are checked
            def kickoff(self, messages: str) -> str:
                assert runs(log) == ["agent intent clerk"]
                if messages == "fail":
                    raise KeyError(messages)
                return note(messages)

            def execute_task(self, *_args: Any) -> Any: ...
            async def aexecute_task(self, *_args: Any) -> Any: ...
            def create_agent_executor(self, *_args: Any) -> Any: ...
            def get_delegation_tools(self, *_args: Any) -> Any: ...
            def get_platform_tools(self, *_args: Any) -> Any: ...
            def get_mcp_tools(self, *_args: Any) -> Any: ...

        made = Own(role="clerk", goal="g", backstory="b", llm=ScriptedModel(model="m", script=Script()))

        def run(messages: str) -> object:
            async def main() -> object:
                return made.kickoff(messages)

            return asyncio.run(main()) if in_loop else made.kickoff(messages)

        assert run("hello") == "noted hello"
        assert runs(log) == ["agent intent clerk", "agent success clerk"]
        assert chain(log.entries[1]) == ["clerk"]
        log.clear()
        with pytest.raises(KeyError):
            run("fail")
        assert runs(log) == ["agent intent clerk", "agent failure clerk"]
        log.clear()
        log.fail(OSError("disk full"))
        with pytest.raises(AuditWriteError):
            run("hello")
        assert log.entries == ()

    def test_inside_of_itself(self, log: CapturedAudit) -> None:
        """An agent that its own guardrail runs once more has two runs."""
        asked: list[str] = []

        def again(answer: Any) -> Any:
            if not asked:
                asked.append("inner")
                with ThreadPoolExecutor() as pool:  # the event loop of the outer run is this thread's
                    pool.submit(copy_context().run, asyncio.run, made.kickoff_async("go")).result()
            return True, answer

        made = clerk("inner", "outer", tools=(), guardrail=again)
        made.kickoff("go")
        assert runs(log) == ["agent intent clerk"] * 2 + ["agent success clerk"] * 2

    @pytest.mark.parametrize("in_loop", [False, True])
    @pytest.mark.parametrize("way", ["kickoff", "kickoff_async", "akickoff"])
    def test_from_a_checkpoint(self, log: CapturedAudit, tmp_path: Path, way: str, in_loop: bool) -> None:
        """A run that goes on from a checkpoint is one, of the agent that is restored."""

        class Own(crewai.Agent):  # type: ignore[misc]  # not installed where the types are checked
            @classmethod
            def from_checkpoint(cls, _config: Any) -> Any:
                return clerk("restored", tools=())

        config = CheckpointConfig(location=str(tmp_path), on_events=[], restore_from="x")
        made = clerk("done", role="first", cls=Own)
        assert run_agent(made, way, in_loop, from_checkpoint=config).raw == "restored"
        assert run_agent(made, way, in_loop, None, None, config).raw == "restored"
        assert runs(log) == ["agent intent clerk", "agent success clerk"] * 2

    @pytest.mark.filterwarnings("ignore::FutureWarning")
    def test_lite(self, log: CapturedAudit) -> None:
        """The older lite agent is audited, too."""
        from crewai.lite_agent import LiteAgent
        from crewai.tools import tool

        model = ScriptedModel(model="m", script=Script(REACT, "Final Answer: done"))
        made = LiteAgent(role="clerk", goal="g", backstory="b", llm=model, tools=[tool("note")(note)])
        with acting_as("ann", type="user"):
            assert made.kickoff("go").raw == "done"
        assert {tuple(chain(entry)) for entry in of_kind(log.entries, "tool")} == {("ann", "clerk")}


def runs(log: CapturedAudit) -> list[str]:
    return [short(entry) for entry in of_kind(log.entries, "agent")]


def run_agent(made: Any, way: str, in_loop: bool, *args: Any, **kwargs: Any) -> Any:
    """Run an agent without a crew; in an event loop, `kickoff` is a coroutine, too."""

    async def main() -> Any:
        return await getattr(made, way)("go", *args, **kwargs)

    return asyncio.run(main()) if in_loop or way != "kickoff" else made.kickoff("go", *args, **kwargs)


REACT = 'Thought: note.\nAction: note\nAction Input: {"text": "hello"}'


def test_example(tmp_path: Path) -> None:
    """The example runs offline and says nothing but its answer and its log."""
    path = tmp_path / "audit.jsonl"
    env = os.environ | {"OTEL_AUDIT_FILE": str(path)}
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=120, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Done.\n")
    assert verify_log(path).intact
    (refund,) = (entry for entry in read_log(path) if entry.attributes.get("audit.arguments"))
    assert refund.attributes["audit.arguments"] == {"order_id": "A-1027"}
    assert chain(refund) == ["maya@example.com", "desk", "triage", "refunds"]


def test_restored() -> None:
    """Uninstrumenting puts the identical objects back."""
    from importlib import import_module

    core = import_module("crewai.agent.core")
    owners: list[Any] = [
        core,
        *(import_module(f"crewai.{name}") for name in ("crew", "task", "lite_agent", "utilities.tool_utils")),
        *(import_module(f"crewai.{name}") for name in ("hooks.tool_hooks", "agents.agent_executor")),
        crewai.Crew,
        crewai.Agent,
        crewai.LLM,
        ScriptedModel,
        import_module("crewai.tools.base_tool").BaseTool,
        import_module("crewai.tools.base_tool").Tool,
        import_module("crewai.tools.structured_tool").CrewStructuredTool,
        import_module("crewai.tools.tool_usage").ToolUsage,
        import_module("crewai.llms.base_llm").BaseLLM,
        import_module("crewai.lite_agent").LiteAgent,
        import_module("crewai.core.providers.human_input").SyncHumanInputProvider,
    ]
    AuditInstrumentor().uninstrument()
    before = [dict(vars(owner)) for owner in owners]
    AuditInstrumentor().instrument(frameworks=["crewai"])
    during = [dict(vars(owner)) for owner in owners]
    AuditInstrumentor().uninstrument()
    after = [dict(vars(owner)) for owner in owners]
    for owner, old, changed, new in zip(owners, before, during, after, strict=True):
        assert new.keys() == old.keys()
        assert all(new[name] is old[name] for name in old if not name.startswith("_abc")), owner
        assert any(changed[name] is not old.get(name) for name in changed), owner
