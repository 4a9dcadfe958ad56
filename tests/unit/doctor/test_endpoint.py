"""Whether an OTLP endpoint answers, told in time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)

from otel_audit.doctor.check import Check
from otel_audit.doctor.endpoint import TIMEOUT_SECONDS, check_endpoint

SECRET = "canary-5f2c9d8e"


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that it is told to."""

    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None: ...


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the URL of an endpoint that answers with a status."""
    handler = type("Answering", (Handler,), {"status": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def found(monkeypatch: pytest.MonkeyPatch, url: str, protocol: str = "http/protobuf", asked: str = "otlp") -> Check:
    """Return what is found of an endpoint."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    [check] = check_endpoint({**environ, "OTEL_AUDIT_PROCESSORS": asked})
    return check


@pytest.mark.parametrize("endpoint", [200], indirect=True)
def test_answers(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that takes an empty export is well; where nothing asks for copies, that is said."""
    check = found(monkeypatch, endpoint)
    assert (check.state, check.subject) == ("ok", endpoint.removeprefix("http://"))
    assert check.details == {"protocol": "http/protobuf", "answers": True, "asked": True}
    assert "OTEL_AUDIT_PROCESSORS does not name otlp" in found(monkeypatch, endpoint, asked="").text


def test_answers_by_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds of gRPC."""

    class Service(LogsServiceServicer):
        def Export(self, request: object, context: object) -> ExportLogsServiceResponse:  # noqa: N802
            return ExportLogsServiceResponse()

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        add_LogsServiceServicer_to_server(Service(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            check = found(monkeypatch, f"http://127.0.0.1:{port}", "grpc")
        finally:
            server.stop(None).wait()
    assert (check.state, check.text) == ("ok", "takes an empty export (grpc)")


@pytest.mark.parametrize("endpoint", [404], indirect=True)
def test_refuses(endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that does not take records is a problem, or a note where no copies are asked for; no log."""
    check = found(monkeypatch, endpoint)
    assert (check.state, check.text) == ("problem", "is there, and does not take an empty export (http/protobuf)")
    assert found(monkeypatch, endpoint, asked="console").state == "note"
    assert caplog.records == []


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_silent(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    """One that takes connections and says nothing is told after three seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = monotonic()
        check = found(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}", protocol)
        assert monotonic() - began < 2 * TIMEOUT_SECONDS  # far less than the exporter's own ten
    assert check.state == "problem"
    assert check.text.startswith(("does not answer within 3 s", "is there, and does not take"))


def test_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One where nobody listens is told; credentials in the URL are not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check = found(monkeypatch, f"http://me:{SECRET}@127.0.0.1:{port}/v1")
    assert (check.subject, check.text) == (f"127.0.0.1:{port}", "cannot be reached: Connection refused (http/protobuf)")
    assert SECRET not in str(check)


@pytest.mark.parametrize("port", ["99999", "port", "0"])
def test_no_port(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    """A port that is none is told as that."""
    assert found(monkeypatch, f"http://h:{port}").text == "expected a port from 1 to 65535 in the URL, got another"


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", "http://a..b:4318", "a..b", f"http://{'a' * 64}.test", "http://\udce9/"]
)
def test_no_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What is no URL is a problem."""
    assert found(monkeypatch, url).text == "expected a URL with a host, got none"


def test_not_asked() -> None:
    """Without an endpoint and without copies nothing is looked at."""
    assert list(check_endpoint({})) == []
    assert list(check_endpoint({"OTEL_AUDIT_PROCESSORS": "nothing"})) == []
