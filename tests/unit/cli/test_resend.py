"""``otel-audit resend``: to a real OTLP endpoint, and what it got compared with the log."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from otel_audit.cli import main
from otel_audit.pipeline.resend import MAX_BATCH
from otel_audit.reconcile import reconcile
from tests import copies, logs

VECTORS = Path(__file__).parents[2] / "vectors" / "logs"
SAMPLES = Path(__file__).parents[1] / "reconcile" / "samples"


class Endpoint(ThreadingHTTPServer):
    """Writes what it takes as a file exporter does; takes no more than it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.path = path
        self.takes = 1000
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Endpoint

    def do_POST(self) -> None:
        """Take it, or refuse it for good."""
        request = ExportLogsServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        if self.server.takes == 0:
            self.server.reached.set()
            self.server.go_on.wait(60)
            self.send_response(400)
        else:
            self.server.takes -= 1
            with self.server.path.open("ab") as file:
                file.write(logs.dump(as_json(request)) + b"\n")
            self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


def as_json(request: ExportLogsServiceRequest) -> dict[str, Any]:
    """Return a request as OTLP JSON spells it: protobuf's own JSON, but for ids and enumerations."""
    made: dict[str, Any] = MessageToDict(request)
    for group in made["resourceLogs"]:
        for scoped in group["scopeLogs"]:
            for record in scoped["logRecords"]:
                for name in ("traceId", "spanId"):
                    if name in record:
                        record[name] = base64.b64decode(record[name]).hex()
                if "severityNumber" in record:
                    record["severityNumber"] = SeverityNumber.Value(record["severityNumber"])
    return made


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """An OTLP endpoint that the environment names."""
    server = Endpoint(tmp_path / "copy.jsonl")
    server.path.touch()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def written(folder: Path, lines: list[bytes]) -> str:
    """Write a log and return its path."""
    (folder / "audit.jsonl").write_bytes(logs.join(lines))
    return str(folder / "audit.jsonl")


@pytest.mark.parametrize(
    "log",
    [SAMPLES / "tail" / "audit.jsonl", *sorted(VECTORS.glob("sound*/audit.jsonl")), VECTORS / "keyed" / "audit.jsonl"],
    ids=lambda path: path.parent.name,
)
def test_the_records_are_those_of_the_lines(log: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    """Every entry arrives, and every member of it is the line's."""
    assert main(["resend", str(log), "--after", "0"]) == 0
    report = reconcile(log, [endpoint.path])
    assert report.agrees
    assert report.copied == report.entries
    assert capsys.readouterr().out.startswith(f"{log}: {report.entries} entr")


def test_deep_values(endpoint: Endpoint, tmp_path: Path) -> None:
    """A record as deep as a line can be is sent as the live copy is, and agrees."""
    value: object = 1
    for level in range(58):
        value = {"a": value} if level % 2 else [value]
    [first, *_] = logs.log(1)
    lines = [first, *logs.chain([logs.entry(2, deep=value)], logs.hash_of(first))]
    log = written(tmp_path, lines)
    assert main(["resend", log, "--after", "0"]) == 0
    report = reconcile(log, [endpoint.path])
    assert report.agrees
    assert report.copied == 2


def test_malformed(endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that is no entry is not sent: stderr tells how many, and the status is 1 though the others were taken."""
    lines = logs.log(5)
    lines[2] = lines[2].replace(b'"time"', b'"tyme"')
    log = written(tmp_path, lines)
    assert main(["resend", log, "--after", "0"]) == 1
    out, err = capsys.readouterr()
    assert out == f"{log}: 4 entries taken by the endpoint\n"
    assert err == f"otel-audit: {log}: 1 line is no entry and was not sent: otel-audit verify says why\n"
    assert main(["resend", log, "--after", "3"]) == 0
    assert capsys.readouterr() == (f"{log}: 2 entries taken by the endpoint\n", "")


def test_after(endpoint: Endpoint, tmp_path: Path) -> None:
    """--after sends what stands behind a seq, in batches."""
    log = written(tmp_path, logs.log(2 * MAX_BATCH))
    assert main(["resend", log, "--after", "100"]) == 0
    [finding] = reconcile(log, [endpoint.path]).findings
    assert (finding.kind, finding.seq, finding.last_seq) == ("not_in_copy", 2, 100)
    assert len(endpoint.path.read_bytes().splitlines()) == 2


def test_missing_from(endpoint: Endpoint, tmp_path: Path) -> None:
    """--missing-from sends exactly what no copy has; then the copies agree."""
    lines = logs.log(100)
    log = written(tmp_path, lines)
    (tmp_path / "first").write_bytes(copies.copy([*lines[:20], *lines[30:50], *lines[52:]], original=False))
    assert main(["resend", log, "--missing-from", str(tmp_path / "first")]) == 0
    report = reconcile(log, [tmp_path / "first", endpoint.path])
    assert report.agrees
    assert (report.doubles, report.copied) == (0, 100)


def test_large_entries(endpoint: Endpoint, tmp_path: Path) -> None:
    """A request stays small, whatever the size of the entries."""
    members = [logs.opened(), *(logs.entry(seq, text="x" * 400_000) for seq in range(2, 12))]
    log = written(tmp_path, list(logs.chain(members)))
    assert main(["resend", log, "--after", "0"]) == 0
    assert all(len(line) < 2_000_000 for line in endpoint.path.read_bytes().splitlines())
    assert reconcile(log, [endpoint.path]).agrees


def test_refused(endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the endpoint takes no more, the status is 1, and what is printed says where to go on."""
    log = written(tmp_path, logs.log(3 * MAX_BATCH))
    endpoint.takes = 2
    assert main(["resend", log, "--after", "10"]) == 1
    out, err = capsys.readouterr()
    went_on = 10 + 2 * MAX_BATCH
    assert out == f"{log}: 1,024 of 1,526 entries taken; go on with --after {went_on}\n"
    assert f"seq {went_on + 1} to {3 * MAX_BATCH}: the endpoint did not take them" in err
    endpoint.takes = 1000
    assert main(["resend", log, "--after", str(went_on)]) == 0
    report = reconcile(log, [endpoint.path])
    assert (report.copied, report.doubles) == (3 * MAX_BATCH - 10, 0)


def test_ctrl_c(endpoint: Endpoint, tmp_path: Path) -> None:
    """Ctrl-C ends it with 130, and says where to go on."""
    log = written(tmp_path, logs.log(3 * MAX_BATCH))
    endpoint.takes = 1
    endpoint.go_on.clear()
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_audit", "resend", log, "--after", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    assert endpoint.reached.wait(60)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=60)  # an answer now could come before the signal
    finally:
        endpoint.go_on.set()
    assert process.returncode == 130
    assert f"512 of 1,536 entries taken; go on with --after {MAX_BATCH}\n" in out.decode()
    assert b"Traceback" not in err


def test_usage(endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is sent unless it was said what."""
    log = written(tmp_path, logs.log(3))
    assert main(["resend", log]) == 2
    assert "expected --after SEQ or --missing-from COPY" in capsys.readouterr().err
    assert main(["resend", log, "--missing-from", "-", "--missing-from", "-"]) == 2
    assert "stdin can be read once" in capsys.readouterr().err
    assert main(["resend", log, "--after", "-1"]) == 2
    assert main(["resend", str(tmp_path / "none.jsonl"), "--after", "0"]) == 2
    assert endpoint.path.read_bytes() == b""


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the OTLP exporter the error says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc._log_exporter", None)
    assert main(["resend", written(tmp_path, logs.log(3)), "--after", "0"]) == 2
    assert "otel-audit resend needs the OTLP exporter: pip install 'otel-audit[otlp]'" in capsys.readouterr().err
