"""README.md and the pages in docs show what works: their blocks are run, in their order, on a real log."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

import otel_audit
from otel_audit import environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
API = (ROOT / "docs/api.md").read_text(encoding="utf-8")
ZERO_CODE = (ROOT / "docs/zero-code.md").read_text(encoding="utf-8")
AUDITED = (ROOT / "docs/audited.md").read_text(encoding="utf-8")
OPENTELEMETRY = (ROOT / "docs/opentelemetry.md").read_text(encoding="utf-8")
SET_UP = [
    "python3 -m pip install -q uv && python3 -m uv run examples/quickstart/main.py",
    "python3 -m pip install -q uv && python3 -m uv run pytest",
]

TRACED_LOG = """
import otel_audit
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())
otel_audit.configure("audit.jsonl")
with trace.get_tracer("test").start_as_current_span("agent"):
    for number in range(10):
        otel_audit.get_audit_logger("test").emit("file.read", action="READ", attributes={"number": number})
"""

FROM_THE_ENVIRONMENT = """
import os
import time

from opentelemetry._logs import get_logger
from opentelemetry.sdk._configuration import _OTelSDKConfigurator

_OTelSDKConfigurator().configure()
get_logger("shop").emit(timestamp=time.time_ns(), event_name="order.refund", attributes={"audit.action": "EXECUTE"})
get_logger("shop").emit(timestamp=time.time_ns(), event_name="page.viewed")
"""


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


SHOWN_LINE = blocks(README, "json")[0].rstrip("\n")
SHOWN_TRACE = json.loads(SHOWN_LINE)["trace_id"]
SHELL = [block for block in blocks(README, "sh") if block.strip() not in SET_UP]


class Collector(BaseHTTPRequestHandler):
    """Takes every OTLP request and notes that it came."""

    received: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        """Say thank you."""
        self.rfile.read(int(self.headers["content-length"]))
        self.received.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


@pytest.fixture(scope="module")
def collector() -> Iterator[str]:
    """Return the address of an OTLP endpoint on this machine."""
    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def environ(collector: str) -> dict[str, str]:
    """Return what a reader's shell has: our command on the path, a service name and a collector's address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    commands = Path(sys.executable).parent
    return kept | {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OTEL_SERVICE_NAME": "readme",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> Path:
    """Return a folder with a log that has traces in it."""
    folder = tmp_path_factory.mktemp("readme")
    run_python(TRACED_LOG, folder, environ)
    return folder


def run(command: list[str], folder: Path, environ: dict[str, str]) -> str:
    """Run a command as a reader would; return what it prints."""
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_python(code: str, folder: Path, environ: dict[str, str]) -> str:
    """Run a program with warnings as errors."""
    return run([sys.executable, "-W", "error", "-c", code], folder, environ)


def run_shell(command: str, folder: Path, environ: dict[str, str]) -> str:
    """Run a command line."""
    return run(["bash", "-euo", "pipefail", "-c", command], folder, environ)


def lines(folder: Path) -> list[bytes]:
    """Return the lines of the log, without their LF."""
    return (folder / "audit.jsonl").read_bytes().split(b"\n")[:-1]


@pytest.mark.parametrize("command", SET_UP)
def test_the_set_up_commands_stand_alone(command: str) -> None:
    """Each set-up command is a block of its own, to be pasted whole."""
    assert command + "\n" in blocks(README, "sh")


def test_the_quickstart_that_readme_names_exists() -> None:
    """The first command starts a file of this repository."""
    assert (ROOT / "examples/quickstart/main.py").is_file()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_to_files(path: str) -> None:
    """Each relative link of README leads to a file or folder of this repository."""
    assert (ROOT / path).exists()


@pytest.mark.parametrize("code", blocks(README + API + AUDITED + OPENTELEMETRY, "python"))
def test_python_examples_add_to_an_intact_log(code: str, folder: Path, environ: dict[str, str]) -> None:
    """Each example runs as it is shown, without a warning, and the log verifies after it."""
    run_python(code.replace(SHOWN_TRACE, "0" * 32), folder, environ)
    assert run(["otel-audit", "verify", "audit.jsonl"], folder, environ)


def test_the_decorated_example_writes_intent_and_outcome(tmp_path: Path, environ: dict[str, str]) -> None:
    """`@audited` writes two lines with both actors, the captured arguments and no others."""
    [code] = [block for block in blocks(README, "python") if "@audited" in block]
    run_python(code, tmp_path, environ)
    intent, outcome = (json.loads(line) for line in lines(tmp_path) if b'"event_name":"order.refund"' in line)
    assert [intent["attributes"]["audit.phase"], outcome["attributes"]["audit.phase"]] == ["intent", "outcome"]
    assert intent["attributes"]["audit.delegation"] == ["ada@example.com", "support-agent"]
    assert intent["attributes"]["audit.target.id"] == "A-1027"
    assert intent["attributes"]["audit.arguments"] == {"order_id": "A-1027", "amount": 12.5}
    assert b"4111 1111" not in (tmp_path / "audit.jsonl").read_bytes()


def test_the_collector_example_sends_the_record(tmp_path: Path, environ: dict[str, str]) -> None:
    """The record of the example reaches an OTLP endpoint."""
    [code] = [block for block in blocks(README, "python") if "OTLPLogExporter" in block]
    Collector.received.clear()
    run_python(code, tmp_path, environ)
    assert "/v1/logs" in Collector.received


@pytest.mark.parametrize("command", SHELL)
def test_shell_examples_print_something(command: str, folder: Path, environ: dict[str, str]) -> None:
    """Each command line runs as it is shown and has something to say."""
    trace_id = json.loads(lines(folder)[8])["trace_id"]
    assert run_shell(command.replace(SHOWN_TRACE, trace_id), folder, environ).strip()


def test_coreutils_give_the_hash_of_every_line(folder: Path, environ: dict[str, str]) -> None:
    """The `sed` line of README prints the `hash` of each line of a real log, and each names the one before."""
    [command] = [block for block in SHELL if "sha256sum" in block]
    before = hashlib.sha256(b"").hexdigest()
    for number, line in enumerate(lines(folder)[:6], start=1):
        entry = json.loads(line)
        printed = run_shell(command.replace("9p", f"{number}p"), folder, environ)
        assert printed.split()[0] == entry["hash"]
        assert entry["prev_hash"] == before
        before = entry["hash"]
    assert number >= 5


def test_the_line_in_readme_is_real(tmp_path: Path, environ: dict[str, str]) -> None:
    """The `sed` line of README, run on the line that README shows, gives the hash that the line ends with."""
    (tmp_path / "audit.jsonl").write_text(SHOWN_LINE + "\n", encoding="utf-8")
    [command] = [block for block in SHELL if "sha256sum" in block]
    printed = run_shell(command.replace("9p", "1p"), tmp_path, environ)
    assert printed.split()[0] == json.loads(SHOWN_LINE)["hash"]


def test_the_table_names_every_member_in_its_order() -> None:
    """The members of the line that README shows stand in its table, in the order of the line."""
    table = README[README.index("| member |") : README.index("`hash` is over the bytes")]
    named = [name for row in table.strip().splitlines()[2:] for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])]
    shown = list(json.loads(SHOWN_LINE))
    assert [name for name in named if name in shown] == shown


def test_the_trace_examples_go_both_ways(folder: Path, environ: dict[str, str]) -> None:
    """From a line to its trace, and from the trace to its lines."""
    [to_trace] = [block for block in SHELL if "trace_id" in block]
    trace_id = json.loads(lines(folder)[8])["trace_id"]
    assert run_shell(to_trace, folder, environ).strip() == f'"trace_id":"{trace_id}"'
    [to_lines] = [block for block in blocks(README, "python") if "read_log" in block]
    printed = run_python(to_lines.replace(SHOWN_TRACE, trace_id), folder, environ)
    assert "9 file.read success" in printed.splitlines()


@pytest.mark.parametrize("name", sorted(otel_audit.__all__))
def test_every_public_name_is_documented(name: str) -> None:
    """Each public name stands in docs/api.md."""
    assert f"`{name}`" in API


def test_the_settings_are_those_of_configure() -> None:
    """The tables of settings name the arguments of `configure`, and all variables, and no others."""
    table = API[API.index("## Settings") : API.index("## Segments and a key")]
    rows = [row.split("|")[1:4] for row in table.splitlines() if row.startswith("| `")]
    assert {row[0].strip(" `") for row in rows} == set(inspect.signature(otel_audit.configure).parameters)
    variables = {name for name in vars(environment) if name.startswith("OTEL_AUDIT_")}
    others = set(re.findall(r"^\| `(OTEL_AUDIT_\w+)` \|", ZERO_CODE + API, re.MULTILINE))
    assert {row[1].strip(" `") for row in rows} - {"–"} | others == variables


class TestExporterFromTheEnvironment:
    """`OTEL_LOGS_EXPORTER=audit_file`, as docs/opentelemetry.md shows it."""

    def start(self, program: str, folder: Path, environ: dict[str, str]) -> list[dict[str, Any]]:
        """Run a program under the settings that the page shows; return the entries that it leaves."""
        [export] = blocks(OPENTELEMETRY, "sh")
        (folder / "program.py").write_text(program, encoding="utf-8")
        others = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
        run_shell(f"{export}\npython program.py", folder, environ | others)
        return [json.loads(line) for line in lines(folder)] if (folder / "audit.jsonl").exists() else []

    def test_writes_what_carries_an_action(self, tmp_path: Path, environ: dict[str, str]) -> None:
        """Of two records the one with `audit.action` is written, complete, and the log verifies."""
        entries = self.start(FROM_THE_ENVIRONMENT, tmp_path, environ)
        own = [entry for entry in entries if not entry["event_name"].startswith("audit.log.")]
        assert [entry["event_name"] for entry in own] == ["order.refund"]
        assert own[0]["attributes"]["audit.actor.id"] == "readme"
        assert run(["otel-audit", "verify", "audit.jsonl"], tmp_path, environ)

    def test_loses_what_waits_in_the_batch(self, tmp_path: Path, environ: dict[str, str]) -> None:
        """A record that waits when the process ends without its exit hooks is lost, as the page says."""
        entries = self.start(FROM_THE_ENVIRONMENT + "os._exit(0)", tmp_path, environ)
        assert not [entry for entry in entries if entry["event_name"] == "order.refund"]
