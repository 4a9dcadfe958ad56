"""What holds for every framework: one set of checks, run over all drivers."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import acting_as, read_log
from otel_audit.testing import CapturedAudit
from tests.frameworks.conformance.driver import Call, Driver, ModelError, Script, ToolError
from tests.frameworks.conformance.drivers import frameworks, ways
from tests.frameworks.conformance.told import audited, chain, ending, of_kind, of_run, pairs, play, short
from tests.frameworks.conformance.tools import STEPS, asking, note, noting

SECRET = "sk-canary-5f2c9d8e7b6a4c3d2e1f0a9b8c7d6e5f"


@ways("order")
def test_order(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """Each act has its intent, what happens inside of it, and its outcome, in this order."""
    with audited(driver):
        play(driver, way, driver.agent("clerk", Script(asking(), "done"), [note]), loop)
    entries = of_run(log.entries, driver, "note")
    assert [short(entry) for entry in entries] == [step for step in STEPS if step.split()[0] not in driver.cannot]
    assert len(pairs(entries)) * 2 == len(entries)
    (call,) = of_kind(log.entries, "tool", "note")[:1]
    assert call.attributes["gen_ai.tool.name"] == "note"


@ways("actor")
def test_actor(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """A run is by whoever starts it, and what happens inside is by the agent, for whoever started it."""
    with audited(driver), acting_as("maya@example.com", type="user"):
        play(driver, way, driver.agent("clerk", Script(asking(), "done"), [note]), loop)
    for entry in of_run(log.entries, driver, "note"):
        outer = short(entry).startswith("agent")
        assert chain(entry) == (["maya@example.com"] if outer else ["maya@example.com", "clerk"]), short(entry)


@ways("delegation")
def test_delegation(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """An agent that another one has do the work acts on behalf of that one, who acts for the caller."""
    with audited(driver), acting_as("maya@example.com", type="user"):
        play(driver, way, driver.pair("triage", "billing", Script(asking(), "done"), [note]), loop)
    entries = of_kind(log.entries, "tool", "note")
    assert len(entries) == 2
    for entry in entries:
        assert chain(entry)[0] == "maya@example.com"
        assert chain(entry)[-2:] == ["triage", "billing"]
    pairs(log.entries)


@ways("trace")
def test_trace(driver: Driver, way: str, log: CapturedAudit, spans: InMemorySpanExporter, loop: asyncio.Runner) -> None:
    """Where no span is open, the entries of a run are all of one trace, and of spans that ended."""
    with audited(driver):
        play(driver, way, driver.agent("clerk", Script(asking(), "done"), [note]), loop)
    entries = of_run(log.entries, driver, "note")
    assert entries
    ended = {(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") for span in spans.get_finished_spans()}
    assert {(entry.trace_id, entry.span_id) for entry in entries} <= ended
    if "agent" not in driver.cannot:
        assert len({entry.trace_id for entry in entries}) == 1


@ways("trace")
def test_span(driver: Driver, way: str, log: CapturedAudit, spans: InMemorySpanExporter, loop: asyncio.Runner) -> None:
    """Within a span of the program the entries have its trace."""
    provider = otel_trace_provider()
    with audited(driver), provider.get_tracer("program").start_as_current_span("request") as span:
        play(driver, way, driver.agent("clerk", Script(asking(), "done"), [note]), loop)
    assert {entry.trace_id for entry in of_run(log.entries, driver, "note")} == {
        f"{span.get_span_context().trace_id:032x}"
    }


def otel_trace_provider() -> TracerProvider:
    """Return the provider that the `spans` fixture has set."""
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    return provider


@ways("before")
def test_before(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """When a tool runs, its intent is the last entry of the log, and is on disk."""
    seen: list[str] = []

    def do(text: str) -> str:
        seen.append(short(list(read_log(log.path))[-1]))
        return "noted"

    with audited(driver):
        play(driver, way, driver.agent("clerk", Script(asking(), "done"), [noting(do)]), loop)
    assert seen == ["tool intent note"]


@ways("failing_tool")
def test_failing_tool(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """A tool's error comes to the program as without auditing, and the tool's outcome is a failure of its type."""

    def fail(text: str) -> str:
        raise ToolError(f"cannot note {text}")

    def run() -> str:
        return ending(lambda: play(driver, way, driver.agent("clerk", Script(asking(), "done"), [noting(fail)]), loop))

    unaudited = run()
    with audited(driver):
        assert run() == unaudited
    failed = of_kind(log.entries, "tool", "note")[1].attributes
    assert (failed["audit.outcome"], failed["error.type"]) == ("failure", driver.tool_error)
    pairs(log.entries)


@ways("failing_model")
def test_failing_model(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """A model's error comes to the program as without auditing, and the model's outcome is a failure of its type."""

    def run() -> str:
        script = Script(ModelError("no answer"))
        return ending(lambda: play(driver, way, driver.agent("clerk", script, [note]), loop))

    unaudited = run()
    with audited(driver):
        assert run() == unaudited
    failed = of_kind(log.entries, "model")[1].attributes
    assert (failed["audit.outcome"], failed["error.type"]) == ("failure", driver.model_error)
    pairs(log.entries)


@ways("parallel")
def test_parallel(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """Of the tool calls of one answer each has a pair of its own, with its own argument and result, by the agent."""
    calls = tuple(Call("note", {"text": str(number)}, f"call-{number}") for number in range(4))
    with audited(driver, capture=["text"], capture_result=True):
        play(driver, way, driver.agent("clerk", Script(calls, "done"), [note]), loop)
    found = pairs(of_kind(log.entries, "tool", "note"))
    assert sorted(str(intent.attributes["audit.arguments"]) for intent, _ in found) == [
        str({"text": str(number)}) for number in range(4)
    ]
    for intent, outcome in found:
        text = intent.attributes["audit.arguments"]["text"]  # type: ignore[index]
        assert f"noted {text}" in str(outcome.attributes["audit.result"])
        assert chain(intent)[-1] == chain(outcome)[-1]
        assert "actor" in driver.cannot or chain(intent)[-1] == "clerk"


@ways("async_tool", "arun", "astream")
def test_async_tool(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """A tool that is a coroutine has its intent on disk before it runs, and its outcome after it ended."""
    seen: list[str] = []

    async def note(text: str) -> str:
        """Note a text.

        Args:
            text: The text.
        """
        seen.append(short(list(read_log(log.path))[-1]))
        await asyncio.sleep(0)
        seen.append(short(list(read_log(log.path))[-1]))
        return "noted"

    with audited(driver):
        play(driver, way, driver.agent("clerk", Script(asking(), "done"), [note]), loop)
    assert seen == ["tool intent note"] * 2
    assert short(of_kind(log.entries, "tool", "note")[1]) == "tool success note"


@ways("closed_early", "stream", "astream")
def test_closed_early(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """A stream that is closed after its first item leaves no intent without an outcome, and is no success."""
    agent = driver.agent("clerk", Script(asking(), "done"), [note])

    async def read_one() -> None:
        items = driver.astream(agent, "go")
        await anext(items)
        await items.aclose()  # type: ignore[attr-defined]

    with audited(driver):
        if way == "stream":
            blocking = driver.stream(agent, "go")
            next(blocking)
            blocking.close()  # type: ignore[attr-defined]
        else:
            loop.run(read_one())
        loop.close()  # ends the tasks that the framework has left running, as `asyncio.run` does
    assert pairs(log.entries)
    ends = {short(outcome) for _, outcome in pairs(of_kind(log.entries, "agent", "clerk"))}
    assert "agent success clerk" not in ends
    assert ends or "agent" in driver.cannot


@ways("cancellation", "arun", "astream")
def test_cancellation(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """A run that is cancelled while its tool runs is cancelled, and each act has its outcome, which is no success."""

    async def cancelled() -> bool:
        started = asyncio.Event()

        async def note(text: str) -> str:
            """Note a text.

            Args:
                text: The text.
            """
            started.set()
            await asyncio.Event().wait()
            return "noted"

        agent = driver.agent("clerk", Script(asking(), "done"), [note])

        async def run() -> None:
            if way == "arun":
                await driver.arun(agent, "go")
            else:
                async for _ in driver.astream(agent, "go"):
                    pass

        task = asyncio.create_task(run())
        await started.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    with audited(driver):
        assert loop.run(cancelled())
        loop.close()
    for kind, target in (("tool", "note"), ("agent", "clerk")):
        if kind not in driver.cannot:
            [(_, outcome)] = pairs(of_kind(log.entries, kind, target))
            assert outcome.attributes["audit.outcome"] != "success"
    pairs(log.entries)


@ways("secrets")
@pytest.mark.parametrize("fails", [False, True])
def test_secrets(
    driver: Driver,
    way: str,
    fails: bool,
    log: CapturedAudit,
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    loop: asyncio.Runner,
) -> None:
    """Nothing of prompt, arguments, result and exception is in the log, in our spans or in what we log."""

    def do(text: str) -> str:
        if fails:
            raise ToolError(text)
        return text

    agent = driver.agent("clerk", Script(asking(SECRET), ModelError(SECRET) if fails else SECRET), [noting(do)])
    with audited(driver), caplog.at_level(logging.DEBUG, "otel_audit"):
        ending(lambda: play(driver, way, agent, loop, SECRET))
    assert of_kind(log.entries, "tool", "note")
    assert SECRET not in Path(log.path).read_text()
    ours = [span for span in spans.get_finished_spans() if "otel_audit" in str(span.instrumentation_scope)]
    assert SECRET not in "".join(span.to_json() for span in ours)
    assert SECRET not in "".join(record.getMessage() for record in caplog.records if "otel_audit" in record.name)


@ways("capture")
def test_capture(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """Of the arguments the named one is recorded, and of the result what was asked for."""

    def note(text: str, token: str) -> str:
        """Note a text.

        Args:
            text: The text.
            token: A secret.
        """
        return f"noted {text}"

    calls = (Call("note", {"text": "hello", "token": SECRET}, "call-1"),)
    with audited(driver, capture=["text"], capture_result=True):
        play(driver, way, driver.agent("clerk", Script(calls, "done"), [note]), loop)
    intent, outcome = of_kind(log.entries, "tool", "note")
    assert intent.attributes["audit.arguments"] == {"text": "hello"}
    assert "noted hello" in str(outcome.attributes["audit.result"])
    assert SECRET not in Path(log.path).read_text()


@ways("uninstrumented")
def test_uninstrumented(driver: Driver, way: str, log: CapturedAudit, loop: asyncio.Runner) -> None:
    """What was made while the framework was audited works unaudited afterwards, and is audited again when it is."""
    with audited(driver):
        agent = driver.agent("clerk", Script(asking(), "done", asking(), "done"), [note])
    play(driver, way, agent, loop)
    assert log.entries == ()
    with audited(driver):
        play(driver, way, agent, loop)
    assert [short(entry) for entry in of_kind(log.entries, "tool", "note")] == ["tool intent note", "tool success note"]


BEFORE_IMPORT = """
import asyncio, sys
from importlib import import_module
import otel_audit
otel_audit.configure(sys.argv[2], durability="os")
otel_audit.AuditInstrumentor().instrument(frameworks="all")
from tests.frameworks.conformance.driver import Script
from tests.frameworks.conformance.tools import asking, note
from tests.frameworks.conformance.told import play
driver = import_module(f"tests.frameworks.conformance.{sys.argv[1]}").DRIVER
for way in driver.ways():
    with asyncio.Runner() as loop:
        play(driver, way, driver.agent("clerk", Script(asking(), "done"), [note]), loop)
"""


@frameworks("before_import")
def test_before_import(driver: Driver, tmp_path: Path) -> None:
    """A program that instruments everything first, and imports the framework then, has the same entries."""
    path = tmp_path / "audit.jsonl"
    command = [sys.executable, "-c", BEFORE_IMPORT, driver.framework, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=os.environ | {"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr
    steps = [step for step in STEPS if step.split()[0] not in driver.cannot]
    assert [short(entry) for entry in of_run(read_log(path), driver, "note")] == steps * len(driver.ways())
