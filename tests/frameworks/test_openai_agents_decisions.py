"""openai-agents: what guardrails and approvers decide."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    HostedMCPTool,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    OutputGuardrail,
    OutputGuardrailTripwireTriggered,
    RunContextWrapper,
    Runner,
    RunState,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailTripwireTriggered,
    function_tool,
    tool_input_guardrail,
    tool_output_guardrail,
)
from openai.types.responses.response_output_item import McpApprovalRequest

from otel_audit import AuditWriteError, acting_as
from otel_audit.testing import CapturedAudit
from tests.frameworks.openai_agents_script import RUNS, Script, audited, call, of, run_async, say, stage, told
from tests.frameworks.test_openai_agents_tools import apply_patch, custom, shell

WORK = call("work", "call_1")


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit openai-agents in every test."""
    with audited():
        yield


def verdict(triggered: bool) -> GuardrailFunctionOutput:
    """Return what a guardrail's function does."""
    return GuardrailFunctionOutput(output_info="secret text", tripwire_triggered=triggered)


def guarded(kind: str, triggered: bool) -> Agent[Any]:
    """Return an agent with one guardrail."""
    if kind == "output":
        output = OutputGuardrail(lambda _context, _agent, _output: verdict(triggered), name="no_secrets")
        return Agent(name="a", model=Script([say("3")]), output_guardrails=[output])
    parallel = kind == "parallel input"
    guardrail: Any = InputGuardrail(
        lambda _context, _agent, _input: verdict(triggered), name="no_secrets", run_in_parallel=parallel
    )
    return Agent(name="a", model=Script([say("3")]), input_guardrails=[guardrail])


GUARDRAILS = pytest.mark.parametrize("kind", ["input", "parallel input", "output"])


class TestGuardrail:
    @GUARDRAILS
    @RUNS
    def test_allows(self, log: CapturedAudit, kind: str, run: Any) -> None:
        """A guardrail that lets pass is an entry of its own, with the decision, by the agent that it guards."""
        with acting_as("ann", type="user"):
            run(guarded(kind, triggered=False))
        (decision,) = of(log, "guardrail")
        assert stage(decision) == "allow"
        assert decision["audit.target.id"] == "no_secrets"
        assert decision["gen_ai.agent.name"] == "a"
        assert decision["audit.delegation"] == ["ann", "a"]

    @GUARDRAILS
    @RUNS
    def test_blocks(self, log: CapturedAudit, kind: str, run: Any) -> None:
        """A tripwire is a block, and the run failed by the framework's own exception."""
        with pytest.raises((InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered)) as raised:
            run(guarded(kind, triggered=True))
        (decision,) = of(log, "guardrail")
        assert (stage(decision), decision["audit.reason"]) == ("block", "tripwire_triggered")
        (ended,) = of(log, "agent", "failure")
        assert ended["error.type"] == f"agents.exceptions.{type(raised.value).__name__}"

    def test_blocked_before_the_model(self, log: CapturedAudit) -> None:
        """The decision is in the log before it takes effect: the model is not asked."""
        with pytest.raises(InputGuardrailTripwireTriggered):
            run_async(guarded("input", triggered=True))
        assert told(log) == ["agent a intent", "guardrail no_secrets block", "agent a failure"]

    @GUARDRAILS
    def test_failing(self, log: CapturedAudit, kind: str) -> None:
        """A guardrail that raises decided nothing; the type of its error is the reason."""
        agent = guarded(kind, triggered=False)

        def fail(*_args: object) -> GuardrailFunctionOutput:
            raise LookupError("secret text")

        (*agent.input_guardrails, *agent.output_guardrails)[0].guardrail_function = fail
        with pytest.raises(LookupError, match="secret text"):
            run_async(agent)
        (decision,) = of(log, "guardrail")
        assert (stage(decision), decision["audit.reason"]) == ("error", "LookupError")

    def test_unrecorded_decision_does_not_allow(self, log: CapturedAudit) -> None:
        """Where the decision cannot be written, the model is not asked."""
        agent = guarded("input", triggered=False)

        def fail(*_args: object) -> GuardrailFunctionOutput:
            log.fail(OSError("disk full"))
            return verdict(triggered=False)

        agent.input_guardrails[0].guardrail_function = fail
        with pytest.raises(AuditWriteError):
            run_async(agent)
        assert told(log) == ["agent a intent", "agent a failure"]

    @pytest.mark.parametrize("behavior", ["allow", "reject_content", "raise_exception"])
    @pytest.mark.parametrize("side", ["input", "output"])
    def test_of_a_tool(self, log: CapturedAudit, side: str, behavior: str) -> None:
        """A tool's guardrail names the tool, and the tool runs only where the input may pass."""
        ran: list[str] = []
        answer = {
            "allow": ToolGuardrailFunctionOutput.allow(),
            "reject_content": ToolGuardrailFunctionOutput.reject_content("secret text"),
            "raise_exception": ToolGuardrailFunctionOutput.raise_exception(),
        }[behavior]

        def no_secrets(_data: Any) -> ToolGuardrailFunctionOutput:
            return answer

        @function_tool
        def work() -> None:
            """Work."""
            ran.append("ran")

        if side == "input":
            work.tool_input_guardrails = [tool_input_guardrail(no_secrets)]
        else:
            work.tool_output_guardrails = [tool_output_guardrail(no_secrets)]
        with contextlib.suppress(ToolInputGuardrailTripwireTriggered, Exception):
            run_async(Agent(name="a", model=Script([WORK], [say("3")]), tools=[work]))
        (decision,) = of(log, "guardrail")
        assert stage(decision) == ("allow" if behavior == "allow" else "block")
        assert decision.get("audit.reason") == (None if behavior == "allow" else behavior)
        assert decision["gen_ai.tool.name"] == "work"
        allowed = side == "output" or behavior == "allow"
        assert ran == (["ran"] if allowed else [])
        assert len(of(log, "tool")) == 2 * allowed


def cautious(ran: list[str]) -> Agent[Any]:
    """Return an agent whose tool needs an approval."""

    @function_tool(needs_approval=True)
    def work() -> None:
        """Work."""
        ran.append("ran")

    return Agent(name="a", model=Script([WORK], [say("3")]), tools=[work])


def decide(state: RunState[Any], allow: bool, **options: Any) -> None:
    """Approve or reject what a run waits for."""
    (item,) = state.get_interruptions()
    (state.approve if allow else state.reject)(item, **options)


DECISIONS = pytest.mark.parametrize("allow", [True, False])


class TestApproval:
    @DECISIONS
    @pytest.mark.parametrize("streamed", [True, False])
    def test_by_a_person(self, log: CapturedAudit, allow: bool, streamed: bool) -> None:
        """The run that waits is unfinished; the decision is the person's; the tool runs only where it may."""
        ran: list[str] = []
        agent = cautious(ran)

        async def run(given: Any) -> Any:
            if not streamed:
                return await Runner.run(agent, given)
            result = Runner.run_streamed(agent, given)
            async for _ in result.stream_events():
                pass
            return result

        async def main() -> None:
            state = (await run("go")).to_state()
            with acting_as("ann", type="user"):
                decide(state, allow)
            await run(state)

        asyncio.run(main())
        assert ran == (["ran"] if allow else [])
        assert told(log, "agent", "tool") == [
            "agent a intent",
            "agent a unknown",
            f"tool work {'allow' if allow else 'block'}",
            "agent a intent",
            *(["tool work intent", "tool work success"] if allow else []),
            "agent a success",
        ]
        (decision,) = (e.attributes for e in log.entries if e.event_name == "gen_ai.tool.approve")
        assert (decision["audit.actor.id"], decision["audit.actor.type"]) == ("ann", "user")
        assert (decision["gen_ai.tool.call.id"], decision["gen_ai.agent.name"]) == ("call_1", "a")

    @DECISIONS
    def test_stored_state(self, log: CapturedAudit, allow: bool) -> None:
        """A run that was stored and read back is decided on, and goes on, likewise."""
        ran: list[str] = []
        agent = cautious(ran)

        async def main() -> None:
            text = (await Runner.run(agent, "go")).to_state().to_string()
            state = await RunState.from_string(agent, text)
            decide(state, allow)
            await Runner.run(agent, state)

        asyncio.run(main())
        assert ran == (["ran"] if allow else [])
        assert len([e for e in log.entries if e.event_name == "gen_ai.tool.approve"]) == 1

    def test_for_always(self, log: CapturedAudit) -> None:
        """A decision for all calls to come says so."""
        agent = cautious([])
        agent.model = Script([WORK], [call("work", "call_2")], [say("3")])

        async def main() -> None:
            state = (await Runner.run(agent, "go")).to_state()
            decide(state, allow=True, always_approve=True)
            await Runner.run(agent, state)

        asyncio.run(main())
        (decision,) = (e.attributes for e in log.entries if e.event_name == "gen_ai.tool.approve")
        assert decision["audit.reason"] == "always"
        assert len(of(log, "tool", "success")) == 2

    @DECISIONS
    def test_inside_an_agent_as_a_tool(self, log: CapturedAudit, allow: bool) -> None:
        """A decision on an inner agent's tool is recorded once."""
        ran: list[str] = []
        outer = Agent(
            name="outer",
            model=Script([call("ask", f"ask_{allow}", '{"input": "go"}')], [say("done")]),
            tools=[cautious(ran).as_tool("ask", "Ask.")],
        )

        async def main() -> None:
            state = (await Runner.run(outer, "go")).to_state()
            decide(state, allow)
            await Runner.run(outer, state)

        asyncio.run(main())
        assert ran == (["ran"] if allow else [])
        assert len([e for e in log.entries if e.event_name == "gen_ai.tool.approve"]) == 1
        assert [line for line in told(log, "tool") if " ask " in line] == [
            "tool ask intent",
            "tool ask unknown",
            "tool ask intent",
            "tool ask success",
        ]

    @DECISIONS
    def test_inside_an_agent_as_a_tool_stored(self, log: CapturedAudit, allow: bool) -> None:
        """A decision on an inner agent's tool is recorded once, also where the run was stored meanwhile."""
        ran: list[str] = []
        outer = Agent(
            name="outer",
            model=Script([call("ask", f"ask_stored_{allow}", '{"input": "go"}')], [say("done")]),
            tools=[cautious(ran).as_tool("ask", "Ask.")],
        )

        async def main() -> None:
            text = (await Runner.run(outer, "go")).to_state().to_string()
            state = await RunState.from_string(outer, text)
            decide(state, allow)
            await Runner.run(outer, state)

        asyncio.run(main())
        assert len([e for e in log.entries if e.event_name == "gen_ai.tool.approve"]) == 1

    @DECISIONS
    @pytest.mark.parametrize("kind", [custom, shell, apply_patch])
    def test_by_a_function(self, log: CapturedAudit, kind: Any, allow: bool) -> None:
        """What a program's own function decides on a call is recorded, before the tool runs."""
        ran: list[str] = []
        tool, item = kind(lambda: ran.append(told(log)[-1]))
        tool.needs_approval = True
        tool.on_approval = lambda _context, _item: {"approve": allow, "reason": "secret text"}
        run_async(Agent(name="a", model=Script([item], [say("done")]), tools=[tool]))
        assert ran == (["tool work intent"] if allow else [])
        decisions = told(log, "tool")
        assert decisions[0] == f"tool work {'allow' if allow else 'block'}"
        assert len(decisions) == (3 if allow else 1)

    @pytest.mark.parametrize("kind", [custom, shell, apply_patch])
    def test_native_tool_waits(self, log: CapturedAudit, kind: Any) -> None:
        """A call that waits for an approval has no intent: nothing is under way."""
        tool, item = kind(lambda: None)
        tool.needs_approval = True
        run_async(Agent(name="a", model=Script([item], [say("done")]), tools=[tool]))
        assert told(log, "agent", "tool") == ["agent a intent", "agent a unknown"]

    @DECISIONS
    def test_of_a_hosted_mcp_server(self, log: CapturedAudit, allow: bool) -> None:
        """What a program's own function decides on a hosted MCP tool is recorded."""
        config: Any = {"type": "mcp", "server_label": "notes", "server_url": "https://example.com"}
        tool = HostedMCPTool(config, on_approval_request=lambda _request: {"approve": allow})
        request = McpApprovalRequest(
            id="mcpr_1", arguments="{}", name="write", server_label="notes", type="mcp_approval_request"
        )
        run_async(Agent(name="a", model=Script([request], [say("done")]), tools=[tool]))
        assert told(log, "tool") == [f"tool write {'allow' if allow else 'block'}"]

    def test_unrecorded_approval_has_no_effect(self, log: CapturedAudit) -> None:
        """Where an approval cannot be written, it raises, and the tool waits still."""
        ran: list[str] = []
        agent = cautious(ran)

        async def main() -> Any:
            state = (await Runner.run(agent, "go")).to_state()
            log.fail(OSError("disk full"))
            with pytest.raises(AuditWriteError):
                decide(state, allow=True)
            return await Runner.run(agent, state)

        assert len(asyncio.run(main()).interruptions) == 1
        assert ran == []

    def test_wrong_arguments(self) -> None:
        """Calls with wrong arguments raise the framework's own errors."""
        with pytest.raises(TypeError, match="approval_item"):
            RunContextWrapper(None).approve_tool()
