"""The span bridge in the global tracer provider, in code and under ``opentelemetry-instrument``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.distro", reason="needs opentelemetry-distro")

from otel_audit.reader import read_log, verify_log

TRACED = """
from opentelemetry import trace

TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"}

def work():
    tracer = trace.get_tracer("shop")
    with tracer.start_as_current_span("GET /"), tracer.start_as_current_span("execute_tool refund", attributes=TOOL):
        pass
"""

AGENT = TRACED + "\nwork()\n"

SET_LATER = (
    """
from opentelemetry.trace import set_tracer_provider
"""
    + TRACED
    + """
from opentelemetry.sdk.trace import TracerProvider
from otel_audit import AuditInstrumentor

AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
set_tracer_provider(TracerProvider())
work()
AuditInstrumentor().uninstrument()
work()
AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
work()
"""
)

NEVER_SET = (
    TRACED
    + """
from opentelemetry import trace
from otel_audit import AuditInstrumentor

before = trace._set_tracer_provider
AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
AuditInstrumentor().uninstrument()
print(trace._set_tracer_provider is before)
work()
"""
)

OTHER_SETTINGS = """
from otel_audit import AuditConfigError, AuditInstrumentor

AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
try:
    AuditInstrumentor().instrument(frameworks=[])
except AuditConfigError as error:
    print("already instrumented" in str(error))
"""

NO_PROCESSORS = """
from opentelemetry import trace
from otel_audit import AuditConfigError, AuditInstrumentor

class Foreign(trace.NoOpTracerProvider):
    pass

def attempt():
    try:
        {first}
        {second}
    except AuditConfigError as error:
        print(error)

attempt()
"""


def run(folder: Path, program: str, *start: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program; return what it printed."""
    (folder / "agent.py").write_text(program)
    environment = {
        "PATH": os.environ["PATH"],
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "agent",
        "OTEL_AUDIT_FILE": str(folder / "audit.jsonl"),
        **variables,
    }
    return subprocess.run(
        [*start, sys.executable, str(folder / "agent.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def under_instrument(folder: Path, program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program under ``opentelemetry-instrument``, without other instrumentations."""
    command = os.path.join(os.path.dirname(sys.executable), "opentelemetry-instrument")
    return run(folder, program, command, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="*", **variables)


def events(folder: Path) -> list[str]:
    """The entries of the log that verifies, without its own."""
    path = folder / "audit.jsonl"
    assert verify_log(path).intact
    return [entry.event_name for entry in read_log(path) if not entry.event_name.startswith("audit.log.")]


PAIR = ["gen_ai.tool.execute"] * 2


@pytest.mark.parametrize("argument", ["always_off", "parentbased_traceidratio=0", "traceidratio=0.0"])
def test_nothing_sampled(tmp_path: Path, argument: str) -> None:
    """Three variables audit the spans of a program whose sampler is at 0 %, and the exporter gets none."""
    done = under_instrument(
        tmp_path,
        AGENT,
        OTEL_AUDIT_GENAI_SPANS="true",
        OTEL_TRACES_SAMPLER="audit",
        OTEL_TRACES_SAMPLER_ARG=argument,
        OTEL_TRACES_EXPORTER="console",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert events(tmp_path) == PAIR


def test_all_sampled(tmp_path: Path) -> None:
    """Without an argument the sampler exports as the SDK does by default."""
    done = under_instrument(
        tmp_path, AGENT, OTEL_AUDIT_GENAI_SPANS="true", OTEL_TRACES_SAMPLER="audit", OTEL_TRACES_EXPORTER="console"
    )
    assert "execute_tool refund" in done.stdout
    assert events(tmp_path) == PAIR


def test_another_sampler(tmp_path: Path) -> None:
    """A sampler that drops spans is warned of: those are not audited."""
    done = under_instrument(tmp_path, AGENT, OTEL_AUDIT_GENAI_SPANS="true", OTEL_TRACES_SAMPLER="always_off")
    assert "set OTEL_TRACES_SAMPLER=audit" in done.stderr
    assert events(tmp_path) == []


def test_off_by_default(tmp_path: Path) -> None:
    """Without the variable no span is recorded, and without any of ours no log is made."""
    assert under_instrument(tmp_path, AGENT).returncode == 0
    assert events(tmp_path) == []
    (tmp_path / "audit.jsonl").unlink()
    done = under_instrument(tmp_path, AGENT, OTEL_AUDIT_FILE="", OTEL_AUDIT_GENAI_SPANS="false")
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"OTEL_AUDIT_GENAI_SPANS": "perhaps"}, "OTEL_AUDIT_GENAI_SPANS: expected true or false, got 'perhaps'"),
        ({"OTEL_AUDIT_GENAI_SPANS": "true", "OTEL_AUDIT_FILE": ""}, "set OTEL_AUDIT_FILE"),
    ],
)
def test_a_broken_set_up(tmp_path: Path, variables: dict[str, str], sentence: str) -> None:
    """The program does not start, and one sentence says why."""
    done = under_instrument(tmp_path, AGENT, **variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_provider_that_is_set_later(tmp_path: Path) -> None:
    """A provider set after `instrument`, by a name imported before it, gets the processor; `uninstrument` stops it."""
    done = run(tmp_path, SET_LATER)
    assert (done.returncode, done.stderr) == (0, "")
    assert events(tmp_path) == PAIR * 2


def test_a_provider_that_is_never_set(tmp_path: Path) -> None:
    """`uninstrument` puts the very function back."""
    done = run(tmp_path, NEVER_SET)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert not (tmp_path / "audit.jsonl").exists()


def test_other_settings(tmp_path: Path) -> None:
    """Whether spans are recorded is one of the settings that a second call may not change."""
    assert run(tmp_path, OTHER_SETTINGS).stdout == "True\n"


@pytest.mark.parametrize("set_first", [True, False])
def test_a_provider_without_processors(tmp_path: Path, set_first: bool) -> None:
    """A tracer provider that takes no span processor is an error that names it."""
    steps = ("trace.set_tracer_provider(Foreign())", "AuditInstrumentor().instrument(frameworks=[], genai_spans=True)")
    first, second = steps if set_first else reversed(steps)
    done = run(tmp_path, NO_PROCESSORS.format(first=first, second=second))
    assert "expected a tracer provider of the OpenTelemetry SDK, got __main__.Foreign" in done.stdout, done.stderr
