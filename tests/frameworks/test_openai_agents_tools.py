"""openai-agents: every kind of tool, and what stops it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    ApplyPatchTool,
    ComputerTool,
    CustomTool,
    FunctionTool,
    LocalShellTool,
    Runner,
    ShellTool,
    UserError,
    function_tool,
)
from agents.computer import Computer
from agents.editor import ApplyPatchOperation, ApplyPatchResult
from agents.mcp import MCPServerStdio
from agents.tool import invoke_function_tool
from agents.tool_context import ToolContext
from openai.types.responses import (
    ResponseApplyPatchToolCall,
    ResponseComputerToolCall,
    ResponseCustomToolCall,
    ResponseFunctionShellToolCall,
)
from openai.types.responses.response_output_item import LocalShellCall

import otel_audit
from otel_audit import AuditFileLogExporter, AuditProvider, AuditWriteError, acting_as, set_audit_provider, verify_log
from otel_audit.reader import read_log
from otel_audit.testing import CapturedAudit
from tests.disk import fill
from tests.frameworks.openai_agents_script import (
    RUNS,
    Script,
    audited,
    call,
    of,
    run_async,
    say,
    told,
)

SERVERS = Path(__file__).parents[1] / "integration" / "servers"

Effect = Callable[[], Any]
"""What a tool does; its text is what the tool returns."""


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit openai-agents in every test."""
    with audited():
        yield


def plain(effect: Effect) -> tuple[Any, Any]:
    """A plain function."""

    @function_tool
    def work() -> str:
        """Work."""
        return str(effect())

    return work, call("work", "call_1")


def coroutine(effect: Effect) -> tuple[Any, Any]:
    """A coroutine function."""

    @function_tool
    async def work() -> str:
        """Work."""
        return str(effect())

    return work, call("work", "call_1")


def with_timeout(effect: Effect) -> tuple[Any, Any]:
    """A function with a timeout."""

    @function_tool(timeout=60)
    async def work() -> str:
        """Work."""
        return str(effect())

    return work, call("work", "call_1")


def by_hand(effect: Effect) -> tuple[Any, Any]:
    """A tool made by hand."""

    async def invoke(_context: ToolContext[Any], _arguments: str) -> str:
        return str(effect())

    return FunctionTool("work", "Work.", {"type": "object", "properties": {}}, invoke), call("work", "call_1")


def subclass(effect: Effect) -> tuple[Any, Any]:
    """A subclass whose own method is the tool."""

    @dataclasses.dataclass
    class Work(FunctionTool):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("work", "Work.", {"type": "object", "properties": {}}, self._invoke)

        async def _invoke(self, _context: ToolContext[Any], _arguments: str) -> str:
            return str(effect())

    return Work(), call("work", "call_1")


def custom(effect: Effect) -> tuple[Any, Any]:
    """A tool with free text for input."""

    async def invoke(_context: ToolContext[Any], _text: str) -> str:
        return str(effect())

    item = ResponseCustomToolCall(call_id="call_1", input="text", name="work", type="custom_tool_call")
    return CustomTool("work", "Work.", invoke), item


def shell(effect: Effect) -> tuple[Any, Any]:
    """The shell tool."""
    action: Any = {"commands": ["work"], "timeout_ms": None, "max_output_length": None}
    item = ResponseFunctionShellToolCall(
        id="item_1", call_id="call_1", action=action, status="completed", type="shell_call"
    )
    return ShellTool(lambda _request: str(effect()), name="work"), item


def local_shell(effect: Effect) -> tuple[Any, Any]:
    """The local shell tool."""
    action: Any = {"command": ["work"], "env": {}, "type": "exec"}
    item = LocalShellCall(id="item_1", call_id="call_1", action=action, status="completed", type="local_shell_call")
    return LocalShellTool(lambda _request: str(effect())), item


def apply_patch(effect: Effect) -> tuple[Any, Any]:
    """The tool that edits files."""

    class Editor:
        def delete_file(self, _operation: ApplyPatchOperation) -> ApplyPatchResult:
            return ApplyPatchResult(output=str(effect()))

        create_file = update_file = delete_file

    operation: Any = {"type": "delete_file", "path": "a.txt"}
    item = ResponseApplyPatchToolCall(
        id="item_1", call_id="call_1", operation=operation, status="completed", type="apply_patch_call"
    )
    return ApplyPatchTool(Editor(), name="work"), item


def computer(effect: Effect) -> tuple[Any, Any]:
    """The tool that clicks and types."""

    class Screen(Computer):  # type: ignore[misc]
        environment = "linux"
        dimensions = (1, 1)

        def screenshot(self) -> str:
            return "aGVsbG8="

        def wait(self) -> None:
            effect()

        click = double_click = scroll = type = move = keypress = drag = wait

    action: Any = {"type": "wait"}
    item = ResponseComputerToolCall(
        id="item_1",
        call_id="call_1",
        action=action,
        pending_safety_checks=[],
        status="completed",
        type="computer_call",
    )
    return ComputerTool(Screen()), item


def agent_as_tool(effect: Effect) -> tuple[Any, Any]:
    """An agent of its own, which does it by a tool."""
    tool, item = coroutine(effect)
    inner = Agent(name="inner", model=Script([item], [say("done")]), tools=[tool])
    return inner.as_tool("ask", "Ask."), call("ask", "call_0", '{"input": "go"}')


FUNCTIONS = [plain, coroutine, with_timeout, by_hand, subclass]
NATIVE = [custom, shell, local_shell, apply_patch, computer]
KINDS = pytest.mark.parametrize("kind", [*FUNCTIONS, *NATIVE, agent_as_tool])


def worker(kind: Callable[[Effect], tuple[Any, Any]], effect: Effect) -> Agent[Any]:
    """Return an agent that uses a tool of one kind, and ends."""
    tool, item = kind(effect)
    return Agent(name="worker", model=Script([item], [say("done")]), tools=[tool])


class TestIntent:
    @KINDS
    @RUNS
    def test_before_the_side_effect(self, log: CapturedAudit, kind: Any, run: Any) -> None:
        """The tool finds its own intent in the log, as the last entry."""
        seen: list[str] = []
        assert run(worker(kind, lambda: seen.append(told(log)[-1]))) == "done"
        (last,) = seen
        assert last.startswith("tool ")
        assert last.endswith(" intent")
        name = last.split()[1]
        assert [line for line in told(log) if line.startswith(f"tool {name} ")] == [
            f"tool {name} intent",
            f"tool {name} success",
        ]

    @KINDS
    def test_members(self, log: CapturedAudit, kind: Any) -> None:
        """Both entries name the call, the tool and the agent; the outcome names its intent."""
        run_async(worker(kind, lambda: None))
        intent, outcome = (next(iter(of(log, "tool", name))) for name in ("intent", "success"))
        ids = {entry.attributes["audit.record.id"] for entry in log.entries}
        assert outcome["audit.intent.id"] in ids
        for attributes in (intent, outcome):
            assert attributes["gen_ai.operation.name"] == "execute_tool"
            assert attributes["gen_ai.tool.name"] == attributes["audit.target.id"]
            assert attributes["audit.target.type"] == "tool"
            assert attributes["gen_ai.tool.call.id"].startswith("call_")
            assert attributes["gen_ai.agent.name"] == attributes["audit.actor.id"]
            assert not {"audit.arguments", "audit.result"} & set(attributes)

    @KINDS
    @RUNS
    def test_unrecorded_tool_does_not_run(self, log: CapturedAudit, kind: Any, run: Any) -> None:
        """Where the intent cannot be written, the tool does not run."""
        seen: list[str] = []
        agent = worker(kind, lambda: seen.append("ran"))
        step = first_step(agent)

        async def fail() -> list[Any]:
            log.fail(OSError("disk full"), times=99)
            return step

        agent.model.steps[0] = fail
        with unwritten():
            run(agent)
        assert seen == []

    @KINDS
    @pytest.mark.parametrize("on_failure", ["closed", "open"])
    def test_full_disk(self, disk: Path, kind: Any, on_failure: Any) -> None:
        """On a full disk the tool does not run; where failures are open it does, and the loss is declared."""
        path = disk / "audit.jsonl"
        seen: list[str] = []
        agent = worker(kind, lambda: seen.append("ran"))
        answer = first_step(agent)

        async def fill_disk() -> list[Any]:
            fill(disk)
            with contextlib.suppress(AuditWriteError):
                while otel_audit.get_audit_logger("test").emit("test.filler").recorded:
                    pass  # the rest of the log's last page
            return answer

        agent.model.steps[0] = fill_disk
        provider = AuditProvider(AuditFileLogExporter(str(path), durability="os"), on_failure=on_failure)
        before = set_audit_provider(provider)
        try:
            with unwritten() if on_failure == "closed" else contextlib.nullcontext():
                run_async(agent)
            (disk / "filler").unlink()
        finally:
            set_audit_provider(before)
            provider.shutdown()
        assert seen == ([] if on_failure == "closed" else ["ran"])
        assert verify_log(path).intact
        assert any(entry.event_name == "audit.log.dropped" for entry in read_log(path))

    def test_inside_an_agent_as_a_tool(self, log: CapturedAudit) -> None:
        """A tool of an inner agent that cannot be recorded does not run; the framework tells the outer agent so."""
        seen: list[str] = []

        async def fail() -> list[Any]:
            log.fail(OSError("disk full"), times=2)  # the model's outcome, and the tool's intent
            return [item]

        tool, item = coroutine(lambda: seen.append("ran"))
        inner = Agent(name="inner", model=Script(fail), tools=[tool])
        agent = Agent(
            name="outer",
            model=Script([call("ask", "call_0", '{"input": "go"}')], [say("done")]),
            tools=[inner.as_tool("ask", "Ask.")],
        )
        assert run_async(agent) == "done"
        assert seen == []
        (ended,) = of(log, "tool", "failure")
        assert ended["audit.target.id"] == "ask"


class TestOutcome:
    @KINDS
    @RUNS
    def test_failing(self, log: CapturedAudit, kind: Any, run: Any) -> None:
        """A tool that raises failed, also where the framework makes a text for the model of it."""

        def fail() -> None:
            raise LookupError("secret text")

        with contextlib.suppress(LookupError, UserError):
            run(worker(kind, fail))
        (ended, *_) = of(log, "tool", "failure")
        assert ended["error.type"] == "LookupError"
        assert "secret text" not in Path(log.path).read_text(encoding="utf-8")

    def test_error_is_raised(self, log: CapturedAudit) -> None:
        """An exception that the framework lets through is the cause of its own, as without auditing."""
        error = LookupError("none")

        @function_tool(failure_error_function=None)
        def work() -> None:
            """Work."""
            raise error

        with pytest.raises(UserError) as raised:
            run_async(Agent(name="a", model=Script([call("work", "c")]), tools=[work]))
        assert raised.value.__cause__ is error
        assert of(log, "tool")[-1]["error.type"] == "LookupError"

    def test_wrong_arguments(self, log: CapturedAudit) -> None:
        """A call with arguments that the tool does not take failed by the framework's own error."""
        seen: list[int] = []

        @function_tool
        def work(number: int) -> None:
            """Work."""
            seen.append(number)

        steps = [call("work", "c1", '{"number": "x"}'), call("work", "c2", "no JSON")], [say("done")]
        assert run_async(Agent(name="a", model=Script(*steps), tools=[work])) == "done"
        assert seen == []
        kinds = {attributes["error.type"] for attributes in of(log, "tool", "failure")}
        assert kinds == {"agents.exceptions.ModelBehaviorError"}

    @pytest.mark.parametrize("told_by", ["framework", "program", "exception"])
    def test_timeout(self, log: CapturedAudit, told_by: str) -> None:
        """A tool that ran into its timeout failed, whoever words it for the model."""
        by: dict[str, dict[str, Any]] = {
            "framework": {},
            "program": {"timeout_error_function": lambda _context, _error: "too slow"},
            "exception": {"timeout_behavior": "raise_exception"},
        }

        @function_tool(timeout=0.01, **by[told_by])
        async def work() -> None:
            """Work."""
            await asyncio.Event().wait()

        with contextlib.suppress(Exception):
            run_async(Agent(name="a", model=Script([call("work", "c")], [say("done")]), tools=[work]))
        (ended,) = of(log, "tool", "failure")
        assert ended["error.type"] == "agents.exceptions.ToolTimeoutError"

    @KINDS
    def test_lost(self, log: CapturedAudit, kind: Any) -> None:
        """Where the outcome cannot be written, the tool's result comes through."""

        def work() -> str:
            log.fail(OSError("disk full"))
            return "result"

        assert run_async(worker(kind, work)) == "done"
        assert len(of(log, "tool", "intent")) == len(of(log, "tool", "success")) + 1

    def test_failed_patch(self, log: CapturedAudit) -> None:
        """A patch whose editor says that it failed, failed."""
        tool, item = apply_patch(lambda: None)
        tool.editor = type(
            "Editor", (), {"delete_file": lambda _self, _operation: ApplyPatchResult(status="failed", output="no")}
        )()
        run_async(Agent(name="a", model=Script([item], [say("done")]), tools=[tool]))
        assert of(log, "tool", "failure")[0]["error.type"] == "tool_error"


class TestParallel:
    @pytest.mark.parametrize("sync", [False, True])
    def test_at_the_same_time(self, log: CapturedAudit, sync: bool) -> None:
        """Calls of one turn run in parallel still, and each intent has its own outcome."""
        count = 4
        all_begun = threading.Barrier(count, timeout=30)
        all_arrived = asyncio.Event()
        arrived: list[int] = []

        @function_tool
        def blocking(number: int) -> None:
            """Wait for the others."""
            all_begun.wait()
            if number % 2:
                raise LookupError

        @function_tool
        async def waiting(number: int) -> None:
            """Wait for the others."""
            arrived.append(number)
            if len(arrived) == count:
                all_arrived.set()
            await asyncio.wait_for(all_arrived.wait(), 30)
            if number % 2:
                raise LookupError

        name = "blocking" if sync else "waiting"
        calls = [call(name, f"call_{i}", json.dumps({"number": i})) for i in range(count)]
        run_async(Agent(name="a", model=Script(calls, [say("done")]), tools=[blocking, waiting]))
        intents = {a["audit.record.id"]: a["gen_ai.tool.call.id"] for a in of(log, "tool", "intent")}
        ends = [a for a in of(log, "tool") if "audit.intent.id" in a]
        assert {a["gen_ai.tool.call.id"]: a["audit.outcome"] for a in ends} == {
            f"call_{i}": "failure" if i % 2 else "success" for i in range(count)
        }
        assert all(intents[a["audit.intent.id"]] == a["gen_ai.tool.call.id"] for a in ends)


class TestActor:
    def test_agent_as_a_tool(self, log: CapturedAudit) -> None:
        """An inner agent acts on behalf of the outer one, whose tool call and run it is."""
        with acting_as("ann", type="user"):
            run_async(worker(agent_as_tool, lambda: None))
        assert told(log, "agent", "tool") == [
            "agent worker intent",
            "tool ask intent",
            "agent inner intent",
            "tool work intent",
            "tool work success",
            "agent inner success",
            "tool ask success",
            "agent worker success",
        ]
        delegations = [a.get("audit.delegation") for a in of(log, "tool", "intent")]
        assert delegations == [["ann", "worker"], ["ann", "worker", "inner"]]
        assert of(log, "agent", "intent")[1]["audit.delegation"] == ["ann", "worker"]

    @KINDS
    def test_entries_of_the_tool_itself(self, log: CapturedAudit, kind: Any) -> None:
        """What a tool records itself is by the agent that called it."""

        @otel_audit.audited("order.refund")
        def refund() -> None:
            pass

        run_async(worker(kind, refund))
        actors = {entry.attributes["audit.actor.id"] for entry in log.entries if entry.event_name == "order.refund"}
        assert actors == {"inner" if kind is agent_as_tool else "worker"}


class TestElsewhere:
    def test_invoked_by_the_program(self, log: CapturedAudit) -> None:
        """A tool that a program invokes by the framework's function is audited; without a run, its agent acts."""
        tool, _ = plain(lambda: "done")
        agent = Agent(name="worker")
        context = ToolContext(None, tool_name="work", tool_call_id="call_9", tool_arguments="{}", agent=agent)
        result = asyncio.run(invoke_function_tool(function_tool=tool, context=context, arguments="{}"))
        assert result == "done"
        assert told(log) == ["tool work intent", "tool work success"]
        assert of(log, "tool", "success")[0]["audit.actor.id"] == "worker"

    # Where fastmcp is imported, too, it warns of a name that the framework reads.
    @pytest.mark.filterwarnings("ignore:.*isError")
    @pytest.mark.parametrize("name", ["write_note", "fail"])
    def test_mcp_server(self, log: CapturedAudit, tmp_path: Path, name: str) -> None:
        """A tool of an MCP server is audited; a result that says it is an error is a failure."""
        file = tmp_path / "note.txt"
        arguments = {"path": str(file), "text": "x"} if name == "write_note" else {"message": "no"}
        env = {"OTEL_AUDIT_FILE": str(tmp_path / "server.jsonl"), "OTEL_SERVICE_NAME": "notes"}

        async def main() -> str:
            parameters: Any = {"command": sys.executable, "args": [str(SERVERS / "notes.py")], "env": env}
            async with MCPServerStdio(parameters, client_session_timeout_seconds=60) as server:
                steps = [call(name, "call_1", json.dumps(arguments))], [say("done")]
                agent = Agent(name="worker", model=Script(*steps), mcp_servers=[server])
                return str((await Runner.run(agent, "go")).final_output)

        assert asyncio.run(main()) == "done"
        assert file.exists() == (name == "write_note")
        assert told(log, "tool") == [
            f"tool {name} intent",
            f"tool {name} {'success' if name == 'write_note' else 'failure'}",
        ]


def first_step(agent: Agent[Any]) -> list[Any]:
    """Return what the agent's model says first."""
    step = agent.model.steps[0]
    assert isinstance(step, list)
    return step


@contextlib.contextmanager
def unwritten() -> Iterator[None]:
    """Expect that an entry could not be written, or the framework's own error around it."""
    with pytest.raises((AuditWriteError, UserError)) as raised:
        yield
    error: BaseException | None = raised.value
    while error is not None and not isinstance(error, AuditWriteError):
        error = error.__cause__
    assert error is not None
