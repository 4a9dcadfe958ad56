"""The page of the HUMMBL Governance Bus: its code runs with one import line changed, and what it claims is true."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk.trace import TracerProvider

import otel_audit
from otel_audit import AuditInstrumentor, verify_log
from otel_audit.compat.hummbl import BusWriter, Message, PolicyLevel
from tests import chain

THEIR_IMPORT = "from hummbl_governance import BusWriter"
OUR_IMPORT = "from otel_audit.compat.hummbl import BusWriter"

USE_IT = """
from hummbl_governance import BusWriter

bus = BusWriter(bus_path="_state/governance/events.jsonl")

bus.post(
    from_id="agent-claude-1",
    to_id="all",
    msg_type="STATUS",
    message="file.write src/api.py (42 lines added)",
)

# Query later
for event in bus.read_since(timestamp="2026-04-05T00:00:00Z"):
    print(event.from_id, event.msg_type, event.message)
"""

PATH = Path("_state/governance/events.jsonl")
KEY = b"a key of more than sixteen bytes"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    BusWriter(PATH).close()


@pytest.fixture
def instrumented() -> Iterator[BusWriter]:
    """The bus, with the package's primitives audited in its log."""
    PATH.parent.mkdir(parents=True)
    provider = otel_audit.configure(PATH, durability="os")
    AuditInstrumentor().instrument(frameworks=["hummbl"])
    yield BusWriter(PATH)
    AuditInstrumentor().uninstrument()
    provider.shutdown()


def post(message: str = "file.write src/api.py (42 lines added)", msg_type: str = "STATUS", **more: Any) -> BusWriter:
    """Post one message of the page's agent."""
    bus = BusWriter(PATH, **more)
    bus.post("agent-claude-1", "all", msg_type, message)
    return bus


def last_line() -> dict[str, Any]:
    """The last line of the bus, read with nothing but the standard library."""
    line: dict[str, Any] = json.loads(PATH.read_bytes().split(b"\n")[-2])
    return line


def shell(command: str) -> str:
    """What a command line prints, in the folder of the bus."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=PATH.parent,
        env=os.environ | {"PATH": scripts},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


class TestUseIt:
    """The section "Use it"."""

    def test_runs_with_one_import_line_changed(self, folder: Path) -> None:
        """The page's program, its import line changed, prints its message and leaves a log that verifies."""
        program = USE_IT.replace(THEIR_IMPORT, OUR_IMPORT)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "agent-claude-1 STATUS file.write src/api.py (42 lines added)\n"
        assert [line.name for line in chain.check(PATH)] == [
            "audit.log.opened",
            "hummbl.bus.message",
            "audit.log.closed",
        ]
        assert verify_log(PATH).intact

    def test_the_shipped_package_does_not_run_it(self, folder: Path) -> None:
        """hummbl-governance itself fails on the page's program: what is tested here is the page, not the package."""
        done = subprocess.run([sys.executable, "-c", USE_IT], cwd=folder, capture_output=True, text=True, timeout=60)
        assert "read_since() got an unexpected keyword argument 'timestamp'" in done.stderr


class TestWhatItDoes:
    """The section "What it does", and the sentences above it."""

    def test_append_only_jsonl(self) -> None:
        """Each post leaves the bytes before it as they were, and adds one line, which is JSON."""
        bus = post()
        before = PATH.read_bytes()
        bus.post("a", "b", "STATUS", "next")
        after = PATH.read_bytes()
        assert after.startswith(before)
        added = after[len(before) :]
        assert added.count(b"\n") == 1
        assert added.endswith(b"\n")
        assert json.loads(added)["body"] == "next"

    def test_assessor_readable_in_a_text_editor(self) -> None:
        """The file is UTF-8 text in which who, what and when stand in plain words, one message a line."""
        post("Grüße: file.write src/api.py")
        line = PATH.read_text(encoding="utf-8").splitlines()[-1]
        for words in ("agent-claude-1", "STATUS", "Grüße: file.write src/api.py", last_line()["time"]):
            assert words in line

    def test_grep_friendly_from_the_command_line(self) -> None:
        """``grep`` for an actor prints that actor's lines and no others, even for one that mentions it."""
        bus = post()
        bus.post("agent-2", "all", "STATUS", 'I am not "audit.actor.id":"agent-claude-1"')
        found = shell("""grep -F '"audit.actor.id":"agent-claude-1"' events.jsonl""").splitlines()
        assert [json.loads(line)["body"] for line in found] == ["file.write src/api.py (42 lines added)"]

    def test_evidence_preservation_out_of_the_box(self) -> None:
        """With no setting made, a changed, a dropped and an added line are each found."""
        bus = post("one")
        bus.post("a", "b", "STATUS", "two")
        bus.post("a", "b", "STATUS", "three")
        lines = PATH.read_bytes().splitlines(keepends=True)
        for altered in (
            [*lines[:2], lines[2].replace(b'"two"', b'"2wo"'), lines[3]],
            [*lines[:2], lines[3]],
            [*lines, lines[1]],
        ):
            copy = Path("copy.jsonl")
            copy.write_bytes(b"".join(altered))
            assert not verify_log(copy).intact
        assert verify_log(PATH).intact

    @pytest.mark.parametrize("msg_type", ["DECISION", "DELEGATION", "API_CALL", "ERROR", "POLICY_EVALUATION"])
    def test_every_agent_action_writes_a_single_line(self, msg_type: str) -> None:
        """A message of each kind that the page names is one line, line feeds in it or not."""
        post()
        lines = PATH.read_bytes().count(b"\n")
        post("first line\nsecond line\r\nthird\u2028fourth", msg_type)
        assert PATH.read_bytes().count(b"\n") == lines + 1
        assert last_line()["attributes"]["hummbl.message.type"] == msg_type

    def test_no_updates_no_deletes(self) -> None:
        """Nothing of the interface changes or removes a message, and none that was removed is forgotten."""
        bus = post()
        bus.post("a", "b", "STATUS", "two")
        assert not [name for name in dir(bus) if any(word in name for word in ("update", "delete", "clear", "remove"))]
        cut = PATH.read_bytes().splitlines(keepends=True)[:-1]
        PATH.write_bytes(b"".join(cut))
        with pytest.raises(otel_audit.AuditLogPoisonedError):
            bus.post("a", "b", "STATUS", "three")
        assert PATH.read_bytes() == b"".join(cut)

    def test_each_line_is_timestamped(self) -> None:
        """A line says when it happened and when it was written, and a caller can set the first only."""
        began = datetime.now(UTC).isoformat()
        BusWriter(PATH).post("a", "b", "STATUS", "late", timestamp="2026-04-05T02:00:00+02:00")
        assert last_line()["time"] == "2026-04-05T00:00:00.000000000Z"
        assert last_line()["observed_time"][:26] >= began[:26]
        for wrong in ("yesterday", "2026-04-05T00:00:00Z\tadmin\tall\tDECISION\tapproved", ""):
            with pytest.raises(ValueError, match="timestamp: expected a time"):
                BusWriter(PATH).post("a", "b", "STATUS", "forged", timestamp=wrong, validate=False)
        assert BusWriter(PATH).message_count() == 1

    def test_each_line_is_actor_attributed(self) -> None:
        """A line names who sent it, and no message gets in that does not say."""
        post()
        assert last_line()["attributes"]["audit.actor.id"] == "agent-claude-1"
        for nobody in ("", "  ", None):
            with pytest.raises(ValueError, match="from_id: expected"):
                BusWriter(PATH).post(nobody, "b", "STATUS", "x", validate=False)  # type: ignore[arg-type]
        assert BusWriter(PATH).message_count() == 1

    def test_optionally_hmac_signed(self, folder: Path) -> None:
        """With a key file each line has an HMAC that the key makes; without one none has."""
        key = folder / "key"
        key.write_bytes(KEY)
        post(hmac_key_file=key)
        assert chain.check(PATH, key=KEY)
        assert verify_log(PATH, hmac_key_file=key).intact
        BusWriter("unsigned.jsonl").post("a", "b", "STATUS", "x")
        BusWriter("unsigned.jsonl").close()
        assert b'"hmac"' not in Path("unsigned.jsonl").read_bytes()

    def test_you_give_them_the_file(self, folder: Path) -> None:
        """The file alone, copied to another place under another name, verifies."""
        post()
        copy = folder / "elsewhere" / "evidence.jsonl"
        copy.parent.mkdir()
        shutil.copy(PATH, copy)
        assert verify_log(copy).intact

    def test_they_can_filter_by_time_window(self) -> None:
        """Times sort as text, so a time window is a comparison, in Python or in awk."""
        bus = BusWriter(PATH)
        for hour in (8, 9, 10, 11):
            bus.post("a", "all", "STATUS", f"at {hour}", timestamp=f"2026-04-05T{hour:02}:00:00Z")
        since = [event.message for event in bus.read_since(timestamp="2026-04-05T09:00:00Z")]
        assert since == ["at 9", "at 10", "at 11"]
        window = [event.message for event in bus.read_all() if "2026-04-05T09" <= event.timestamp < "2026-04-05T11"]
        assert window == ["at 9", "at 10"]
        found = shell("""awk -F '"time":"' '$2 >= "2026-04-05T09" && $2 < "2026-04-05T11"' events.jsonl""")
        assert [json.loads(line)["body"] for line in found.splitlines()] == window

    def test_they_can_verify_signatures(self, folder: Path) -> None:
        """``otel-audit verify`` with the key accepts the log, and finds a line that another key signed."""
        key, other = folder / "key", folder / "other"
        key.write_bytes(KEY)
        other.write_bytes(KEY[::-1])
        post(hmac_key_file=key)
        BusWriter(PATH).close()
        assert "intact" in shell(f"otel-audit verify events.jsonl --hmac-key-file {key}")
        assert "mac_invalid" in shell(f"otel-audit verify events.jsonl --hmac-key-file {other} || true")

    def test_they_can_export_to_their_own_systems(self) -> None:
        """``otel-audit show --format json`` gives each entry as plain JSON."""
        post()
        lines = [json.loads(line) for line in shell("otel-audit show events.jsonl --format json").splitlines()]
        assert lines[-1]["body"] == "file.write src/api.py (42 lines added)"

    def test_messages_leave_by_otlp(self, collector: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """With OTEL_AUDIT_PROCESSORS=otlp a message reaches a collector, with its place in the chain and its span."""
        monkeypatch.setenv("OTEL_AUDIT_PROCESSORS", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        with TracerProvider().get_tracer("test").start_as_current_span("agent") as span:
            bus = post()
        bus.close()
        [record] = [record for record in Collector.records() if record.event_name == "hummbl.bus.message"]
        attributes = {item.key: item.value for item in record.attributes}
        assert record.body.string_value == "file.write src/api.py (42 lines added)"
        assert record.trace_id.hex() == f"{span.get_span_context().trace_id:032x}"
        assert attributes["audit.sequence.number"].int_value == 2
        assert last_line()["attributes"].get("audit.sequence.number") is None


class TestPrimitives:
    """Every other HUMMBL primitive writes to it."""

    def test_kill_switch_engagements_log_timestamps_and_reasons(self, instrumented: BusWriter) -> None:
        """An engagement is a message with the switch's own time, who did it, and why."""
        from hummbl_governance import KillSwitch, KillSwitchMode  # type: ignore[import-untyped]

        event = KillSwitch().engage(KillSwitchMode.HALT_ALL, "budget exceeded", "cost_governor")
        [message] = instrumented.read_all()
        assert (message.from_id, message.to_id, message.msg_type) == ("cost_governor", "all", "KILL_SWITCH")
        assert "budget exceeded" in message.message
        assert last_line()["attributes"]["audit.reason"] == "budget exceeded"
        assert last_line()["time"][:26] == event.timestamp[:26]

    def test_circuit_breakers_log_trips_and_recoveries(self, instrumented: BusWriter) -> None:
        """A breaker that trips, is probed and recovers leaves a message of each."""
        from hummbl_governance import CircuitBreaker

        breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=0)
        with pytest.raises(ZeroDivisionError):
            breaker.call(divmod, 1, 0)
        breaker.call(divmod, 1, 1)
        assert {message.msg_type for message in instrumented.read_all()} == {"CIRCUIT_BREAKER"}
        assert [message.message for message in instrumented.read_all()] == [
            "CLOSED to OPEN, 1 failures",
            "OPEN to HALF_OPEN",
            "HALF_OPEN to CLOSED",
        ]

    def test_delegation_tokens_log_issuance_and_use(self, instrumented: BusWriter) -> None:
        """A token's issuance is a message of its issuer, its use one of its subject."""
        from hummbl_governance import DelegationTokenManager

        manager = DelegationTokenManager(secret=KEY)
        token = manager.issue("orchestrator", "worker", ["read"], ["docs/*"])
        assert manager.check_least_privilege(token, "read") == (True, None)
        issued, used = instrumented.read_all()
        assert (issued.from_id, issued.msg_type, issued.message) == (
            "orchestrator",
            "DELEGATION_TOKEN",
            "issued to worker",
        )
        assert (used.from_id, used.message) == ("worker", "allowed")

    def test_the_bus_is_the_evidence_substrate(self, instrumented: BusWriter) -> None:
        """Messages and primitives stand in one chain of one file."""
        from hummbl_governance import KillSwitch, KillSwitchMode

        post("about to stop")
        KillSwitch().engage(KillSwitchMode.EMERGENCY, "drift", "monitor")
        assert [message.seq for message in instrumented.read_all()] == [2, 3]
        chain.check(PATH)


class TestWhenToReachForIt:
    """The section "When to reach for it"."""

    def test_a_defensible_audit_trail(self) -> None:
        """A head that was noted elsewhere proves that nothing was cut off since."""
        bus = post()
        bus.post("a", "b", "STATUS", "two")
        anchor = f"{last_line()['seq']}:{last_line()['hash']}"
        assert verify_log(PATH, anchors=[anchor]).anchored
        Path("cut.jsonl").write_bytes(b"".join(PATH.read_bytes().splitlines(keepends=True)[:-1]))
        assert [finding.kind for finding in verify_log("cut.jsonl", anchors=[anchor]).findings] == ["truncated"]

    def test_agents_run_in_air_gapped_environments(self, folder: Path) -> None:
        """The page's program opens no socket."""
        guard = """
            import sys

            def refuse(event, arguments):
                if event.startswith("socket.") and event != "socket.gethostname":
                    raise SystemExit(f"air gap: {event}")

            sys.addaudithook(refuse)
        """
        program = textwrap.dedent(guard) + USE_IT.replace(THEIR_IMPORT, OUR_IMPORT)
        done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout


class TestContract:
    """The section "The contract"."""

    @pytest.mark.parametrize(
        ("function", "parameters"),
        [
            (BusWriter.post, "from_id to_id msg_type message * timestamp=None validate=True"),
            (BusWriter.read_all, ""),
            (BusWriter.read_since, "timestamp"),
            (BusWriter, "bus_path * policy=PERMISSIVE"),
        ],
    )
    def test_signatures(self, function: Callable[..., Any], parameters: str) -> None:
        """Each call takes the parameters that the page has, in its order, with its defaults."""
        given = [parameter for parameter in inspect.signature(function).parameters.values() if parameter.name != "self"]
        positional = [name for name in parameters.partition("*")[0].split() if "=" not in name]
        assert [parameter.name for parameter in given][: len(positional)] == positional
        keywords = dict(part.split("=") for part in parameters.partition("*")[2].split())
        for name, default in keywords.items():
            parameter = inspect.signature(function).parameters[name]
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
            assert getattr(parameter.default, "name", str(parameter.default)) == default

    def test_post_returns_none(self) -> None:
        """``post(…) -> None``."""
        assert BusWriter(PATH).post("a", "b", "SITREP", "x") is None  # type: ignore[func-returns-value]

    def test_reading_returns_lists_of_messages(self) -> None:
        """``read_all() -> list[Message]``, ``read_since(…) -> list[Message]``."""
        bus = post()
        for read in (bus.read_all(), bus.read_since("2026-04-05T00:00:00Z")):
            assert isinstance(read, list)
            assert [type(message) for message in read] == [Message]

    def test_bus_path_is_text_or_path(self) -> None:
        """``bus_path: str | Path``: both name the same bus."""
        BusWriter(str(PATH)).post("a", "b", "STATUS", "text")
        BusWriter(PATH).post("a", "b", "STATUS", "path")
        assert [message.message for message in BusWriter(PATH).read_all()] == ["text", "path"]

    def test_the_policy_is_permissive_by_default(self) -> None:
        """``policy: PolicyLevel = PolicyLevel.PERMISSIVE``."""
        assert BusWriter(PATH).policy is PolicyLevel.PERMISSIVE

    def test_the_wire_format_is_frozen(self) -> None:
        """A message's line has these members and attributes, and the log says which version of the format it has."""
        post()
        assert list(last_line()) == [
            *("seq", "time", "event_name", "body", "attributes", "observed_time", "resource", "scope"),
            *("prev_hash", "hash"),
        ]
        assert list(last_line()["attributes"]) == [
            *("audit.record.id", "audit.actor.id", "audit.actor.type", "audit.action", "audit.outcome"),
            *("audit.target.id", "audit.target.type", "audit.schema.version", "hummbl.message.type"),
        ]
        first = json.loads(PATH.read_text(encoding="utf-8").splitlines()[0])
        assert first["attributes"]["audit.format.version"] == "1"


class Collector(BaseHTTPRequestHandler):
    """Takes OTLP requests."""

    received: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        """Keep what came, and say thank you."""
        self.received.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""

    @classmethod
    def records(cls) -> Iterator[Any]:
        """The log records that came."""
        import gzip

        for body in cls.received:
            with contextlib.suppress(gzip.BadGzipFile):
                body = gzip.decompress(body)  # noqa: PLW2901
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                for scope in resource.scope_logs:
                    yield from scope.log_records


@pytest.fixture
def collector() -> Iterator[str]:
    """Return the address of an OTLP endpoint on this machine."""
    Collector.received.clear()
    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
