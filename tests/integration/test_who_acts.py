"""Who acts, and on whose behalf, as it stands in the lines: over threads, tasks, executors, processes, calls."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_audit import acting_as, audited, carry, verify_log
from otel_audit.testing import CapturedAudit, capture_audit

SHOP = Resource({"service.name": "shop"})
ROOT = Path(__file__).parents[2]

NOBODY = ("shop", None)
ADA = ("ada", None)
AGENT = ("agent", ["ada", "agent"])
TOOL = ("tool", ["ada", "agent", "tool"])


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log of its own for each test."""
    with capture_audit(resource=SHOP) as captured:
        yield captured


def actors(log: CapturedAudit) -> list[tuple[object, object]]:
    """Who acted, and the chain of delegation, of each action: the same in its intent and its outcome."""
    told = [
        (entry.attributes["audit.actor.id"], entry.attributes.get("audit.delegation"))
        for entry in log.entries
    ]  # fmt: skip
    assert told[::2] == told[1::2]
    return told[::2]


@audited
def work(_: object = None) -> None:
    """Do something that is recorded."""


@audited
async def awork() -> None:
    """Do it in a coroutine."""
    await asyncio.sleep(0)


class TestInOneProcess:
    def test_nested(self, log: CapturedAudit) -> None:
        """Each block adds its actor to the chain, and takes it away again; one alone is no delegation."""
        work()
        with acting_as("ada", type="user"):
            work()
            with acting_as("agent"):
                work()
                with acting_as("tool"):
                    work()
                work()
        assert actors(log) == [NOBODY, ADA, AGENT, TOOL, AGENT]

    def test_originating_principal(self, log: CapturedAudit) -> None:
        """The type in the line is that of who acts; the principal with whom it began stands first."""
        with acting_as("ada", type="user"), acting_as("agent"):
            work()
        attributes = log.entries[0].attributes
        assert attributes["audit.actor.type"] == "service"
        assert attributes["audit.delegation"] == ["ada", "agent"]

    def test_thread(self, log: CapturedAudit) -> None:
        """A new thread begins with nobody; with `carry` it goes on with the chain, and adds to it."""

        def in_thread() -> None:
            work()
            with acting_as("tool"):
                work()

        with acting_as("ada", type="user"), acting_as("agent"):
            for target in (in_thread, carry(in_thread)):
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
        assert actors(log) == [NOBODY, ("tool", None), AGENT, TOOL]

    def test_executor(self, log: CapturedAudit) -> None:
        """A thread of an executor keeps nothing of the call before; each carried call has its own chain."""
        with ThreadPoolExecutor(1) as pool:
            for name in ("ada", "bob"):
                with acting_as(name, type="user"), acting_as("agent"):
                    pool.submit(carry(work)).result()
                pool.submit(work).result()
            with acting_as("ada", type="user"):
                list(pool.map(carry(work), range(2)))
        assert actors(log) == [AGENT, NOBODY, ("agent", ["bob", "agent"]), NOBODY, ADA, ADA]

    async def test_tasks(self, log: CapturedAudit) -> None:
        """A task goes on with the chain it was made in, and what it adds is its own."""

        async def as_tool() -> None:
            async with acting_as("tool"):
                await awork()
            await awork()

        with acting_as("ada", type="user"), acting_as("agent"):
            task = asyncio.create_task(as_tool())
        await task
        await awork()
        told = actors_by_intent(log)
        assert told == [TOOL, AGENT, NOBODY]

    async def test_tasks_at_once(self, log: CapturedAudit) -> None:
        """Tasks at once do not see one another's actors."""

        async def as_user(name: str) -> None:
            async with acting_as(name, type="user"), acting_as(f"agent of {name}"):
                await awork()

        await asyncio.gather(*(as_user(f"user {number}") for number in range(20)))
        assert sorted(actors_by_intent(log), key=str) == sorted(
            ((f"agent of user {number}", [f"user {number}", f"agent of user {number}"]) for number in range(20)),
            key=str,
        )

    async def test_thread_of_a_loop(self, log: CapturedAudit) -> None:
        """`asyncio.to_thread` takes the chain along; `run_in_executor` only with `carry`."""
        loop = asyncio.get_running_loop()
        with acting_as("ada", type="user"), acting_as("agent"):
            await asyncio.to_thread(work)
            await loop.run_in_executor(None, work)
            await loop.run_in_executor(None, carry(work))
        assert actors(log) == [AGENT, NOBODY, AGENT]

    def test_span(self, log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is carried takes the trace with it, so that both sides of the border join."""
        provider = TracerProvider()
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
        with provider.get_tracer("test").start_as_current_span("agent") as span, ThreadPoolExecutor(1) as pool:
            pool.submit(carry(work)).result()
        expected = f"{span.get_span_context().trace_id:032x}"
        assert [entry.trace_id for entry in log.entries] == [expected] * 2


def actors_by_intent(log: CapturedAudit) -> list[tuple[object, object]]:
    """As `actors`, of actions that are interleaved."""
    told = {}
    for entry in log.entries:
        one = (entry.attributes["audit.actor.id"], entry.attributes.get("audit.delegation"))
        if entry.attributes["audit.phase"] == "intent":
            told[entry.attributes["audit.record.id"]] = one
        else:
            assert told[entry.attributes["audit.intent.id"]] == one
    return list(told.values())


def called(headers: dict[str, str], **settings: Any) -> list[tuple[object, object]]:
    """Return who acts in a service that was called with these headers, itself acting as a tool."""
    with capture_audit(resource=SHOP, **settings) as log:
        token = context.attach(W3CBaggagePropagator().extract(headers))
        try:
            work()
            with acting_as("tool"):
                work()
        finally:
            context.detach(token)
        return actors(log)


def call(**settings: Any) -> dict[str, str]:
    """Return the headers that an agent's call of a service carries."""
    headers: dict[str, str] = {}
    with capture_audit(resource=SHOP, **settings), acting_as("ada", type="user"), acting_as("agent"):
        token = context.attach(baggage.set_baggage("tenant", "7"))
        try:
            W3CBaggagePropagator().inject(headers)
        finally:
            context.detach(token)
    return headers


class TestBaggage:
    def test_not_asked_for(self) -> None:
        """Nobody outside learns who acts unless that was asked for."""
        assert call() == {"baggage": "tenant=7"}

    def test_not_trusted(self) -> None:
        """What comes in is believed only by who was told to trust it."""
        assert called(call(propagate_actor=True)) == [NOBODY, ("tool", None)]
        assert called(call(propagate_actor=True), propagate_actor=True) == [NOBODY, ("tool", None)]

    def test_trusted(self) -> None:
        """Asked for here and trusted there, the chain goes on over the call."""
        assert called(call(propagate_actor=True), trust_baggage=True) == [AGENT, TOOL]

    def test_over_two_calls(self) -> None:
        """A service in between adds itself, once."""
        settings = {"propagate_actor": True, "trust_baggage": True}
        headers = call(propagate_actor=True)
        onward: dict[str, str] = {}
        with capture_audit(resource=SHOP, **settings):
            token = context.attach(W3CBaggagePropagator().extract(headers))
            with acting_as("tool"):
                W3CBaggagePropagator().inject(onward)
            context.detach(token)
        assert called(onward, **settings) == [TOOL, ("tool", ["ada", "agent", "tool", "tool"])]

    def test_forged(self) -> None:
        """A forged chain is not believed without trust, and a malformed one not even with it."""
        forged = {"baggage": "audit.actor=%5B%5B%22root%22%2C%22system%22%5D%5D"}
        assert called(forged) == [NOBODY, ("tool", None)]
        assert called(forged, trust_baggage=True) == [("root", None), ("tool", ["root", "tool"])]
        assert called({"baggage": "audit.actor=root"}, trust_baggage=True) == [NOBODY, ("tool", None)]


PROGRAM = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Process, get_context

import otel_audit
from otel_audit import acting_as, audited, carry

@audited("decorated")
def work(number):
    return number * 2

def plain(number):
    return number + 1

class Tool:
    @audited("method")
    def run(self, number):
        return number - 1

@acting_as("tool")
@audited("as tool")
def as_tool(number):
    return number

if __name__ == "__main__":
    settings = dict(propagate_actor=True, trust_baggage=True) if "baggage" in sys.argv else {}
    otel_audit.configure("audit.jsonl", durability="os", **settings)
    start = get_context(sys.argv[1])
    with acting_as("ada", type="user"), acting_as("agent"):
        carried = [carry(work), carry(as_tool)]
    with ProcessPoolExecutor(1, mp_context=start) as pool:
        told = [pool.submit(function, 5).result() for function in
                (work, Tool().run, audited("wrapped here")(plain), *carried)]
        with acting_as("bob"):
            told += pool.map(carry(work), range(2))
    process = start.Process(target=carry(work), args=(1,))
    process.start()
    process.join()
    print(told, process.exitcode)
"""


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("settings", ["", "baggage"])
def test_processes(tmp_path: Path, start: str, settings: str) -> None:
    """Decorated functions work in other processes, which write to the same chain; who acts goes along when carried."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", str(program), start, settings],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "OTEL_SERVICE_NAME": "shop"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "[10, 4, 6, 10, 5, 0, 2] 0\n", done.stderr
    assert done.stderr == ""
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_bytes().splitlines()]
    told = [
        (line["event_name"], line["attributes"]["audit.actor.id"], line["attributes"].get("audit.delegation"))
        for line in lines
        if line["attributes"].get("audit.phase") == "outcome"
    ]
    assert told == [
        ("decorated", *NOBODY),
        ("method", *NOBODY),
        ("wrapped here", *NOBODY),
        ("decorated", *AGENT),
        ("as tool", *TOOL),
        ("decorated", "bob", None),
        ("decorated", "bob", None),
        ("decorated", *NOBODY),
    ]
    assert verify_log(tmp_path / "audit.jsonl").intact
    assert len({line["resource"]["process.pid"] for line in lines}) >= 3
