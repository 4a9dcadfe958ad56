"""docs/reconcile.md shows what the commands print: each is run, and compared line by line."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import audited, configure, get_audit_logger
from otel_audit.cli import main
from tests import copies, logs

PAGE = (Path(__file__).parents[2] / "docs" / "reconcile.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```console\n\$ otel-audit (.*)\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)
SENDS = re.findall(r"^otel-audit (resend .*?)(?:  +#.*)?$", PAGE, re.MULTILINE)


class Taker(BaseHTTPRequestHandler):
    """Takes every OTLP request."""

    def do_POST(self) -> None:
        """Say thank you."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the page is about, and be in it."""
    lines = logs.log(12)
    for name, data in (
        ("audit.jsonl", logs.join(lines)),
        ("cut.jsonl", logs.join(lines[:8])),
        ("edited.jsonl", logs.join(copies.resealed(lines, 5, lines=0))),
        ("logs.jsonl", copies.copy(lines)),
    ):
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Return the address of an OTLP endpoint on this machine."""
    server = HTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def as_request(span: ReadableSpan) -> logs.Members:
    """Return a span as a file exporter writes it."""
    assert span.context is not None
    record = {
        "traceId": f"{span.context.trace_id:032x}",
        "spanId": f"{span.context.span_id:016x}",
        "parentSpanId": "" if span.parent is None else f"{span.parent.span_id:016x}",
        "name": span.name,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
    }
    resource = {"attributes": copies.key_values({"service.name": span.resource.attributes["service.name"]})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": [record]}]}]}


def traced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a log and a traces file of one run; return its trace id."""
    exporter = InMemorySpanExporter()
    resource = Resource({"service.name": "agent"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    (folder / "audit.jsonl").unlink()
    with configure("audit.jsonl", resource=resource), provider.get_tracer("a").start_as_current_span("answer") as root:
        audited("order.refund")(lambda: None)()
        get_audit_logger("a").emit("order.read", action="READ", target="A-7")
    spans = exporter.get_finished_spans()
    (folder / "traces.jsonl").write_bytes(logs.join(logs.dump(as_request(span)) for span in spans))
    intent = json.loads((folder / "audit.jsonl").read_bytes().split(b"\n")[1])["attributes"]["audit.record.id"]
    assert [(span.attributes or {}).get("audit.record.id") for span in spans] == [intent, None]
    return f"{root.get_span_context().trace_id:032x}"


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_command(
    command: str, shown: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command prints what the page shows; what stands in braces there is of that run."""
    if command.startswith("trace "):
        trace_id = traced(folder, monkeypatch)
        command, shown = (text.replace("{trace}", trace_id) for text in (command, shown))
    main(command.split())
    pattern = re.sub(r"\\\{\w+\\\}", r"[0-9a-f.:,]+", re.escape(shown))
    out = capsys.readouterr().out
    assert re.fullmatch(pattern, out), out


@pytest.mark.parametrize("command", SENDS)
def test_resend(command: str, folder: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command that sends runs as it is shown."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    assert main(command.split()) == 0


def test_all_examples_are_tested() -> None:
    """The page has five commands with their output, and two that send."""
    assert (len(EXAMPLES), len(SENDS)) == (5, 2)
    assert PAGE.count("```console") == 5


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", PAGE))))
def test_links_lead_to_files(path: str) -> None:
    """Each relative link leads to a file."""
    assert (Path(__file__).parents[2] / "docs" / path).exists()
