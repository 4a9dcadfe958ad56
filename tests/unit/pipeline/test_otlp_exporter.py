"""What an OTLP endpoint answers decides whether a batch counts as taken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)

from otel_audit import AuditConfigError
from otel_audit.cli import main
from otel_audit.pipeline.otlp_exporter import make_exporter
from tests import logs

REJECTED = ExportLogsServiceResponse()
REJECTED.partial_success.rejected_log_records = 2
REJECTED.partial_success.error_message = "too old"
WARNED = ExportLogsServiceResponse()
WARNED.partial_success.error_message = "use the other port"
TAKEN = ExportLogsServiceResponse()


@contextmanager
def http_endpoint(status: int, kind: str, body: bytes, location: str = "") -> Iterator[str]:
    """An endpoint that gives the same answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            if location:
                self.send_header("location", location)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def grpc_endpoint(answer: ExportLogsServiceResponse) -> Iterator[str]:
    """A gRPC endpoint that gives the same answer to everything."""

    class Servicer(LogsServiceServicer):
        def Export(self, request: object, context: object) -> ExportLogsServiceResponse:  # noqa: N802
            return answer

    server = grpc.server(ThreadPoolExecutor(2))
    add_LogsServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of five entries."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(logs.join(logs.log(5)))
    return path


def resend(log: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, protocol: str) -> int:
    """Return the exit status of sending a log to an endpoint."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")
    return main(["resend", str(log), "--after", "0"])


PROTOBUF = "application/x-protobuf"


@pytest.mark.parametrize(
    ("status", "kind", "body", "taken"),
    [
        (200, PROTOBUF, TAKEN.SerializeToString(), True),
        (200, PROTOBUF, WARNED.SerializeToString(), True),
        (202, "", b"", True),
        (200, "application/json", b"{}", True),
        (200, "application/json", b'{"partialSuccess":{}}', True),
        (200, PROTOBUF, REJECTED.SerializeToString(), False),
        (200, "application/json", b'{"partialSuccess":{"rejectedLogRecords":"2"}}', False),
        (200, "text/html; charset=utf-8", b"<html>login</html>", False),
        (200, PROTOBUF, b"\xff\xff\xff", False),
        (200, "application/json", b"[1]", False),
        (400, PROTOBUF, b"", False),
    ],
)
def test_http(log: Path, monkeypatch: pytest.MonkeyPatch, status: int, kind: str, body: bytes, taken: bool) -> None:
    """By HTTP, what is rejected, and what is no answer of OTLP, counts as not taken."""
    with http_endpoint(status, kind, body) as endpoint:
        assert resend(log, monkeypatch, endpoint, "http/protobuf") == (0 if taken else 1)


def test_a_redirection_is_no_answer(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that sends elsewhere, to a page that says 200, has not taken anything."""
    with http_endpoint(200, "", b"") as other, http_endpoint(302, "", b"", f"{other}/login") as endpoint:
        assert resend(log, monkeypatch, endpoint, "http/protobuf") == 1


@pytest.mark.parametrize(
    ("answer", "taken"), [(TAKEN, True), (WARNED, True), (REJECTED, False)], ids=["taken", "warned", "rejected"]
)
def test_grpc(log: Path, monkeypatch: pytest.MonkeyPatch, answer: ExportLogsServiceResponse, taken: bool) -> None:
    """By gRPC, a batch of which records are rejected counts as not taken."""
    with grpc_endpoint(answer) as endpoint:
        assert resend(log, monkeypatch, endpoint, "grpc") == (0 if taken else 1)


def test_unknown_protocols_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol that there is no exporter for is an error, and not another protocol."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json")
    with pytest.raises(AuditConfigError, match="OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: expected grpc or http/protobuf"):
        make_exporter("test")


def test_times_that_otlp_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Entries with times that OTLP cannot hold are counted, the others are taken, and the exit status is 1."""
    path = tmp_path / "audit.jsonl"
    early = "1960-01-01T00:00:00.000000000Z"
    entries = [logs.opened(), logs.entry(2) | {"time": early}, logs.entry(3) | {"observed_time": early}, logs.entry(4)]
    path.write_bytes(logs.join(logs.chain(entries)))
    for protocol, endpoint in (("http/protobuf", http_endpoint(200, PROTOBUF, b"")), ("grpc", grpc_endpoint(TAKEN))):
        with endpoint as address:
            assert resend(path, monkeypatch, address, protocol) == 1
        said = capfd.readouterr()
        assert "2 entries taken by the endpoint" in said.out
        assert "2 entries have times that OTLP cannot hold: not sent" in said.err
