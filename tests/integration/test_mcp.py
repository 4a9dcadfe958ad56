from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs mcp")
pytest.importorskip("opentelemetry.instrumentation", reason="needs the extra 'instrument'")

import mcp.client.stdio
from mcp import ClientSession, StdioServerParameters, stdio_client
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider

import otel_audit
from otel_audit import AuditInstrumentor, acting_as, read_log, verify_log
from otel_audit.entry import Entry
from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.mcp import RequestAuditor
from otel_audit.testing import capture_audit
from tests.integration.repository import make_repository

MCP_1 = version("mcp").startswith("1.")
NOTES = str(Path(__file__).parent / "servers" / "notes.py")
SECRET = "canary-5f2c"

tracer = TracerProvider().get_tracer("tests")


@pytest.fixture(autouse=True)
def service_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process a name, which servers inherit."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "agent")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A log, with auditing configured and MCP instrumented."""
    path = tmp_path / "audit.jsonl"
    provider = otel_audit.configure(path, durability="os")
    AuditInstrumentor().instrument(frameworks=["mcp"])
    yield path
    AuditInstrumentor().uninstrument()
    provider.shutdown()


@asynccontextmanager
async def connected(*args: str, **env: str) -> AsyncIterator[ClientSession]:
    """Start a server over stdio and connect to it; the notes server if none is named."""
    parameters = StdioServerParameters(command=sys.executable, args=list(args or (NOTES,)), env=env)
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


@contextmanager
def served_over_http() -> Iterator[str]:
    """Run the notes server over HTTP; the URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, NOTES, str(port)], stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stderr or ():
            if "running on" in line:
                break
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.terminate()
        server.communicate(timeout=30)


def acts(path: Path, *ends: str) -> list[Entry]:
    """The entries of MCP requests in a log, of the named ends."""
    return [entry for entry in read_log(path) if entry.attributes.get("span.kind") in (ends or ("client", "server"))]


def summary(entry: Entry) -> tuple[Any, ...]:
    """Return end, event, target, phase, outcome and type of error."""
    attributes = entry.attributes
    return (
        attributes["span.kind"],
        entry.event_name,
        attributes.get("audit.target.id"),
        attributes.get("audit.phase"),
        attributes["audit.outcome"],
        attributes.get("error.type"),
    )


def text(result: Any) -> str:
    """Return what a tool said."""
    part = result.content[0].text
    assert isinstance(part, str)
    return part


class TestRealServer:
    @pytest.mark.mcp2
    @pytest.mark.skipif(find_spec("mcp_server_git") is None, reason="needs mcp-server-git")
    async def test_audits_the_tools_of_mcp_server_git(self, path: Path, tmp_path: Path) -> None:
        """Each tool call on the real git server is an intent and an outcome of the acting agent."""
        repository = make_repository(tmp_path / "repository")
        with acting_as("maya", type="user"), acting_as("agent"):
            async with connected("-m", "mcp_server_git", "--repository", str(repository)) as session:
                await session.call_tool("git_log", {"repo_path": str(repository)})
                await session.call_tool("git_show", {"repo_path": str(repository), "revision": "no-such-tag"})
                with pytest.raises(Exception, match="Unknown tool"):
                    await session.call_tool("git_fly", {})
        entries = acts(path)
        assert [summary(entry) for entry in entries] == [
            ("client", "gen_ai.tool.execute", "git_log", "intent", "unknown", None),
            ("client", "gen_ai.tool.execute", "git_log", "outcome", "success", None),
            ("client", "gen_ai.tool.execute", "git_show", "intent", "unknown", None),
            ("client", "gen_ai.tool.execute", "git_show", "outcome", "failure", "tool_error"),
            ("client", "gen_ai.tool.execute", "git_fly", "intent", "unknown", None),
            ("client", "gen_ai.tool.execute", "git_fly", "outcome", "failure", "-32602"),
        ]
        for entry in entries:
            assert entry.attributes["audit.actor.id"] == "agent"
            assert entry.attributes["audit.delegation"] == ["maya", "agent"]
            assert entry.attributes["audit.target.type"] == "tool"
            assert entry.attributes["audit.action"] == "EXECUTE"
            assert entry.attributes["gen_ai.operation.name"] == "execute_tool"
            assert entry.attributes["mcp.method.name"] == "tools/call"
        assert verify_log(path).intact


class TestBothEnds:
    async def test_write_one_chain_in_one_trace(self, path: Path) -> None:
        """Client and server write to one log: nested entries, two processes, one trace, an intact chain."""
        async with connected() as session:
            with tracer.start_as_current_span("run") as span:
                await session.call_tool("fail", {"message": "no"})
        entries = acts(path)
        assert [summary(entry) for entry in entries] == [
            ("client", "gen_ai.tool.execute", "fail", "intent", "unknown", None),
            ("server", "gen_ai.tool.execute", "fail", "intent", "unknown", None),
            ("server", "gen_ai.tool.execute", "fail", "outcome", "failure", "tool_error"),
            ("client", "gen_ai.tool.execute", "fail", "outcome", "failure", "tool_error"),
        ]
        assert {entry.trace_id for entry in entries} == {f"{span.get_span_context().trace_id:032x}"}
        assert len({entry.resource["process.pid"] for entry in entries}) == 2
        report = verify_log(path)
        assert report.intact
        assert not report.findings

    async def test_share_a_trace_where_the_program_opens_none(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A call outside every span still has one trace on both ends."""
        provider = TracerProvider()
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
        async with connected() as session:
            await session.call_tool("environment", {})
        ids = {entry.trace_id for entry in acts(path)}
        assert len(ids) == 1
        assert ids != {None}

    async def test_follow_the_caller(self) -> None:
        """A server in the same process is in the trace of each call, not in that of its start."""
        with capture_audit() as captured, instrumented(), tracer.start_as_current_span("start"):
            async with in_process() as session:
                with tracer.start_as_current_span("call", context=Context()) as span:
                    await session.call_tool("add", {"a": 1, "b": 2})
            entries = captured.entries
        assert len(entries) == 4
        assert {entry.trace_id for entry in entries} == {f"{span.get_span_context().trace_id:032x}"}

    async def test_read_resources_and_get_prompts(self, path: Path) -> None:
        """Resource reads and prompts are audited like tools, under their own event names."""
        uri: Any = "note://today"
        if MCP_1:
            from pydantic import AnyUrl

            uri = AnyUrl(uri)
        async with connected() as session:
            await session.read_resource(uri)
            await session.get_prompt("greeting", {"name": "Maya"})
            with pytest.raises(Exception, match="Unknown prompt"):
                await session.get_prompt("nothing", {})
        client, server = acts(path, "client"), acts(path, "server")
        assert [summary(entry)[1:5] for entry in client] == [
            ("mcp.resource.read", "note://today", "intent", "unknown"),
            ("mcp.resource.read", "note://today", "outcome", "success"),
            ("mcp.prompt.get", "greeting", "intent", "unknown"),
            ("mcp.prompt.get", "greeting", "outcome", "success"),
            ("mcp.prompt.get", "nothing", "intent", "unknown"),
            ("mcp.prompt.get", "nothing", "outcome", "failure"),
        ]
        assert [summary(entry)[1:5] for entry in server] == [summary(entry)[1:5] for entry in client]
        assert client[0].attributes["mcp.resource.uri"] == "note://today"
        assert client[0].attributes["audit.action"] == "READ"

    async def test_name_the_session_of_http(self, path: Path) -> None:
        """Over HTTP, the server's entries carry the session's id."""
        connect: Any = import_module("mcp.client.streamable_http").streamable_http_client
        with served_over_http() as url:
            async with connect(url) as streams, ClientSession(*streams[:2]) as session:
                await session.initialize()
                with tracer.start_as_current_span("run"):
                    await session.call_tool("environment", {})
        ids = {entry.attributes.get("mcp.session.id") for entry in acts(path, "server")}
        assert len(ids) == 1
        assert ids != {None}
        assert len({entry.trace_id for entry in acts(path)}) == 1

    async def test_name_the_same_principal(self, tmp_path: Path) -> None:
        """Where actors are propagated and believed, the server's entries name who called, for whom."""
        path = tmp_path / "audit.jsonl"
        with (
            otel_audit.configure(path, durability="os", propagate_actor=True, trust_baggage=True),
            instrumented(),
            acting_as("maya", type="user"),
            acting_as("agent"),
        ):
            async with connected() as session:
                await session.call_tool("environment", {})
        for entry in acts(path, "server"):
            assert entry.attributes["audit.actor.id"] == "agent"
            assert entry.attributes["audit.delegation"] == ["maya", "agent"]

    async def test_keep_parallel_calls_apart(self, path: Path, tmp_path: Path) -> None:
        """Of calls that overlap, each has one intent and one outcome that names it."""
        async with connected() as session:
            calls = ({"path": str(tmp_path / f"note-{number}"), "text": ""} for number in range(10))
            await asyncio.gather(*(session.call_tool("write_note", call) for call in calls))
        for end in ("client", "server"):
            entries = acts(path, end)
            intents = [e.attributes["audit.record.id"] for e in entries if e.attributes["audit.phase"] == "intent"]
            outcomes = [e.attributes["audit.intent.id"] for e in entries if e.attributes["audit.phase"] == "outcome"]
            assert len(intents) == 10
            assert set(intents) == set(outcomes)

    async def test_take_any_name_and_any_metadata(self, path: Path) -> None:
        """A tool name over the limit of a target, and a trace context that is none, are recorded, not refused."""
        name = "x" * 10_000
        meta: Any = {"traceparent": 5, "baggage": "%%%"}
        async with connected() as session:
            result = await session.call_tool(name, {}, meta=meta)
        assert "Unknown tool" in text(result)
        for entry in acts(path):
            assert entry.attributes["gen_ai.tool.name"] == name
            assert entry.attributes["audit.target.id"] == name[:1024]


class TestIntent:
    async def test_is_on_disk_before_the_tool_runs(self, path: Path) -> None:
        """A tool that reads the log finds its own intent at the end."""
        async with connected() as session:
            result = await session.call_tool("last_line_of_log", {})
        found = json.loads(text(result))
        assert found["seq"] == acts(path, "server")[0].seq
        assert found["attributes"]["audit.phase"] == "intent"

    async def test_of_a_cancelled_call_gets_an_outcome(self, path: Path) -> None:
        """A call that the client gives up on ends as a failure that says so."""
        async with connected() as session:
            task = asyncio.create_task(session.call_tool("sleep", {"seconds": 0.5}))
            async with asyncio.timeout(30):
                while not acts(path, "server"):  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.02)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            # mcp 1 cannot leave while the late answer is on its way.
            await session.list_tools()
        outcome = acts(path, "client")[-1]
        assert summary(outcome)[3:] == ("outcome", "failure", "asyncio.exceptions.CancelledError")


if find_spec("mcp.shared.experimental") is not None:  # the last versions of mcp 1

    class TestTask:
        async def test_is_a_tool_call_of_the_client(self) -> None:
            """A tool that is called as a task has the client's pair, with its intent before the server's."""
            types, lowlevel = import_module("mcp.types"), import_module("mcp.server.lowlevel")
            connect = import_module("mcp.shared.memory").create_connected_server_and_client_session
            server = lowlevel.Server("tasks")

            async def begin(request: Any) -> Any:
                now = datetime.now(UTC)
                task = types.Task(taskId="task-1", status="working", createdAt=now, lastUpdatedAt=now, ttl=60000)
                return types.ServerResult(types.CreateTaskResult(task=task))

            server.request_handlers[types.CallToolRequest] = begin
            with capture_audit() as captured, instrumented():
                async with connect(server) as session:
                    with pytest.deprecated_call():
                        tasks = session.experimental
                    assert (await tasks.call_tool_as_task("add", {"a": 1})).task.taskId == "task-1"
                assert [summary(entry)[0:1] + summary(entry)[2:5] for entry in captured.entries] == [
                    ("client", "add", "intent", "unknown"),
                    ("server", "add", "intent", "unknown"),
                    ("server", "add", "outcome", "unknown"),
                    ("client", "add", "outcome", "unknown"),
                ]


class TestContent:
    async def test_is_not_recorded(self, path: Path, tmp_path: Path) -> None:
        """Arguments, results and messages of errors stay out of the log."""
        async with connected() as session:
            await session.call_tool("write_note", {"path": str(tmp_path / "note"), "text": SECRET})
            await session.call_tool("fail", {"message": SECRET})
            await session.get_prompt("greeting", {"name": SECRET})
        assert len(acts(path)) == 12
        assert all(SECRET.encode() not in entry.raw for entry in read_log(path))

    async def test_is_recorded_where_asked_for(self, tmp_path: Path) -> None:
        """``capture`` records the arguments it names, ``capture_result`` the result."""
        path = tmp_path / "audit.jsonl"
        note = str(tmp_path / "note")
        with (
            otel_audit.configure(path, durability="os"),
            instrumented(capture=("path",), capture_result=True),
        ):
            async with connected() as session:
                await session.call_tool("write_note", {"path": note, "text": SECRET})
        intent, outcome = acts(path, "client")
        assert intent.attributes["audit.arguments"] == {"path": note}
        result: Any = outcome.attributes["audit.result"]
        assert result["content"][0]["text"] == f"wrote {SECRET}"


class TestFailClosed:
    async def test_the_client_does_not_call(self, tmp_path: Path) -> None:
        """Where the client's intent cannot be written, the call is not made."""
        note = tmp_path / "note"
        with instrumented(), capture_audit() as captured:
            async with connected(OTEL_AUDIT_FILE=str(tmp_path / "server.jsonl")) as session:
                captured.fail(OSError(28, "No space left on device"))
                with pytest.raises(AuditError):
                    await session.call_tool("write_note", {"path": str(note), "text": "a"})
                assert not note.exists()
                await session.call_tool("write_note", {"path": str(note), "text": "a"})
        assert note.exists()

    async def test_the_client_calls_where_it_is_told_to(self, tmp_path: Path) -> None:
        """With ``on_failure="open"`` the call is made, and goes unrecorded."""
        with capture_audit() as captured, instrumented(on_failure="open"):
            async with in_process() as session:
                captured.fail(OSError(28, "No space left on device"), times=4)
                assert text(await session.call_tool("add", {"a": 1, "b": 2})) == "3"
            assert not captured.entries

    async def test_a_result_goes_through(self) -> None:
        """A result comes through though neither end can write its outcome, and the loss is declared."""
        with capture_audit() as captured, instrumented():
            async with in_process(before_result=lambda: captured.fail(OSError(28, "full"), times=2)) as session:
                assert text(await session.call_tool("add", {"a": 1, "b": 2})) == "3"
            assert [entry.attributes["audit.phase"] for entry in captured.entries] == ["intent", "intent"]
            otel_audit.get_audit_logger("test").emit("test.next")
            [declared] = [entry for entry in read_log(captured.path) if entry.event_name == "audit.log.dropped"]
            assert declared.attributes["audit.dropped.count"] == 2

    async def test_a_result_goes_through_whatever_it_is(self) -> None:
        """A result that raises where it is looked at comes through, and the outcome is written."""

        class Odd:
            @property
            def is_error(self) -> bool:
                raise ValueError

        async def request() -> Odd:
            return odd

        odd = Odd()
        with capture_audit() as captured:
            auditor = RequestAuditor(otel_audit.get_audit_logger("test"), FrameworkSettings(), "client")
            assert await auditor.run(await auditor.start("tools/call", "odd", None), request) is odd
            assert [entry.attributes["audit.phase"] for entry in captured.entries] == ["intent", "outcome"]

    @pytest.mark.parametrize("on_failure", ["closed", "open"])
    async def test_the_server_refuses_and_lives(self, path: Path, tmp_path: Path, on_failure: str) -> None:
        """A server that cannot write does not run the tool unless told to, and answers with an error."""
        note = tmp_path / "note"
        full = str(tmp_path / "full.jsonl")
        async with connected(
            OTEL_AUDIT_FILE=full, OTEL_AUDIT_ON_FAILURE=on_failure, NOTES_MAX_FILE_BYTES="100"
        ) as session:
            if on_failure == "closed":
                with pytest.raises(Exception, match="could not be recorded in the audit log") as caught:
                    await session.call_tool("write_note", {"path": str(note), "text": "a"})
                assert full not in str(caught.value)
            else:
                await session.call_tool("write_note", {"path": str(note), "text": "a"})
            assert note.exists() == (on_failure == "open")
            assert (await session.list_tools()).tools
        outcome = acts(path, "client")[-1]
        assert summary(outcome)[4:] == (("failure", "-32603") if on_failure == "closed" else ("success", None))


class TestEnvironment:
    async def test_of_the_server_has_the_settings(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stdio server is given OTEL_* variables, without credentials, and its own settings win."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key={SECRET}")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
        async with connected(OTEL_SERVICE_NAME="notes") as session:
            environment = json.loads(text(await session.call_tool("environment", {})))
        assert environment["OTEL_AUDIT_FILE"] == str(path)
        assert environment["OTEL_TRACES_SAMPLER"] == "always_on"
        assert environment["OTEL_SERVICE_NAME"] == "notes"
        assert "OTEL_EXPORTER_OTLP_HEADERS" not in environment


class TestUninstrument:
    def test_leaves_identical_objects(self) -> None:
        """Instrumenting and uninstrumenting, twice, leaves each member of mcp's classes the object it was."""
        from mcp.server.lowlevel.server import Server

        owners: tuple[Any, ...] = (*ClientSession.__mro__[:-1], Server, mcp.client.stdio)
        before = [members(owner) for owner in owners]
        for _ in range(2):
            with instrumented():
                assert [members(owner) for owner in owners] != before
            assert [members(owner) for owner in owners] == before

    async def test_reaches_sessions_and_servers_that_run(self, tmp_path: Path) -> None:
        """A session and a server that were audited are no longer, once uninstrumented."""
        with capture_audit() as captured:
            with instrumented():
                async with in_process() as session:
                    await session.call_tool("add", {"a": 1, "b": 2})
                    audited = len(captured.entries)
                    AuditInstrumentor().uninstrument()
                    await session.call_tool("add", {"a": 1, "b": 2})
                    assert len(captured.entries) == audited
            ends = [entry.attributes["span.kind"] for entry in captured.entries if "span.kind" in entry.attributes]
        assert ends == ["client", "server", "server", "client"]


def members(owner: Any) -> dict[str, int]:
    """Return the identity of each member: a wrapper is equal to what it wraps."""
    return {name: id(member) for name, member in vars(owner).items()}


@contextmanager
def instrumented(**settings: Any) -> Iterator[None]:
    """Have MCP instrumented for a block."""
    AuditInstrumentor().instrument(frameworks=["mcp"], **settings)
    try:
        yield
    finally:
        if AuditInstrumentor().is_instrumented_by_opentelemetry:
            AuditInstrumentor().uninstrument()


@asynccontextmanager
async def in_process(before_result: Callable[[], None] = lambda: None) -> AsyncIterator[Any]:
    """Connect a client to a server of this process, whose one tool calls this before it returns."""

    def add(a: int, b: int) -> int:
        """Be a tool."""
        before_result()
        return a + b

    connect: Any
    server: Any
    if MCP_1:
        server = import_module("mcp.server.fastmcp").FastMCP("in process")
        connect = import_module("mcp.shared.memory").create_connected_server_and_client_session
    else:
        server = import_module("mcp.server.mcpserver").MCPServer("in process")
        connect = import_module("mcp").Client
    server.add_tool(add)
    async with connect(server._mcp_server if MCP_1 else server) as session:
        yield session
