"""What a gateway takes and what it refuses: nothing refused is written, and what is taken is."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from otel_audit import AuditFileLogExporter, AuditProvider
from tests.collector.certificates import Authority
from tests.collector.collectors import Collector, turns
from tests.collector.copies import Arrivals, records

Start = Callable[..., Collector]

PLAIN = None
TOKEN = "right"


def request(name: str) -> ExportLogsServiceRequest:
    scope_logs = ScopeLogs(log_records=[LogRecord(event_name=name)])
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[scope_logs])])


def send_grpc(
    gateway: Collector, name: str, credentials: grpc.ChannelCredentials | None, token: str | None = None
) -> grpc.StatusCode:
    """Send one record; return how the gateway answered."""
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    channel = (
        grpc.insecure_channel(gateway.listen)
        if credentials is PLAIN
        else grpc.secure_channel(gateway.listen, credentials)
    )
    with channel:
        try:
            LogsServiceStub(channel).Export(request(name), timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            code = error.code()
            assert isinstance(code, grpc.StatusCode)
            return code
    return grpc.StatusCode.OK


def send_http(gateway: Collector, name: str, context: ssl.SSLContext | None, token: str | None = None) -> int:
    """Send one record; return the status, 0 where there was no answer."""
    headers = {"Content-Type": "application/x-protobuf"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connection = (
        http.client.HTTPConnection(gateway.listen_http, timeout=20)
        if context is PLAIN
        else http.client.HTTPSConnection(gateway.listen_http, timeout=20, context=context)
    )
    try:
        connection.request("POST", "/v1/logs", request(name).SerializeToString(), headers)
        return connection.getresponse().status
    except (ssl.SSLError, ConnectionError):
        return 0
    finally:
        connection.close()


def accepted(gateway: Collector) -> set[str]:
    return {record.record["eventName"] for record in records(gateway.copy / "logs.jsonl")}


class Side:
    """The certificates of both sides, and of a stranger."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "ours")
        self.server = self.authority.issue("gateway")
        self.client = self.authority.issue("client")
        self.stranger = Authority(folder / "theirs").issue("stranger")

    def credentials(self, client: tuple[Path, Path] | None = None) -> grpc.ChannelCredentials:
        certificate, key = (path.read_bytes() for path in client) if client else (None, None)
        return grpc.ssl_channel_credentials(self.authority.path.read_bytes(), key, certificate)

    def context(self, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.path))
        if client:
            context.load_cert_chain(*client)
        return context

    def environ(self, own: tuple[Path, Path]) -> dict[str, str]:
        return {
            "OTEL_AUDIT_TLS_CA": str(self.authority.path),
            "OTEL_AUDIT_TLS_CERT": str(own[0]),
            "OTEL_AUDIT_TLS_KEY": str(own[1]),
        }


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Side:
    return Side(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    with AuditProvider(AuditFileLogExporter(path, durability="os")) as provider:
        provider.get_audit_logger("otel_audit").emit("file.read", action="READ")
    return path


def test_mtls(collector: Start, side: Side) -> None:
    """A gateway with mTLS refuses plain text, no certificate and a stranger's, and takes its own clients'."""
    environ = side.environ(side.server)
    gateway = collector("gateway", "gateway.yaml", "security/gateway-mtls.yaml", **environ).start()
    assert send_grpc(gateway, "plain", PLAIN) == grpc.StatusCode.UNAVAILABLE
    assert send_grpc(gateway, "no certificate", side.credentials()) == grpc.StatusCode.UNAVAILABLE
    assert send_grpc(gateway, "stranger", side.credentials(side.stranger)) == grpc.StatusCode.UNAVAILABLE
    assert send_http(gateway, "plain", PLAIN) == 400
    assert send_http(gateway, "no certificate", side.context()) == 0
    assert send_http(gateway, "stranger", side.context(side.stranger)) == 0
    assert accepted(gateway) == set()
    assert send_grpc(gateway, "client", side.credentials(side.client)) == grpc.StatusCode.OK
    assert send_http(gateway, "client by http", side.context(side.client)) == 200
    assert accepted(gateway) == {"client", "client by http"}


def test_token(collector: Start, side: Side, tmp_path: Path) -> None:
    """A gateway with tokens refuses plain text, no token and a wrong one, and takes any of its own."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"old\n{TOKEN}\n")
    environ = {**side.environ(side.server), "OTEL_AUDIT_TOKEN_FILE": str(tokens)}
    gateway = collector("gateway", "gateway.yaml", "security/gateway-token.yaml", **environ).start()
    assert send_grpc(gateway, "plain", PLAIN, TOKEN) == grpc.StatusCode.UNAVAILABLE
    assert send_grpc(gateway, "no token", side.credentials()) == grpc.StatusCode.UNAUTHENTICATED
    for wrong in ("wrong", "", "righ", "rightx", "oldx"):
        assert send_grpc(gateway, "wrong token", side.credentials(), wrong) == grpc.StatusCode.UNAUTHENTICATED
        assert send_http(gateway, "wrong token", side.context(), wrong) == 401
    assert send_http(gateway, "plain", PLAIN, TOKEN) == 400
    assert send_http(gateway, "no token", side.context()) == 401
    assert accepted(gateway) == set()
    assert send_grpc(gateway, "client", side.credentials(), TOKEN) == grpc.StatusCode.OK
    assert send_http(gateway, "client by http", side.context(), "old") == 200
    assert accepted(gateway) == {"client", "client by http"}


def test_tail_mtls(collector: Start, side: Side, log: Path) -> None:
    """A tail collector whose certificate is refused loses nothing: once it has the right one, all arrives."""
    gateway = collector("gateway", "gateway.yaml", "security/gateway-mtls.yaml", **side.environ(side.server)).start()
    environ = {"OTEL_AUDIT_GATEWAY": gateway.listen, "OTEL_AUDIT_FILES": str(log)}
    configurations = ("tail.yaml", "security/client-mtls.yaml")
    refused = collector("tail", *configurations, **environ, **side.environ(side.stranger)).start()
    wait_for_text(refused, "unknown certificate authority")
    refused.kill()
    assert accepted(gateway) == set()
    collector("tail", *configurations, **environ, **side.environ(side.client)).start()
    arrivals = Arrivals(gateway.copy / "logs.jsonl")
    for _ in turns():
        if arrivals.look() == {1, 2, 3}:
            break


def test_otlp_token(collector: Start, side: Side, tmp_path: Path) -> None:
    """A collector between application and gateway shows its token, and what it takes meanwhile waits in its queue."""
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    environ = {**side.environ(side.server), "OTEL_AUDIT_TOKEN_FILE": str(tmp_path / "tokens")}
    gateway = collector("gateway", "gateway.yaml", "security/gateway-token.yaml", **environ)
    quick = collector(
        "otlp", "otlp.yaml", "security/client-token.yaml", OTEL_AUDIT_GATEWAY=gateway.listen, **environ
    ).start()
    assert send_grpc(quick, "from the queue", PLAIN) == grpc.StatusCode.OK
    quick.kill()
    gateway.start()
    quick.start()
    for _ in turns():
        if accepted(gateway) == {"from the queue"}:
            break


def test_tail_wrong_token(collector: Start, side: Side, log: Path, tmp_path: Path) -> None:
    """A tail collector does not try a wrong token again: what it reads meanwhile is left out, and counted."""
    (tmp_path / "right").write_text(f"{TOKEN}\n")
    (tmp_path / "wrong").write_text("wrong\n")
    environ = {**side.environ(side.server), "OTEL_AUDIT_TOKEN_FILE": str(tmp_path / "right")}
    gateway = collector("gateway", "gateway.yaml", "security/gateway-token.yaml", **environ).start()
    environ |= {"OTEL_AUDIT_TOKEN_FILE": str(tmp_path / "wrong"), "OTEL_AUDIT_GATEWAY": gateway.listen}
    tail = collector("tail", "tail.yaml", "security/client-token.yaml", OTEL_AUDIT_FILES=str(log), **environ).start()
    for _ in turns():
        if tail.metrics().get("otelcol_exporter_send_failed_log_records", 0) == 3:
            break
    assert accepted(gateway) == set()


def test_answered_is_written(collector: Start) -> None:
    """What a gateway has answered for stands in its copy, though it is killed at once and started again."""
    gateway = collector("gateway", "gateway.yaml")
    for turn in range(3):
        gateway.start()
        assert send_grpc(gateway, f"answered {turn}", PLAIN) == grpc.StatusCode.OK
        gateway.kill()
        assert accepted(gateway) == {f"answered {before}" for before in range(turn + 1)}


def test_backend(collector: Start, log: Path) -> None:
    """What a backend misses while it is away waits in a queue that survives a crash; the archive has it at once."""
    backend = collector("backend", "gateway.yaml")
    gateway = collector(
        "gateway", "gateway.yaml", "backends/otlp.yaml", OTEL_AUDIT_BACKEND=f"http://{backend.listen_http}"
    ).start()
    collector("tail", "tail.yaml", OTEL_AUDIT_GATEWAY=gateway.listen, OTEL_AUDIT_FILES=str(log)).start()
    archived = Arrivals(gateway.copy / "logs.jsonl")
    for _ in turns():
        if archived.look() == {1, 2, 3} and gateway.metrics()["otelcol_exporter_queue_size"] > 0:
            break
    gateway.kill()
    gateway.start()
    backend.start()
    arrivals = Arrivals(backend.copy / "logs.jsonl")
    for _ in turns():
        if arrivals.look() == {1, 2, 3}:
            break


def test_memory_limit(collector: Start, log: Path) -> None:
    """A gateway without memory refuses, and drops nothing: all arrives once it has more."""
    tight = collector("gateway", "gateway.yaml", OTEL_AUDIT_MEMORY_MIB="2", OTEL_AUDIT_MEMORY_SPIKE_MIB="1").start()
    for _ in turns():
        if send_grpc(tight, "probe", PLAIN) == grpc.StatusCode.UNAVAILABLE:  # its first look at its memory
            break
    before = tight.metrics()["otelcol_receiver_refused_log_records"]
    tail = collector("tail", "tail.yaml", OTEL_AUDIT_GATEWAY=tight.listen, OTEL_AUDIT_FILES=str(log)).start()
    for _ in turns():
        if tight.metrics()["otelcol_receiver_refused_log_records"] >= before + 3:
            break
    assert accepted(tight) <= {"probe"}
    tight.kill()
    tail.kill()
    roomy = collector("gateway", "gateway.yaml").start()
    collector("tail", "tail.yaml", OTEL_AUDIT_GATEWAY=roomy.listen, OTEL_AUDIT_FILES=str(log)).start()
    arrivals = Arrivals(roomy.copy / "logs.jsonl")
    for _ in turns():
        if arrivals.look() == {1, 2, 3}:
            break


def wait_for_text(one: Collector, text: str) -> None:
    for _ in turns():
        if text in one.log.read_text():
            return
