"""openai-agents: what is recorded of a call, secrets, other instrumentations, and the way back."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import os
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    FunctionTool,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    Runner,
    ToolGuardrailFunctionOutput,
    function_tool,
    set_tracing_disabled,
    tool_input_guardrail,
)
from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import AuditConfigError, AuditInstrumentor, read_log, verify_log
from otel_audit.testing import CapturedAudit
from tests.frameworks.openai_agents_script import (
    RUNS,
    Script,
    audited,
    call,
    event_loop,
    of,
    run_async,
    say,
    told,
)
from tests.frameworks.test_openai_agents import add, triage
from tests.frameworks.test_openai_agents_models import hosted
from tests.frameworks.test_openai_agents_tools import FUNCTIONS, KINDS, NATIVE, custom, plain, worker

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_openai_agents.py"
CANARY = "canary-5f2c-secret"

TARGETS = [
    ("agents.run:Runner", ["run", "run_sync", "run_streamed"]),
    ("agents.run_internal.turn_resolution", ["execute_handoffs"]),
    ("agents.run_internal.run_loop", ["get_model"]),
    ("agents.run_internal.tool_execution", ["_invoke_function_tool_with_metadata"]),
    ("agents.run_internal.tool_actions", ["format_shell_error"]),
    ("agents.run_internal.tool_actions:ShellAction", ["execute"]),
    ("agents.run_internal.tool_actions:LocalShellAction", ["execute"]),
    ("agents.run_internal.tool_actions:ApplyPatchAction", ["execute"]),
    ("agents.run_internal.tool_actions:ComputerAction", ["execute"]),
    ("agents.run_internal.tool_actions:CustomToolAction", ["execute"]),
    ("agents.tool", ["_invoke_function_tool_with_metadata", "maybe_invoke_function_tool_failure_error_function"]),
    ("agents.exceptions:ToolTimeoutError", ["__init__"]),
    ("agents.mcp.util:MCPUtil", ["_extract_custom_data"]),
    ("agents.guardrail:InputGuardrail", ["run"]),
    ("agents.guardrail:OutputGuardrail", ["run"]),
    ("agents.tool_guardrails:ToolInputGuardrail", ["run"]),
    ("agents.tool_guardrails:ToolOutputGuardrail", ["run"]),
    ("agents.run_context:RunContextWrapper", ["approve_tool", "reject_tool"]),
]


def owner(path: str) -> Any:
    """Return a module, or a class of one."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name) if name else import_module(module)


def targets() -> dict[str, object]:
    """Return the very objects that are wrapped."""
    return {f"{path}.{name}": vars(owner(path))[name] for path, names in TARGETS for name in names}


class TestCapture:
    def test_nothing(self, log: CapturedAudit) -> None:
        """Without a setting, nothing of arguments and results is recorded."""
        with audited():
            run_async(Agent(name="a", model=Script([call("add", "c", '{"a": 1, "b": 2}')], [say("3")]), tools=[add]))
        for attributes in of(log, "tool"):
            assert not {"audit.arguments", "audit.result"} & set(attributes)

    def test_named(self, log: CapturedAudit) -> None:
        """Of the arguments those that are named are recorded, in the intent; the result in the outcome."""
        with audited(capture=["a"], capture_result=True):
            run_async(Agent(name="a", model=Script([call("add", "c", '{"a": 1, "b": 2}')], [say("3")]), tools=[add]))
        intent, outcome = of(log, "tool")
        assert intent["audit.arguments"] == {"a": 1}
        assert outcome["audit.result"] == 3

    @pytest.mark.parametrize("kind", NATIVE)
    def test_other_tools(self, log: CapturedAudit, kind: Any) -> None:
        """What a shell, an editor or a custom tool was told to do is recorded where it is asked for."""
        with audited(capture="*", capture_result=True):
            run_async(worker(kind, lambda: "result"))
        intent, outcome = of(log, "tool")
        assert set(intent["audit.arguments"]) <= {"input", "action", "operation"}
        assert "audit.result" in outcome

    def test_redacted(self, log: CapturedAudit) -> None:
        """What looks like a secret is replaced."""

        @function_tool
        def login(user: str, password: str) -> dict[str, str]:
            """Log in."""
            return {"user": user, "password": password}

        arguments = json.dumps({"user": "ann", "password": CANARY})
        with audited(capture="*", capture_result=True):
            run_async(Agent(name="a", model=Script([call("login", "c", arguments)], [say("3")]), tools=[login]))
        intent, outcome = of(log, "tool")
        assert intent["audit.arguments"] == {"user": "ann"}
        assert outcome["audit.result"] == {"user": "ann", "password": "[REDACTED]"}
        assert CANARY not in Path(log.path).read_text(encoding="utf-8")

    def test_hosted(self, log: CapturedAudit) -> None:
        """Arguments of tools that the provider ran are recorded likewise."""
        with audited(capture=["code", "key"]):
            run_async(Agent(name="a", model=Script(hosted("completed", None))))
        assert [a.get("audit.arguments") for a in of(log, "tool")] == [
            None,
            {"code": "secret text"},
            {"key": "secret text"},
        ]


class TestSecrets:
    @KINDS
    @RUNS
    def test_of_tools(self, log: CapturedAudit, spans: InMemorySpanExporter, kind: Any, run: Any) -> None:
        """Nothing of prompts, arguments, results and exceptions reaches log or spans by default."""
        called: list[str] = []

        def work() -> str:
            called.append("work")
            return CANARY

        def fail() -> None:
            called.append("fail")
            raise LookupError(CANARY)

        for effect in (work, fail):
            agent = worker(kind, effect)
            agent.instructions = CANARY
            item = agent.model.steps[0][0]
            if isinstance(getattr(item, "arguments", None), str) and "{}" in item.arguments:
                item.arguments = json.dumps({"text": CANARY})
            agent.model.steps[-1] = [say(CANARY)]
            with audited():
                try:
                    run(agent, CANARY)
                except Exception as error:
                    assert CANARY in str(error)  # noqa: PT017 - it need not be raised
        assert called == ["work", "fail"]
        assert of(log, "tool", "failure")
        self.assert_clean(log, spans)

    @RUNS
    def test_of_the_rest(self, log: CapturedAudit, spans: InMemorySpanExporter, run: Any) -> None:
        """Nor what models, guardrails and providers say or raise."""
        blocked = GuardrailFunctionOutput(output_info=CANARY, tripwire_triggered=True)
        guardrail: Any = InputGuardrail(lambda *_args: blocked, name="no_secrets", run_in_parallel=False)

        @tool_input_guardrail
        def reject(_data: Any) -> ToolGuardrailFunctionOutput:
            return ToolGuardrailFunctionOutput.reject_content(CANARY, CANARY)

        tool, item = plain(lambda: None)
        tool.tool_input_guardrails = [reject]
        with audited():
            for agent in (
                Agent(name="a", model=Script(ConnectionError(CANARY))),
                Agent(name="a", model=Script([say(CANARY)]), input_guardrails=[guardrail]),
                Agent(name="a", model=Script([item], [say(CANARY)]), tools=[tool]),
                Agent(name="a", model=Script(hosted("failed", CANARY))),
            ):
                try:
                    run(agent, CANARY)
                except Exception as error:
                    assert isinstance(error, (ConnectionError, InputGuardrailTripwireTriggered))  # noqa: PT017
        assert len(of(log, "guardrail", "block")) == 2
        self.assert_clean(log, spans)

    @RUNS
    def test_of_wrong_settings(self, log: CapturedAudit, spans: InMemorySpanExporter, run: Any) -> None:
        """Nor what is wrong with the settings of a run."""
        with audited(), pytest.raises(Exception, match=CANARY):
            run(Agent(name="a", model=Script([say("3")])), run_config={CANARY: 1})
        assert told(log) == ["agent a intent", "agent a failure"]
        self.assert_clean(log, spans)

    @staticmethod
    def assert_clean(log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """Look for the secret."""
        assert log.entries
        assert CANARY not in Path(log.path).read_text(encoding="utf-8")
        finished = spans.get_finished_spans()
        assert finished
        assert not any(CANARY in span.to_json() for span in finished)


class TestOtherInstrumentations:
    @RUNS
    def test_openinference(self, log: CapturedAudit, spans: InMemorySpanExporter, run: Any) -> None:
        """Where OpenInference opens spans, the entries carry the ids of the innermost one."""
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        with audited():
            OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
            try:
                run(triage())
            finally:
                OpenAIAgentsInstrumentor().uninstrument()
                import_module("agents").set_trace_processors([])
        by_id = {f"{span.context.span_id:016x}": span for span in spans.get_finished_spans()}
        assert {entry.trace_id for entry in log.entries} == {f"{next(iter(by_id.values())).context.trace_id:032x}"}
        names = [by_id[entry.span_id or ""].name for entry in log.entries if entry.event_name == "gen_ai.tool.execute"]
        assert names == ["add", "add"]

    def test_tracing_is_off(self, log: CapturedAudit) -> None:
        """With the framework's own tracing switched off, everything is audited all the same."""
        set_tracing_disabled(True)
        try:
            with audited():
                run_async(triage())
        finally:
            set_tracing_disabled(False)
        assert len(log.entries) == 12


class TestWayBack:
    def test_identical_objects(self) -> None:
        """Uninstrumented, every target is the object that it was; instrumented again, it is wrapped again."""
        before = targets()
        for _ in range(2):
            with audited():
                assert not [name for name, target in targets().items() if target is before[name]]
            assert not [name for name, target in targets().items() if target is not before[name]]

    def test_every_target_is_named(self) -> None:
        """No other attribute of the framework's modules is changed."""
        names = [name for name in sys.modules if name.partition(".")[0] == "agents"]
        before = {name: dict(vars(sys.modules[name])) for name in names}
        with audited():
            changed = {
                f"{name}.{key}"
                for name in names
                for key, value in vars(sys.modules[name]).items()
                if before[name].get(key) is not value
            }
        expected = {f"{path}.{name}" for path, names_ in TARGETS for name in names_ if ":" not in path}
        assert changed == expected

    def test_what_is_held_passes_through(self, log: CapturedAudit) -> None:
        """What a program took while it was audited works unaudited afterwards."""
        with audited():
            run, run_sync = Runner.run, Runner.run_sync
        assert asyncio.run(run(Agent(name="a", model=Script([say("3")])), "go")).final_output == "3"
        with event_loop():
            assert run_sync(Agent(name="a", model=Script([say("3")])), "go").final_output == "3"
        assert log.entries == ()

    @pytest.mark.parametrize(
        ("path", "name"), [(path, name) for path, names in TARGETS for name in names if name != "__init__"]
    )
    def test_moved_target(self, monkeypatch: pytest.MonkeyPatch, path: str, name: str) -> None:
        """A version that lacks a target is refused by its name, and nothing is left wrapped."""
        before = targets()
        monkeypatch.delattr(owner(path), name)
        with pytest.raises(AuditConfigError, match=name), audited():
            pass
        monkeypatch.undo()
        assert not [key for key, target in targets().items() if target is not before[key]]

    def test_signatures(self) -> None:
        """The runner looks as it did."""
        before = [inspect.signature(getattr(Runner, name)) for name in ("run", "run_sync", "run_streamed")]
        with audited():
            assert [inspect.signature(getattr(Runner, name)) for name in ("run", "run_sync", "run_streamed")] == before
            assert inspect.iscoroutinefunction(Runner.run)
            assert Runner.run.__doc__ == Runner.run.__wrapped__.__doc__

    @pytest.mark.parametrize("kind", [*FUNCTIONS, custom])
    def test_copies(self, log: CapturedAudit, kind: Any) -> None:
        """Copies of tools and agents, made before or meanwhile, work as before, and are audited."""
        agents = [worker(kind, lambda: None)]
        agents.append(copy.copy(agents[0]))
        with audited():
            agents += [copy.copy(agents[0]), agents[0].clone()]
            for agent in agents:
                agent.tools = [copy.copy(tool) for tool in agent.tools]
                agent.model = worker(kind, lambda: None).model
                assert run_async(agent) == "done"
        assert told(log, "tool") == ["tool work intent", "tool work success"] * 4

    def test_pickles(self) -> None:
        """What could be pickled and copied deeply can be, and what could not cannot, by the same error."""
        objects = [Agent(name="a", instructions="go"), function_tool(os.getcwd), FunctionTool("t", "T.", {}, _invoke)]

        def results() -> list[object]:
            found: list[object] = []
            for one in objects:
                for way in (lambda it: pickle.loads(pickle.dumps(it)), copy.deepcopy):
                    try:
                        found.append(type(way(one)))
                    except Exception as error:
                        found.append(str(error))
            return found

        before = results()
        with audited():
            assert results() == before
        assert before[:2] == [Agent, Agent]


async def _invoke(_context: object, _arguments: str) -> str:
    return "done"


class TestStart:
    def test_imported_later(self, tmp_path: Path) -> None:
        """A program that imports the framework after auditing began is audited."""
        path = tmp_path / "audit.jsonl"
        code = f"""
import otel_audit
otel_audit.configure({str(path)!r})
otel_audit.AuditInstrumentor().instrument()
from agents import Agent, Runner, set_tracing_disabled
from tests.frameworks.openai_agents_script import Script, say
set_tracing_disabled(True)
print(Runner.run_sync(Agent(name="a", model=Script([say("3")])), "go").final_output)
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
        assert [e.event_name for e in read_log(path)][1:-1] == [
            "gen_ai.agent.invoke",
            "gen_ai.model.call",
            "gen_ai.model.call",
            "gen_ai.agent.invoke",
        ]

    def test_second_time(self) -> None:
        """Asked for twice with the same settings, it is wrapped once."""
        with audited():
            wrapped = targets()
            AuditInstrumentor().instrument(frameworks=["openai_agents"])
            assert targets() == wrapped


class TestExample:
    def test_runs(self, tmp_path: Path) -> None:
        """The example prints the lines of its log, which is intact and tells who acted for whom."""
        path = tmp_path / "audit.jsonl"
        env = os.environ | {"OTEL_AUDIT_FILE": str(path)}
        done = subprocess.run(
            [sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=120, check=False, env=env
        )
        assert (done.returncode, done.stderr) == (0, "")
        answer, *lines = done.stdout.splitlines()
        assert answer == "Done."
        assert verify_log(path).intact
        entries = [json.loads(line) for line in lines]
        (tool,) = (e["attributes"] for e in entries if e["attributes"].get("audit.arguments"))
        assert tool["audit.arguments"] == {"order_id": "A-1027"}
        assert tool["audit.delegation"] == ["maya@example.com", "triage", "refunds"]
        assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60
