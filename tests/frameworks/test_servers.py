"""Web servers that start workers, under ``opentelemetry-instrument``."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError

import pytest

from otel_audit import read_log, verify_log
from otel_audit.entry import Entry
from tests.frameworks.zero_code import SCRIPTS, environment

PATIENCE_SECONDS = 90

ASGI = """
import os
from orders import refund

async def app(scope, receive, send):
    while scope["type"] == "lifespan":
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
    refund(int(scope["path"][1:]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""

WSGI = """
import os
from orders import refund

def app(environ, start_response):
    refund(int(environ["PATH_INFO"][1:]))
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""

AGENT = """
import asyncio, threading
from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from openai.types.responses import ResponseFunctionToolCall

class Scripted(Model):
    async def get_response(self, *args, **kwargs):
        call = ResponseFunctionToolCall(call_id="c", name="look_up", arguments="{}", type="function_call")
        return ModelResponse(output=[call], usage=Usage(), response_id=None)
    def stream_response(self, *args, **kwargs):
        raise NotImplementedError

@function_tool
def look_up() -> str:
    return "found"

def refund(order):
    agent = Agent("desk", tools=[look_up], model=Scripted(), tool_use_behavior="stop_on_first_tool")
    run = lambda: asyncio.run(Runner.run(agent, "?", run_config=RunConfig(tracing_disabled=True)))
    thread = threading.Thread(target=run)  # the server's own thread may have a loop
    thread.start()
    thread.join()
"""

UVICORN = ("uvicorn", "asgi:app", "--log-level", "warning", "--port")
WORKERS = ("--workers", "2", "--timeout-worker-healthcheck", "60")
GUNICORN = ("gunicorn", "wsgi:app", "--log-level", "warning", "--no-control-socket", "--workers", "2", "--bind")

ONE = (*UVICORN, "{port}")
SPAWNED = (*UVICORN, "{port}", *WORKERS)
FORKED = (*GUNICORN, "127.0.0.1:{port}")
PRELOADED = (*FORKED, "--preload")


class Server:
    """A server that runs, and the requests that it got."""

    def __init__(self, folder: Path, command: tuple[str, ...], **variables: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.path = folder / "audit.jsonl"
        self.numbers = itertools.count(1)
        self.requests: set[int] = set()
        self.process = subprocess.Popen(
            ["opentelemetry-instrument", *(part.format(port=self.port) for part in command)],
            executable=SCRIPTS / "opentelemetry-instrument",
            cwd=folder,
            env=environment(OTEL_AUDIT_FILE=str(self.path), **variables),
            stderr=subprocess.PIPE,
            text=True,
        )
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def ask(self) -> int:
        """Make one request, as soon as the server takes one; return the pid of the worker that answered."""
        number = next(self.numbers)
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with self._open(f"http://127.0.0.1:{self.port}/{number}", timeout=PATIENCE_SECONDS) as answer:
                    self.requests.add(number)
                    return int(answer.read())
            except URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or monotonic() > deadline:
                    raise
                assert self.process.poll() is None, self.process.communicate()
                sleep(0.05)  # another process begins to listen

    def ask_all(self, workers: int, other_than: int = 0) -> set[int]:
        """Make requests until so many workers have answered; return their pids."""
        deadline = monotonic() + PATIENCE_SECONDS
        pids: set[int] = set()
        with ThreadPoolExecutor(8) as pool:
            while len(pids) < workers:
                pids |= {task.result() for task in [pool.submit(self.ask) for _ in range(8)]} - {other_than}
                assert monotonic() < deadline, f"expected answers of {workers} workers, got {pids}"
        return pids

    def terminate(self) -> str:
        """End the server with SIGTERM; return what it said."""
        self.process.terminate()
        _, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two programs and a module that both use."""
    (tmp_path / "orders.py").write_text("def refund(order): return order\n")
    (tmp_path / "asgi.py").write_text(ASGI)
    (tmp_path / "wsgi.py").write_text(WSGI)
    return tmp_path


@contextmanager
def served(folder: Path, command: tuple[str, ...], **variables: str) -> Iterator[Server]:
    """Run a server for a block, however it ends."""
    variables.setdefault("OTEL_AUDIT_FUNCTIONS", "orders:refund")
    server = Server(folder, command, OTEL_AUDIT_CAPTURE="order", **variables)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.terminate()
        assert server.process.stderr is not None
        server.process.stderr.close()


def refunds(path: Path, phase: str) -> list[Entry]:
    """Return the entries of the audited function, of one phase."""
    entries = (entry for entry in read_log(path) if entry.event_name == "orders.refund")
    return [entry for entry in entries if entry.attributes["audit.phase"] == phase]


def pids(path: Path, event_name: str) -> list[object]:
    """Return the pids of the processes that wrote such entries."""
    return [entry.resource["process.pid"] for entry in read_log(path) if entry.event_name == event_name]


def check_requests(server: Server) -> None:
    """Check that each request that was answered is in the log once, with its outcome, in one intact chain."""
    intents = refunds(server.path, "intent")
    numbers = [entry.attributes["audit.arguments"] for entry in intents]
    assert sorted(numbers, key=str) == sorted(({"order": number} for number in server.requests), key=str)
    outcomes = {entry.attributes["audit.intent.id"] for entry in refunds(server.path, "outcome")}
    assert outcomes == {entry.attributes["audit.record.id"] for entry in intents}
    assert verify_log(server.path).intact


@pytest.mark.parametrize(
    ("command", "workers", "status"),
    [
        (ONE, 1, -signal.SIGTERM),
        (SPAWNED, 2, 0),
        (FORKED, 2, 0),
        (PRELOADED, 2, 0),
    ],
    ids=["uvicorn", "uvicorn-workers", "gunicorn", "gunicorn-preload"],
)
def test_requests_are_audited(folder: Path, command: tuple[str, ...], workers: int, status: int) -> None:
    """All workers write to one chain; after SIGTERM each process that opened the log has closed it."""
    with served(folder, command) as server:
        answered = server.ask_all(workers)
        server.terminate()
        assert server.process.returncode == status
        check_requests(server)
        assert {entry.resource["process.pid"] for entry in refunds(server.path, "intent")} == answered
        assert sorted(map(str, pids(server.path, "audit.log.closed"))) == sorted(
            map(str, pids(server.path, "audit.log.opened"))
        )


@pytest.mark.parametrize(
    "command", [SPAWNED, FORKED, PRELOADED], ids=["uvicorn-workers", "gunicorn", "gunicorn-preload"]
)
def test_workers_that_restart_go_on(folder: Path, command: tuple[str, ...]) -> None:
    """A worker that is killed is replaced, and the new one's requests are audited in the same chain."""
    with served(folder, command) as server:
        first, _ = server.ask_all(2)
        os.kill(first, signal.SIGKILL)
        after = server.ask_all(2, other_than=first)
        server.terminate()
        assert len(after) == 2
        assert after < {entry.resource["process.pid"] for entry in refunds(server.path, "intent")}
        check_requests(server)
        closed = pids(server.path, "audit.log.closed")
        assert first not in closed
        assert set(after) < set(closed)


def test_workers_that_are_reloaded_go_on(folder: Path) -> None:
    """After SIGHUP gunicorn's new workers write to the same chain, and the old ones have closed it."""
    with served(folder, FORKED) as server:
        before = server.ask_all(2)
        server.process.send_signal(signal.SIGHUP)
        deadline = monotonic() + PATIENCE_SECONDS
        while server.ask() in before:
            assert monotonic() < deadline
        server.terminate()
        check_requests(server)
        assert before < set(pids(server.path, "audit.log.closed"))


def test_a_master_says_what_it_did_not_audit(folder: Path) -> None:
    """A process that leaves the work to workers says at its end that itself has audited nothing, with its pid."""
    with served(folder, FORKED) as server:
        server.ask()
        said = server.terminate()
        assert said == (
            f"orders:refund was not audited in process {server.process.pid}: it never imported the module orders\n"
        )


@pytest.mark.parametrize("command", [SPAWNED, PRELOADED], ids=["uvicorn-workers", "gunicorn-preload"])
def test_tools_of_a_framework_are_audited(folder: Path, command: tuple[str, ...]) -> None:
    """What an agent does in a request is audited in the worker, in one trace a request."""
    (folder / "orders.py").write_text(AGENT)
    with served(folder, command, OTEL_AUDIT_FUNCTIONS="") as server:
        answered = server.ask_all(2)
        server.terminate()
        entries = [entry for entry in read_log(server.path) if entry.event_name == "gen_ai.tool.execute"]
        assert len(entries) == 2 * len(server.requests)
        assert len({entry.trace_id for entry in entries} - {None}) == len(server.requests)
        assert {entry.resource["process.pid"] for entry in entries} == answered
        assert {entry.attributes["audit.actor.id"] for entry in entries} == {"desk"}
        assert verify_log(server.path).intact


def test_a_broken_set_up_serves_nothing(folder: Path) -> None:
    """With workers, too, a server whose audit cannot be set up does not start."""
    with served(folder, PRELOADED, OTEL_AUDIT_FUNCTIONS="orders:refnd") as server:
        _, said = server.process.communicate(timeout=PATIENCE_SECONDS)
        assert server.process.returncode == 1
        assert said.startswith("otel-audit: orders:refnd: the module 'orders' has no 'refnd'")
        assert len(said.splitlines()) == 1
