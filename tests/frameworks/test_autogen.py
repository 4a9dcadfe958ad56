"""autogen: agents, teams and their handoffs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import BaseChatAgent, CodeExecutorAgent, SocietyOfMindAgent
from autogen_agentchat.base import Handoff, Response
from autogen_agentchat.conditions import MaxMessageTermination, SourceMatchTermination
from autogen_agentchat.messages import HandoffMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat, Swarm
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import CancellationToken, SingleThreadedAgentRuntime
from autogen_core.code_executor import CodeExecutor, CodeResult
from autogen_core.tools import StaticStreamWorkbench
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import AuditInstrumentor, AuditWriteError, acting_as, read_log, verify_log
from otel_audit.pipeline.context import current_actors
from otel_audit.testing import CapturedAudit
from tests.frameworks.autogen_parts import ScriptedModel
from tests.frameworks.autogen_parts import agent as scripted
from tests.frameworks.conformance.autogen import DRIVER
from tests.frameworks.conformance.driver import Call, Script, Turn
from tests.frameworks.conformance.told import asking, audited, chain, note, of_kind, pairs, short

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_autogen.py"


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit autogen in every test."""
    with audited(DRIVER):
        yield


def agent(name: str, *turns: Turn, tools: Any = (note,), **options: Any) -> Any:
    """Return an agent whose model says this."""
    return scripted(name, Script(*turns), tools, **options)


def handing(to: str) -> tuple[Call, ...]:
    """Return the turn that hands the work to another agent."""
    return (Call(f"transfer_to_{to}", {}, f"to {to}"),)


def disk_full(log: CapturedAudit, then: Any, appends: int = 2) -> Any:
    """Return a turn behind which the next appends fail: the model's outcome, and the intent of what it asks for."""

    def turn() -> Any:
        log.fail(OSError("disk full"), times=appends)
        return then

    return turn


def noted(log: CapturedAudit) -> list[list[Any]]:
    """Return who acted in the tool, each time."""
    return [chain(entry) for entry in log.entries if entry.event_name == "program.note"]


def run(team: Any, task: str = "go", **options: Any) -> Any:
    return asyncio.run(team.run(task=task, **options))


def swarm_of_two(runtime: Any = None) -> Any:
    """Return a swarm whose first agent hands over to the second one, which uses a tool."""
    agents = [agent("first", handing("second"), handoffs=["second"]), agent("second", asking(), "done")]
    return Swarm(agents, name="desk", termination_condition=SourceMatchTermination(["second"]), runtime=runtime)


class TestSwarm:
    def test_chain(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """A handoff is on disk before the second agent runs, who acts for the first one, the team and the caller."""
        with acting_as("ann", type="user"):
            run(swarm_of_two())
        assert noted(log) == [["ann", "desk", "first", "second"]]
        handed = [entry for entry in log.entries if entry.event_name == "gen_ai.agent.handoff"]
        assert [short(entry) for entry in handed] == [
            "gen_ai.agent.handoff intent second",
            "gen_ai.agent.handoff success second",
        ]
        assert (handed[0].attributes["gen_ai.agent.name"], chain(handed[0])) == ("first", ["ann", "desk", "first"])
        told = [short(entry) for entry in log.entries]
        assert told.index("gen_ai.agent.handoff success second") < told.index("agent intent second")
        assert (told[0], told[-1]) == ("agent intent desk", "agent success desk")
        assert len({entry.trace_id for entry in log.entries}) == 1

    def test_to_and_fro(self, log: CapturedAudit) -> None:
        """An agent that is handed back to acts on behalf of both."""
        first = agent("first", handing("second"), asking(), "done", handoffs=["second"])
        second = agent("second", handing("first"), handoffs=["first"])
        run(Swarm([first, second], name="desk", termination_condition=MaxMessageTermination(6)))
        assert noted(log)[0][-4:] == ["desk", "first", "second", "first"]

    def test_runtime_of_the_program(self, log: CapturedAudit) -> None:
        """In a runtime that somebody else started, the agents act for whoever runs the team."""

        async def main() -> None:
            runtime = SingleThreadedAgentRuntime()
            with acting_as("system", type="system"):
                runtime.start()
            with acting_as("ann", type="user"):
                await swarm_of_two(runtime).run(task="go")
            await runtime.stop()

        asyncio.run(main())
        assert noted(log) == [["ann", "desk", "first", "second"]]
        assert {chain(entry)[0] for entry in log.entries} == {"ann"}

    def test_unrecorded_handoff(self, log: CapturedAudit) -> None:
        """A handoff that cannot be written does not happen, and ends the team with the error itself."""
        team = swarm_of_two()
        first, second = team._participants

        async def fail(*args: Any, **kwargs: Any) -> str:
            log.fail(OSError("disk full"), times=2)  # the tool's outcome, and the handoff's intent
            return "handed"

        first._handoff_tools[0].run = fail
        with pytest.raises(AuditWriteError):
            run(team)
        assert second._model_client.script.asked == 0
        assert short(log.entries[-1]) == "agent failure desk"

    def test_unrecorded_handoff_tool(self, log: CapturedAudit) -> None:
        """Nor does it where the tool by which it is asked for cannot be written."""
        first = agent("first", disk_full(log, handing("second")), handoffs=["second"])
        second = agent("second", "done")
        with pytest.raises(AuditWriteError):
            run(Swarm([first, second], termination_condition=SourceMatchTermination(["second"])))
        assert second._model_client.script.asked == 0

    def test_to_a_person(self, log: CapturedAudit) -> None:
        """A handoff to a person, outside of a team, is one, too."""
        run(agent("clerk", handing("user"), handoffs=[Handoff(target="user")]))
        assert [short(entry) for entry in log.entries if entry.event_name == "gen_ai.agent.handoff"] == [
            "gen_ai.agent.handoff intent user",
            "gen_ai.agent.handoff success user",
        ]

    def test_agent_of_the_program(self, log: CapturedAudit) -> None:
        """An agent's class of the program's own, made later, is audited with its handoffs."""

        class Own(BaseChatAgent):  # type: ignore[misc]  # not installed where the types are checked
            produced_message_types = (HandoffMessage,)

            async def on_messages(self, messages: Any, cancellation_token: Any) -> Any:
                return Response(chat_message=HandoffMessage(content="yours", target="second", source=self.name))

            async def on_reset(self, cancellation_token: Any) -> None: ...

        team = [Own("first", "The first."), agent("second", asking(), "done")]
        run(Swarm(team, name="desk", termination_condition=SourceMatchTermination(["second"])))
        assert noted(log)[0][-3:] == ["desk", "first", "second"]
        assert [short(entry) for entry in of_kind(log.entries, "agent", "first")] == [
            "agent intent first",
            "agent success first",
        ]


class TestTeam:
    def test_turns(self, log: CapturedAudit) -> None:
        """Agents that take turns act for the team, and not for each other."""
        team = [agent("one", asking(), "1"), agent("two", asking(), "2")]
        with acting_as("ann", type="user"):
            run(RoundRobinGroupChat(team, name="desk", max_turns=2))
        assert noted(log) == [["ann", "desk", "one"], ["ann", "desk", "two"]]

    def test_nested(self, log: CapturedAudit) -> None:
        """A team in a team acts for it, as does a team inside of an agent."""
        inner = RoundRobinGroupChat([agent("one", asking(), "1")], name="inner", max_turns=1)
        mind = SocietyOfMindAgent("mind", team=inner, model_client=ScriptedModel(Script("so")))
        with acting_as("ann", type="user"):
            run(RoundRobinGroupChat([mind], name="outer", max_turns=1))
        assert noted(log) == [["ann", "outer", "mind", "inner", "one"]]

    def test_stream(self, log: CapturedAudit) -> None:
        """Whoever reads a team's stream is none of its agents; closed early, the run is neither success nor failure."""

        async def main() -> None:
            events = swarm_of_two().run_stream(task="go")
            async for _ in events:
                assert current_actors() == ()
                break
            await events.aclose()

        asyncio.run(main())
        pairs(entry for entry in log.entries if entry.event_name != "program.note")
        assert "agent unknown desk" in [short(entry) for entry in log.entries]

    def test_cancelled(self, log: CapturedAudit) -> None:
        """A run that is cancelled by its token fails, and so does the model call under way."""

        class Waiting(ScriptedModel):
            async def create(self, messages: Any, **kwargs: Any) -> Any:
                waiting = asyncio.ensure_future(asyncio.Event().wait())
                kwargs["cancellation_token"].link_future(waiting)
                asyncio.get_running_loop().call_soon(kwargs["cancellation_token"].cancel)
                await waiting

        async def main() -> None:
            clerk = agent("clerk")
            clerk._model_client = Waiting(Script())
            with pytest.raises(asyncio.CancelledError):
                await clerk.run(task="go", cancellation_token=CancellationToken())

        asyncio.run(main())
        assert [short(entry) for entry in log.entries[-2:]] == ["model failure scripted-1", "agent failure clerk"]

    def test_error_of_the_program(self, log: CapturedAudit) -> None:
        """What the program raises comes in the framework's own wrapping, as without auditing."""
        with pytest.raises(RuntimeError, match="lost"):
            run(RoundRobinGroupChat([agent("one", ConnectionError("lost"))], name="desk"))
        assert {entry.attributes.get("error.type") for entry in of_kind(log.entries, "agent", "one")} == {
            None,
            "ConnectionError",
        }

    def test_unrecorded(self, log: CapturedAudit) -> None:
        """A team whose agent's tool cannot be recorded ends with the error itself; the model is not told."""
        worker = agent("one", disk_full(log, asking()), "done")
        with pytest.raises(AuditWriteError):
            run(RoundRobinGroupChat([worker], name="desk", max_turns=1))
        assert (worker._model_client.script.asked, noted(log)) == (1, [])

    def test_wrong_arguments(self, log: CapturedAudit) -> None:
        """A call with wrong arguments raises the framework's own error at once, and leaves no entry."""
        with pytest.raises(TypeError, match="unexpected"):
            swarm_of_two().run_stream(wrong="go")
        assert log.entries == ()

    def test_same_agent_twice(self, log: CapturedAudit) -> None:
        """A team that is run again begins with nobody's handoff."""

        async def main() -> None:
            team = swarm_of_two()
            for _ in range(2):
                first, second = (member._model_client.script for member in team._participants)
                first._turns[:], second._turns[:] = [handing("second")], [asking(), "done"]
                await team.run(task="go")
                await team.reset()

        asyncio.run(main())
        assert noted(log) == [["desk", "first", "second"]] * 2


class TestAgent:
    @pytest.mark.parametrize("kind", [AgentTool, TeamTool])
    def test_as_a_tool(self, log: CapturedAudit, kind: Any) -> None:
        """An agent or a team that is a tool acts for the agent that calls it."""
        inner = agent("inner", asking(), "done")
        if kind is AgentTool:
            made, names = AgentTool(inner), ["inner"]
        else:
            team = RoundRobinGroupChat([inner], name="team", max_turns=1)
            made, names = TeamTool(team, "team", "A team."), ["team", "inner"]
        with acting_as("ann", type="user"):
            run(agent("outer", asking(made.name, task="go"), "done", tools=(made,)))
        assert noted(log) == [["ann", "outer", *names]]
        tools = [short(entry) for entry in of_kind(log.entries, "tool", made.name)]
        assert tools == [f"tool intent {made.name}", f"tool success {made.name}"]

    @pytest.mark.filterwarnings("ignore:No approval function set")
    @pytest.mark.parametrize("by", ["tool", "stream", "code"])
    def test_inside_of_itself(self, log: CapturedAudit, by: str) -> None:
        """An agent that what it calls runs once more has two runs, the inner one inside of the call."""
        clerk: Any = None

        async def again(text: str) -> str:
            """Run the agent that calls this."""
            return str((await clerk.run(task=text)).messages[-1].content)

        class Executor(CodeExecutor):  # type: ignore[misc]  # not installed where the types are checked
            async def execute_code_blocks(self, code_blocks: Any, cancellation_token: Any) -> Any:
                return CodeResult(exit_code=0, output=await again("go"))

            async def start(self) -> None: ...
            async def stop(self) -> None: ...
            async def restart(self) -> None: ...

        if by == "code":
            model = ScriptedModel(Script("```python\npass\n```", "inner", "done"))
            clerk = CodeExecutorAgent("clerk", Executor(), model_client=model)
            called = "execute_code_blocks"
        else:
            called = "again" if by == "tool" else "clerk"
            clerk = agent("clerk", asking(called, text="go", task="go"), "inner", "done", tools=(again,))
            if by == "stream":
                clerk._workbench = [StaticStreamWorkbench([AgentTool(clerk)])]
        run(clerk)
        told = [short(entry) for entry in log.entries if entry.event_name != "gen_ai.model.call"]
        assert told == [
            *("agent intent clerk", f"tool intent {called}", "agent intent clerk"),
            *("agent success clerk", f"tool success {called}", "agent success clerk"),
        ]

    @pytest.mark.parametrize("streams", [False, True])
    def test_inside_of_its_model(self, log: CapturedAudit, streams: bool) -> None:
        """An agent that its own model runs once more has two runs, the inner one inside of the model call."""
        clerk: Any = None

        class Asking(ScriptedModel):
            async def create(self, messages: Any, **kwargs: Any) -> Any:
                if self.script.asked == 0:
                    self.script.turn()
                    await clerk.run(task="go")
                return await super().create(messages)

        clerk = agent("clerk", model_client_stream=streams)
        clerk._model_client = Asking(Script("", "inner", "done"))
        run(clerk)
        assert [short(entry).split()[0] for entry in log.entries] == [
            *("agent", "model", "agent", "model", "model", "agent", "model", "agent")
        ]

    def test_unrecorded_in_an_agent_as_a_tool(self, log: CapturedAudit) -> None:
        """Where the inner agent's tool cannot be recorded, the outer run ends, too."""
        outer = agent(
            "outer", asking("inner", task="go"), "done", tools=(AgentTool(agent("inner", disk_full(log, asking()))),)
        )
        with pytest.raises(AuditWriteError):
            run(outer)
        assert outer._model_client.script.asked == 1

    @pytest.mark.parametrize("way", ["on_messages", "on_messages_stream"])
    def test_messages(self, log: CapturedAudit, way: str) -> None:
        """However an agent is given messages, it is one run."""

        async def main() -> None:
            given = [TextMessage(content="go", source="user")], CancellationToken()
            clerk = agent("clerk", "done")
            if way == "on_messages":
                await clerk.on_messages(*given)
            else:
                assert [item async for item in clerk.on_messages_stream(*given)]

        asyncio.run(main())
        assert [short(entry) for entry in of_kind(log.entries, "agent")] == [
            "agent intent clerk",
            "agent success clerk",
        ]

    def test_streaming_model(self, log: CapturedAudit) -> None:
        """An agent that streams its model's answer has one call of it, with what it cost."""
        run(agent("clerk", "all is done", model_client_stream=True))
        _, told = of_kind(log.entries, "model")
        assert told.attributes["gen_ai.usage.output_tokens"] == 5
        assert told.attributes["gen_ai.response.finish_reasons"] == ["stop"]


@pytest.mark.parametrize(
    "first", ["autogen_agentchat.teams", "autogen_agentchat.agents", "autogen_agentchat.conditions"]
)
def test_imported_first(first: str, tmp_path: Path) -> None:
    """Whichever module a program imports first, everything is audited."""
    program = (
        f"import otel_audit, sys; otel_audit.configure(sys.argv[1]); otel_audit.AuditInstrumentor().instrument();"
        f"import {first}; from tests.frameworks import test_autogen as t; t.run(t.swarm_of_two())"
    )
    path = tmp_path / "audit.jsonl"
    env = os.environ | {"PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=100, env=env
    )
    assert done.returncode == 0, done.stderr
    (called,) = [entry for entry in read_log(path) if short_or_name(entry) == "tool intent note"]
    assert chain(called)[-3:] == ["desk", "first", "second"]


def short_or_name(entry: Any) -> str:
    return short(entry) if "audit.phase" in entry.attributes else str(entry.event_name)


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

    owners: list[Any] = [
        BaseChatAgent,
        *(getattr(import_module("autogen_agentchat.agents"), name) for name in ("AssistantAgent", "CodeExecutorAgent")),
        import_module("autogen_agentchat.teams").BaseGroupChat,
        import_module("autogen_core.models").ChatCompletionClient,
        ScriptedModel,
        *(getattr(import_module("autogen_core.tools"), name) for name in ("BaseTool", "BaseStreamTool")),
        *(getattr(import_module("autogen_core.tools"), name) for name in ("StaticWorkbench", "StaticStreamWorkbench")),
        import_module("autogen_core.code_executor").CodeExecutor,
    ]
    AuditInstrumentor().uninstrument()
    before = [dict(vars(owner)) for owner in owners]
    AuditInstrumentor().instrument(frameworks=["autogen"])
    during = [dict(vars(owner)) for owner in owners]
    AuditInstrumentor().uninstrument()
    after = [dict(vars(owner)) for owner in owners]
    for owner, old, changed, new in zip(owners, before, during, after, strict=True):
        assert new.keys() == old.keys()
        assert all(new[name] is old[name] for name in old if not name.startswith("_abc")), owner
        assert any(changed[name] is not old.get(name) for name in changed), owner
