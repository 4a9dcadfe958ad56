"""Pydantic AI: who let tools run, and which did not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import (
    Agent,
    ApprovalRequired,
    DeferredToolRequests,
    DeferredToolResults,
    FunctionToolset,
    RunContext,
    ToolApproved,
    ToolDenied,
)
from pydantic_ai.capabilities import HandleDeferredToolCalls

from otel_audit import acting_as
from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.frameworks.pydantic_ai_fakes import (
    WAYS_TO_RUN,
    instrumented,
    loop_of_its_own,  # noqa: F401 - a fixture
    scripted,
    told,
    tool_entries,
)

KINDS = ("declared", "raised", "toolset")
ALLOW = (True, ToolApproved())
BLOCK = (False, ToolDenied("not with my canary-9f3b"))


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Every test runs with Pydantic AI audited, by default settings."""
    with instrumented():
        yield


class Bank:
    """An agent with a tool that needs an approval, and what the tool did."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.paid: list[int] = []
        self.seen: list[tuple[Any, ...]] = []
        self.log: CapturedAudit | None = None
        model = scripted([("pay", {"amount": 5})], "done")

        def pay(ctx: RunContext[None], amount: int) -> str:
            if kind == "raised" and not ctx.tool_call_approved:
                raise ApprovalRequired
            assert self.log is not None
            self.seen = told(self.log, "tool")
            self.paid.append(amount)
            return "paid"

        output: Any = [str, DeferredToolRequests]
        if kind == "toolset":
            toolset = FunctionToolset([pay]).approval_required()
            self.agent = Agent(model, name="clerk", output_type=output, toolsets=[toolset], **options)
        else:
            self.agent = Agent(model, name="clerk", output_type=output, **options)
            self.agent.tool(requires_approval=kind == "declared")(pay)


@pytest.fixture
def decided(log: CapturedAudit) -> Any:
    """What of decisions is in the log."""

    def decided() -> list[tuple[Any, ...]]:
        return [
            (
                entry.attributes["audit.decision"],
                entry.attributes["audit.target.id"],
                entry.attributes["gen_ai.tool.call.id"],
                entry.attributes["gen_ai.agent.name"],
                entry.attributes["audit.actor.id"],
            )
            for entry in log.entries
            if entry.event_name == "gen_ai.tool.approve"
        ]

    return decided


class TestResumed:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_allowed(self, log: CapturedAudit, decided: Any, kind: str, way: str) -> None:
        """Who resumes a run and lets a tool run has decided it, before the tool's intent, and then it ran."""
        bank = Bank(kind)
        bank.log = log
        asked = bank.agent.run_sync("go")
        assert [call.tool_name for call in asked.output.approvals] == ["pay"]
        assert not bank.paid
        log.clear()
        results = DeferredToolResults(approvals={asked.output.approvals[0].tool_call_id: ALLOW[kind == "raised"]})
        with acting_as("maya", type="user"):
            WAYS_TO_RUN[way](_Resumed(bank.agent, asked.all_messages(), results))
        assert bank.paid == [5]
        assert decided() == [("allow", "pay", "call-0-0", "clerk", "maya")]
        assert bank.seen == [
            ("tool.approve", "pay", None, "allow"),
            ("tool.execute", "pay", "intent", "unknown"),
        ]

    @pytest.mark.parametrize("answer", BLOCK)
    def test_blocked(self, log: CapturedAudit, decided: Any, answer: Any) -> None:
        """Who resumes a run and denies a tool has decided it, and it did not run; why is not recorded."""
        bank = Bank("declared")
        bank.log = log
        asked = bank.agent.run_sync("go")
        results = DeferredToolResults(approvals={asked.output.approvals[0].tool_call_id: answer})
        with acting_as("maya", type="user"):
            final = bank.agent.run_sync(message_history=asked.all_messages(), deferred_tool_results=results)
        assert final.output == "done"
        assert not bank.paid
        assert decided() == [("block", "pay", "call-0-0", "clerk", "maya")]
        assert told(log, "tool.execute") == []
        assert b"canary" not in b"".join(entry.raw for entry in log.entries)

    def test_of_a_conversation(self, log: CapturedAudit, decided: Any) -> None:
        """A run that is resumed by its conversation says as much as one resumed by its messages."""
        bank = Bank("declared")
        bank.log = log
        asked = bank.agent.run_sync("go")
        results = DeferredToolResults(approvals={asked.output.approvals[0].tool_call_id: True})
        with acting_as("maya", type="user"):
            bank.agent.run_sync(conversation=asked.conversation, deferred_tool_results=results)
        assert bank.paid == [5]
        assert decided() == [("allow", "pay", "call-0-0", "clerk", "maya")]

    def test_that_cannot_be_recorded(self, log: CapturedAudit) -> None:
        """An approval that cannot be written takes no effect: the tool does not run."""
        bank = Bank("declared")
        asked = bank.agent.run_sync("go")
        results = DeferredToolResults(approvals={asked.output.approvals[0].tool_call_id: True})
        with pytest.raises(AuditWriteError):
            bank.agent.run_sync(message_history=_FailLater(asked.all_messages(), log), deferred_tool_results=results)
        assert not bank.paid
        assert told(log)[-1] == ("agent.invoke", "clerk", "outcome", "failure")


class TestHandler:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("answer", [*ALLOW, *BLOCK])
    def test_answers(self, log: CapturedAudit, decided: Any, kind: str, answer: Any) -> None:
        """A handler of the program's that answers during the run has decided it, by who runs the agent."""

        def handle(ctx: Any, requests: DeferredToolRequests) -> DeferredToolResults:
            return DeferredToolResults(approvals={call.tool_call_id: answer for call in requests.approvals})

        bank = Bank(kind, capabilities=[HandleDeferredToolCalls(handler=handle)])
        bank.log = log
        with acting_as("maya", type="user"):
            assert bank.agent.run_sync("go").output == "done"
        allowed = answer in ALLOW
        assert decided() == [("allow" if allowed else "block", "pay", "call-0-0", "clerk", "maya")]
        assert bank.paid == ([5] if allowed else [])
        if allowed:
            assert bank.seen[-2:] == [
                ("tool.approve", "pay", None, "allow"),
                ("tool.execute", "pay", "intent", "unknown"),
            ]

    def test_that_leaves_it(self, log: CapturedAudit, decided: Any) -> None:
        """A handler that gives no answer has decided nothing."""
        bank = Bank("declared", capabilities=[HandleDeferredToolCalls(handler=lambda _ctx, _requests: None)])
        assert isinstance(bank.agent.run_sync("go").output, DeferredToolRequests)
        assert decided() == []

    def test_that_cannot_be_recorded(self, log: CapturedAudit, tmp_path: Path) -> None:
        """An answer that cannot be written takes no effect: the tool does not run."""

        def handle(ctx: Any, requests: DeferredToolRequests) -> DeferredToolResults:
            log.fail(OSError("no room"))
            return DeferredToolResults(approvals={call.tool_call_id: True for call in requests.approvals})

        bank = Bank("declared", capabilities=[HandleDeferredToolCalls(handler=handle)])
        with pytest.raises(AuditWriteError):
            bank.agent.run_sync("go")
        assert not bank.paid


class TestAsking:
    @pytest.mark.parametrize("kind", ["raised", "toolset"])
    def test_outcome(self, log: CapturedAudit, kind: str) -> None:
        """A tool that asks for an approval when it is called has the outcome unknown, and says why."""
        Bank(kind).agent.run_sync("go")
        (end,) = tool_entries(log, "outcome")
        assert end.attributes["audit.outcome"] == "unknown"
        assert end.attributes["audit.reason"] == "the tool asks for an approval"

    def test_declared(self, log: CapturedAudit) -> None:
        """A tool that is declared to need one is not called, and has no entry yet."""
        Bank("declared").agent.run_sync("go")
        assert told(log, "tool") == []


class _Resumed:
    """An agent each of whose runs resumes another run."""

    def __init__(self, agent: Agent[Any, Any], history: list[Any], results: DeferredToolResults) -> None:
        self.agent = agent
        self.options = {"message_history": history, "deferred_tool_results": results}

    def __getattr__(self, name: str) -> Any:
        run = getattr(self.agent, name)
        return lambda _prompt: run(**self.options)


class _FailLater(list[Any]):
    """A history that makes the log fail as soon as somebody looks at it: after the run's intent."""

    def __init__(self, messages: list[Any], log: CapturedAudit) -> None:
        super().__init__(messages)
        self.log = log

    def __iter__(self) -> Iterator[Any]:
        if self.log is not None and told(self.log)[-1][:3] == ("agent.invoke", "clerk", "intent"):
            log, self.log = self.log, None  # type: ignore[assignment]
            log.fail(OSError("no room"))
        return super().__iter__()
