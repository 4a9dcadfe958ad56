"""Claude Agent SDK: the real SDK, and a stand-in for its command line that speaks the control protocol."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import (
    ClaudeAgentOptions,
    ClaudeSDKClient,
    CLIConnectionError,
    HookMatcher,
    PermissionResultAllow,
    PermissionResultDeny,
    create_sdk_mcp_server,
    tool,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_audit
from otel_audit import AuditInstrumentor, acting_as, read_log, verify_log
from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.disk import fill
from tests.frameworks.claude_agent_sdk_cli import CLI, ask, instrumented, messages, scripted, told

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_claude_agent_sdk.py"

NOTE = [("note", "call-1", {"text": "x"})]


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Every test runs with the SDK audited, by default settings."""
    with instrumented():
        yield


def note(text: str) -> str:
    """Note something."""
    return f"noted {text}"


class TestRun:
    async def test_order_of_lines(self, log: CapturedAudit) -> None:
        """A run, its tool call and the model's answers stand in the log, in the order in which they ended."""
        assert await ask(CLI(scripted(NOTE), {"note": note})) == "done"
        assert told(log) == [
            ("agent.invoke", "claude", "intent", "unknown"),
            ("tool.execute", "note", "intent", "unknown"),
            ("tool.execute", "note", "outcome", "success"),
            ("model.call", "scripted-1", "outcome", "success"),
            ("model.call", "scripted-1", "outcome", "success"),
            ("agent.invoke", "claude", "outcome", "success"),
        ]

    async def test_attributes(self, log: CapturedAudit) -> None:
        """Entries have the conventions' attributes, and none of what was asked or answered."""
        await ask(CLI(scripted(NOTE), {"note": note}))
        tool_call, answer, end = log.entries[1], log.entries[3], log.entries[5]
        assert {key: value for key, value in tool_call.attributes.items() if key.startswith("gen_ai.")} == {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "note",
            "gen_ai.tool.call.id": "call-1",
            "gen_ai.tool.type": "function",
            "gen_ai.agent.name": "claude",
        }
        assert {key: value for key, value in answer.attributes.items() if key.startswith("gen_ai.")} == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "scripted-1",
            "gen_ai.agent.name": "claude",
            "gen_ai.response.model": "scripted-1",
            "gen_ai.response.id": "msg-1",
            "gen_ai.response.finish_reasons": ["end_turn"],
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 3,
        }
        assert end.attributes["gen_ai.conversation.id"] == "session-1"

    async def test_sub_agent(self, log: CapturedAudit) -> None:
        """A sub-agent runs on behalf of the agent that asked for it, and so do its tools and its model."""
        call = [("Agent", "call-0", {"subagent_type": "billing", "prompt": "go"})]
        cli = CLI(scripted(call), {"note": note}, {"billing": scripted(NOTE)})
        with acting_as("maya", type="user"):
            await ask(cli, ClaudeAgentOptions(extra_args={"agent": "triage"}))
        of = {
            (e.event_name, e.attributes.get("audit.target.id"), str(e.attributes.get("audit.delegation")))
            for e in log.entries
        }
        assert of == {
            ("gen_ai.agent.invoke", "triage", "None"),
            ("gen_ai.tool.execute", "Agent", "['maya', 'triage']"),
            ("gen_ai.agent.invoke", "billing", "['maya', 'triage']"),
            ("gen_ai.tool.execute", "note", "['maya', 'triage', 'billing']"),
            ("gen_ai.model.call", "scripted-1", "['maya', 'triage', 'billing']"),
            ("gen_ai.model.call", "scripted-1", "['maya', 'triage']"),
        }
        (agent_id,) = {e.attributes.get("gen_ai.agent.id") for e in log.entries} - {None}
        assert agent_id == "agent-call-0"

    async def test_result_that_is_an_error(self, log: CapturedAudit) -> None:
        """A run whose result is an error is a failure of that kind; nothing of its text is recorded."""
        assert await ask(CLI(scripted(ValueError("secret")))) == "None"
        assert log.entries[-1].attributes["audit.outcome"] == "failure"
        assert log.entries[-1].attributes["error.type"] == "error_during_execution"
        assert "secret" not in str(log.entries)

    async def test_left_after_its_result(self, log: CapturedAudit) -> None:
        """A stream that is left with its result is a success, one that is left before is unknown."""
        async with aclosing(messages(CLI(scripted()))) as stream:
            async for message in stream:
                if hasattr(message, "num_turns"):
                    break
        async with aclosing(messages(CLI(scripted()))) as stream:
            await anext(stream)
        assert [end for event, _, phase, end in told(log, "agent") if phase == "outcome"] == ["success", "unknown"]


class TestClient:
    async def test_each_prompt_is_a_run(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """A client's run begins with its prompt, by who prompts, and ends with the result; each is one trace."""
        cli = CLI(scripted(NOTE, "one", NOTE, "two"), {"note": note})
        async with ClaudeSDKClient(transport=cli) as client:
            for name in ("maya", "nils"):
                with acting_as(name, type="user"):
                    await client.query("go")
                async for _ in client.receive_response():
                    pass
        runs = [e for e in log.entries if e.event_name == "gen_ai.agent.invoke"]
        assert [(e.attributes["audit.actor.id"], e.attributes["audit.outcome"]) for e in runs] == [
            ("maya", "unknown"),
            ("maya", "success"),
            ("nils", "unknown"),
            ("nils", "success"),
        ]
        tools = [e for e in log.entries if e.event_name == "gen_ai.tool.execute"]
        assert [e.attributes["audit.delegation"] for e in tools] == [["maya", "claude"]] * 2 + [["nils", "claude"]] * 2
        traces = [f"{span.context.trace_id:032x}" for span in spans.get_finished_spans()]
        assert len(traces) == len(set(traces)) == 2
        assert [e.trace_id for e in log.entries] == [traces[0]] * 6 + [traces[1]] * 6

    async def test_prompt_to_connect_with(self, log: CapturedAudit) -> None:
        """A client that is connected with a prompt has a run of it."""
        client = ClaudeSDKClient(transport=CLI(scripted()))
        await client.connect("go")
        async for _ in client.receive_response():
            pass
        await client.disconnect()
        assert told(log, "agent") == [
            ("agent.invoke", "claude", "intent", "unknown"),
            ("agent.invoke", "claude", "outcome", "success"),
        ]

    async def test_disconnected_meanwhile(self, log: CapturedAudit) -> None:
        """What is under way when a client disconnects has the outcome unknown."""
        running = asyncio.Event()

        async def note(text: str) -> str:
            running.set()
            await asyncio.Event().wait()
            return text

        async with ClaudeSDKClient(transport=CLI(scripted(NOTE), {"note": note})) as client:
            await client.query("go")
            await running.wait()
        assert [what for what in told(log) if what[2] == "outcome"] == [
            ("tool.execute", "note", "outcome", "unknown"),
            ("agent.invoke", "claude", "outcome", "unknown"),
        ]

    async def test_not_connected(self, log: CapturedAudit) -> None:
        """A client that is not connected raises the SDK's own error, and there was no run."""
        with pytest.raises(CLIConnectionError, match="Not connected"):
            await ClaudeSDKClient(transport=CLI(scripted())).query("go")
        assert told(log) == []


class TestTools:
    async def test_intent_first(self, log: CapturedAudit) -> None:
        """A tool that reads the log finds its own intent there, as its last entry."""
        found: list[str] = []

        def note(text: str) -> str:
            found.append([entry.event_name for entry in read_log(log.path)][-1])
            return text

        await ask(CLI(scripted(NOTE), {"note": note}))
        assert found == ["gen_ai.tool.execute"]

    async def test_two_of_one_answer(self, log: CapturedAudit) -> None:
        """Two tools that one answer calls have a pair each, and the answer, told of in two messages, one entry."""
        await ask(CLI(scripted([*NOTE, ("note", "call-2", {"text": "y"})]), {"note": note}))
        answers = [e for e in log.entries if e.event_name == "gen_ai.model.call"]
        assert [e.attributes["gen_ai.usage.output_tokens"] for e in answers] == [3, 3]
        assert len(told(log, "tool")) == 4

    async def test_failing(self, log: CapturedAudit) -> None:
        """A tool that fails is a failure, without its message."""

        def note(text: str) -> str:
            raise ValueError("secret")

        await ask(CLI(scripted(NOTE), {"note": note}))
        end = log.entries[2].attributes
        assert (end["audit.outcome"], end["error.type"]) == ("failure", "tool_error")
        assert "secret" not in str(log.entries)

    async def test_in_process(self, log: CapturedAudit) -> None:
        """A tool of an in-process server has one pair, of the name that the model knows, and its agent acts in it."""
        seen: list[str] = []

        @tool("note", "Note something.", {"text": str})
        async def note(given: dict[str, Any]) -> dict[str, Any]:
            seen.append(str(log.provider.get_audit_logger("tool").emit("tool.look").seq))
            return {"content": [{"type": "text", "text": given["text"]}]}

        options = ClaudeAgentOptions(mcp_servers={"notes": create_sdk_mcp_server("notes", tools=[note])})
        with acting_as("maya", type="user"):
            await ask(CLI(scripted([("mcp__notes__note", "call-1", {"text": "x"})])), options)
        assert seen
        assert told(log, "tool.execute") == [
            ("tool.execute", "mcp__notes__note", "intent", "unknown"),
            ("tool.execute", "mcp__notes__note", "outcome", "success"),
        ]
        (look,) = [e for e in log.entries if e.event_name == "tool.look"]
        assert look.attributes["audit.delegation"] == ["maya", "claude"]

    async def test_in_process_beside_a_prompt(self, log: CapturedAudit) -> None:
        """A prompt that has a tool's name, and is asked for before the tool is called, leaves the call its one pair."""

        class Prompts(CLI):
            async def of_server(self, server: str, tool: str, given: dict[str, Any]) -> dict[str, Any]:
                await self._mcp(server, {"id": 0, "method": "prompts/get", "params": {"name": tool}})
                return await super().of_server(server, tool, given)

        @tool("note", "Note something.", {"text": str})
        async def note(given: dict[str, Any]) -> dict[str, Any]:
            return {"content": []}

        options = ClaudeAgentOptions(mcp_servers={"notes": create_sdk_mcp_server("notes", tools=[note])})
        await ask(Prompts(scripted([("mcp__notes__note", "call-1", {"text": "x"})])), options)
        assert [entry[2:] for entry in told(log, "tool.execute")] == [("intent", "unknown"), ("outcome", "success")]

    @pytest.mark.parametrize("fails", [False, True])
    async def test_in_process_without_hooks(self, log: CapturedAudit, fails: bool) -> None:
        """A tool that runs here is audited here, where no hook told of it."""

        @tool("note", "Note something.", {"text": str})
        async def note(given: dict[str, Any]) -> dict[str, Any]:
            return {"content": [], "is_error": fails}

        server = create_sdk_mcp_server("notes", tools=[note])
        async with ClaudeSDKClient(ClaudeAgentOptions(mcp_servers={"notes": server}), cli := CLI(scripted())):
            await cli.of_server("notes", "note", {"text": "x"})
        assert told(log) == [
            ("tool.execute", "mcp__notes__note", "intent", "unknown"),
            ("tool.execute", "mcp__notes__note", "outcome", "failure" if fails else "success"),
        ]

    async def test_without_hooks(self, log: CapturedAudit) -> None:
        """A tool of the other process that no hook told of has one entry, the outcome."""
        AuditInstrumentor().uninstrument()
        with instrumented(on_failure="open"):
            await ask(CLI(scripted(NOTE), {"note": note}, hooks=False))
        AuditInstrumentor().instrument(frameworks=["claude_agent_sdk"])
        assert told(log, "tool") == [("tool.execute", "note", "outcome", "success")]

    async def test_command_line_too_old(self, log: CapturedAudit) -> None:
        """A command line that would go on where a hook fails is refused by the SDK."""
        with pytest.raises(CLIConnectionError, match="on_failure"):
            await ask(CLI(scripted(NOTE), {"note": note}, hooks=False))
        assert told(log)[-1] == ("agent.invoke", "claude", "outcome", "failure")

    @pytest.mark.parametrize("where", ["there", "here", "here without hooks"])
    async def test_not_run_where_disk_is_full(self, disk: Path, where: str) -> None:
        """A tool whose intent cannot be written does not run in either process, and the session ends with the error."""
        ran: list[str] = []
        path = disk / "audit.jsonl"
        provider = otel_audit.configure(path)

        @tool("note", "Note something.", {"text": str})
        async def note(given: dict[str, Any]) -> dict[str, Any]:
            ran.append("here")
            return {"content": []}

        def full() -> Any:
            while -path.stat().st_size % 4096 > 300:
                otel_audit.get_audit_logger("filler").emit("fill")
            fill(disk)
            return [("mcp__notes__note" if where == "here" else "note", "call-1", {"text": "x"})]

        cli = CLI(full, {"note": lambda text: ran.append("there")})
        options = ClaudeAgentOptions(mcp_servers={"notes": create_sdk_mcp_server("notes", tools=[note])})
        async with ClaudeSDKClient(options, cli) as client:
            if where == "here without hooks":
                full()
                answer = await cli.of_server("notes", "note", {"text": "x"})
                assert answer["error"]["message"].startswith("refused")
            else:
                await client.query("go")
                with pytest.raises(AuditWriteError):
                    async for _ in client.receive_response():
                        pass
        assert ran == []
        (disk / "filler").unlink()
        provider.shutdown()
        assert verify_log(path).intact


class TestDecisions:
    @pytest.mark.parametrize(("allowed", "decision"), [(True, "allow"), (False, "block")])
    async def test_permission(self, log: CapturedAudit, allowed: bool, decision: str) -> None:
        """What the permission callback decides is recorded before it takes effect, by who runs the agent."""
        ran: list[str] = []

        async def can_use_tool(_name: str, _given: Any, _context: Any) -> Any:
            return PermissionResultAllow() if allowed else PermissionResultDeny(message="secret")

        def note(text: str) -> None:
            ran.append(text)

        cli = CLI(scripted(NOTE), {"note": note}, ask=("note",))
        with acting_as("maya", type="user"):
            await ask(cli, ClaudeAgentOptions(can_use_tool=can_use_tool))
        assert told(log, "tool") == [
            ("tool.execute", "note", "intent", "unknown"),
            ("tool.approve", "note", None, decision),
            ("tool.execute", "note", "outcome", "success" if allowed else "failure"),
        ]
        assert log.entries[2].attributes["audit.actor.id"] == "maya"
        assert log.entries[2].attributes["gen_ai.tool.call.id"] == "call-1"
        assert ran == (["x"] if allowed else [])
        assert "secret" not in str(log.entries)

    async def test_permission_that_cannot_be_recorded(self, disk: Path) -> None:
        """A permission that cannot be written is a refusal."""
        ran: list[str] = []
        provider = otel_audit.configure(disk / "audit.jsonl")

        async def can_use_tool(_name: str, _given: Any, _context: Any) -> Any:
            while -(disk / "audit.jsonl").stat().st_size % 4096 > 300:
                otel_audit.get_audit_logger("filler").emit("fill")
            fill(disk)
            return PermissionResultAllow()

        def note(text: str) -> None:
            ran.append(text)

        cli = CLI(scripted(NOTE), {"note": note}, ask=("note",))
        await ask(cli, ClaudeAgentOptions(can_use_tool=can_use_tool))
        assert ran == []
        assert [denial["tool_name"] for denial in cli.denials] == ["note"]
        (disk / "filler").unlink()
        provider.shutdown()

    @pytest.mark.parametrize(("said", "decision"), [("allow", "allow"), ("deny", "block"), (None, None)])
    async def test_hooks_of_the_program(self, log: CapturedAudit, said: str | None, decision: str | None) -> None:
        """The program's own hooks are asked as ever, for their own tools, and what they decide is recorded."""
        asked: list[str] = []

        async def policy(given: Any, tool_use_id: Any, _context: Any) -> Any:
            asked.append(f"{given['tool_name']} {tool_use_id}")
            return {"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": said}} if said else {}

        options = ClaudeAgentOptions(hooks={"PreToolUse": [HookMatcher("no.*", [policy])]})
        calls = [*NOTE, ("other", "call-2", {"text": "y"})]
        await ask(CLI(scripted(calls), {"note": note, "other": note}), options)
        assert asked == ["note call-1"]
        assert options.hooks is not None
        assert options.hooks["PreToolUse"][0].hooks == [policy]
        assert [what[3] for what in told(log, "approve")] == ([] if decision is None else [decision])
        ends = {
            e.attributes["gen_ai.tool.call.id"]: e.attributes for e in log.entries if "tool.execute" in e.event_name
        }
        assert ends["call-1"]["audit.outcome"] == ("failure" if said == "deny" else "success")
        assert ends["call-2"]["audit.outcome"] == "success"

    async def test_no_permission_for_what_the_hooks_deny(self, log: CapturedAudit) -> None:
        """A tool call that was denied says so in its outcome: the tool did not run."""

        async def deny(_given: Any, _id: Any, _context: Any) -> Any:
            return {"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "deny"}}

        options = ClaudeAgentOptions(hooks={"PreToolUse": [HookMatcher(hooks=[deny])]})
        await ask(CLI(scripted(NOTE), {"note": note}), options)
        (end,) = [e.attributes for e in log.entries if e.attributes.get("audit.reason")]
        assert end["audit.reason"] == "refused, or ended without a word of how"

    @pytest.mark.parametrize("denies", ["permission", "hook", "error"])
    async def test_denied_call_is_over(self, log: CapturedAudit, denies: str) -> None:
        """A call of a tool that comes after a denied one, and that no hook told of, is not taken for that one."""
        ran: list[str] = []

        @tool("refund", "Refund.", {"id": str})
        async def refund(given: dict[str, Any]) -> dict[str, Any]:
            ran.append(str([entry.attributes.get("audit.phase") for entry in log.entries][-1]))
            return {"content": [{"type": "text", "text": "refunded"}]}

        async def deny(*_given: Any) -> Any:
            if denies == "error":
                raise ValueError("cannot tell")
            return PermissionResultDeny(message="no") if denies == "permission" else _hook_output("deny")

        class Later(CLI):
            async def _call(self, name: str, call_id: str, given: dict[str, Any], of: dict[str, Any]) -> dict[str, Any]:
                block = await super()._call(name, call_id, given, of)
                if denies == "hook":  # the hooks were asked at once, in any order: what ends the call is its result
                    self._say({"type": "user", "message": {"role": "user", "content": [block]}}, None)
                await self.of_server("orders", "refund", given)
                return block

        name = "mcp__orders__refund"
        options = ClaudeAgentOptions(
            mcp_servers={"orders": create_sdk_mcp_server("orders", tools=[refund])},
            can_use_tool=None if denies == "hook" else deny,
            hooks={"PreToolUse": [HookMatcher(hooks=[deny])]} if denies == "hook" else None,
        )
        await ask(Later(scripted([(name, "call-1", {"id": "7"})]), ask=(name,) if denies != "hook" else ()), options)
        assert ran == ["intent"]
        assert [entry[2:] for entry in told(log, "tool.execute")].count(("intent", "unknown")) == 2


def _hook_output(decision: str) -> dict[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": decision}}


async def test_uninstrumented_meanwhile(log: CapturedAudit) -> None:
    """A session that is open while the SDK is uninstrumented goes on unaudited."""
    async with ClaudeSDKClient(transport=CLI(scripted(NOTE), {"note": note})) as client:
        AuditInstrumentor().uninstrument()
        await client.query("go")
        answers = [message async for message in client.receive_response()]
    assert len(answers) > 3
    assert told(log) == []
    AuditInstrumentor().instrument(frameworks=["claude_agent_sdk"])


def test_example(tmp_path: Path) -> None:
    """The example runs offline and prints who did what."""
    AuditInstrumentor().uninstrument()
    path = tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"OTEL_AUDIT_FILE": str(path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    printed = done.stdout.splitlines()
    assert printed[0] == "done"
    call = "maya@example.com > front-desk > clerk: intent gen_ai.tool.execute mcp__orders__refund"
    assert any(line.endswith(call) for line in printed)
    assert verify_log(path).findings == ()
