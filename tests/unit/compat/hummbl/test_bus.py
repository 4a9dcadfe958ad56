"""`BusWriter`: the interface of hummbl-governance's bus, on an audit log."""

from __future__ import annotations

import logging
import os
import pickle
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hummbl_governance  # type: ignore[import-untyped]
import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_audit
from otel_audit import acting_as, read_log, verify_log
from otel_audit.compat.hummbl import BusPolicyError, BusWriter, PolicyLevel
from otel_audit.entry import Entry
from otel_audit.errors import AuditBlockedError, AuditConfigError, AuditRecordError, AuditWriteError
from otel_audit.testing import capture_audit
from tests import chain

KEY = b"a key of more than sixteen bytes"
CANARY = "canary-7c11"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of a bus, in a folder that does not exist yet."""
    monkeypatch.setenv("OTEL_AUDIT_DURABILITY", "os")
    path = tmp_path / "state" / "governance" / "events.jsonl"
    yield path
    BusWriter(path).close()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key file."""
    key = tmp_path / "key"
    key.write_bytes(KEY)
    return key


def entries(path: Path) -> list[Entry]:
    """The entries of a log but the log's own."""
    return [entry for entry in read_log(path) if not entry.event_name.startswith("audit.log.")]


class TestPost:
    """`BusWriter.post` and its two short forms."""

    def test_members(self, path: Path) -> None:
        """Sender, recipient, type and text stand where every reader of the log looks for them."""
        BusWriter(path).post("agent-1", "agent-2", "DECISION", "go")
        [entry] = entries(path)
        assert (entry.event_name, entry.body) == ("hummbl.bus.message", "go")
        attributes = entry.attributes
        assert attributes["audit.actor.id"] == "agent-1"
        assert (attributes["audit.target.id"], attributes["audit.target.type"]) == ("agent-2", "recipient")
        assert (attributes["audit.action"], attributes["audit.outcome"]) == ("SEND", "success")
        assert attributes["hummbl.message.type"] == "DECISION"
        assert entry.scope == {"name": "otel_audit.hummbl", "version": otel_audit.__version__}

    def test_trace_and_delegation(self, path: Path) -> None:
        """A message belongs to the current span, and says on whose behalf it was sent."""
        tracer = TracerProvider().get_tracer("test")
        with tracer.start_as_current_span("step") as span, acting_as("maya", type="user"), acting_as("agent-1"):
            BusWriter(path).post("agent-1", "all", "STATUS", "x")
        [entry] = entries(path)
        assert entry.span_id == f"{span.get_span_context().span_id:016x}"
        assert entry.attributes["audit.delegation"] == ["maya", "agent-1"]

    @pytest.mark.parametrize("method", ["append", "write"])
    def test_short_forms(self, method: str, path: Path) -> None:
        """``append`` and ``write`` post a LOG message of action and object, as the package's do."""
        ours, theirs = BusWriter(path), hummbl_governance.BusWriter(path.with_name("theirs.tsv"))
        for bus in (ours, theirs):
            getattr(bus, method)("agent-1", "read", "docs/report.md", to_id="auditor")
        (mine,), (other,) = ours.read_all(), theirs.read_all()
        assert {**mine, "timestamp": ""} == {**other, "timestamp": ""}

    def test_text_comes_back_as_it_was(self, path: Path) -> None:
        """White space, control characters and any script in ids and text are read as they were posted."""
        sent = (" agent\t1 ", "a\nb", "STATUS\x1b", "tab\there\nline\r\nback\\nslash \u2028 \x85 🦜 {}")
        BusWriter(path).post(*sent)
        [message] = BusWriter(path).read_all()
        assert (message.from_id, message.to_id, message.msg_type, message.message) == sent

    @pytest.mark.parametrize("field", range(4))
    def test_validates(self, field: int, path: Path) -> None:
        """By default an empty field is a ValueError, and nothing is written, not even a file."""
        fields = ["a", "b", "c", "d"]
        fields[field] = ""
        with pytest.raises(ValueError, match="expected a non-empty string, got none") as caught:
            BusWriter(path).post(*fields)
        assert isinstance(caught.value, AuditRecordError)
        assert not path.parent.exists()

    def test_without_validation(self, path: Path) -> None:
        """``validate=False`` takes empty fields, long texts and other types than text."""
        bus = BusWriter(path)
        for fields in (("", "", ""), ("b", "c", "x" * 70_000), (None, None, None), (1, 2, {"a": [1]})):
            bus.post("agent-1", *fields, validate=False)
        assert [(m.to_id, m.msg_type, m.message) for m in bus.read_all()] == [
            ("", "", ""),
            ("b", "c", "x" * 70_000),
            ("None", "", ""),
            ("1", "2", '{"a": [1]}'),
        ]

    def test_more_than_a_line_can_hold(self, path: Path) -> None:
        """A text beyond 1 MiB does not fail: its digest and size stand in its place."""
        BusWriter(path).post("a", "b", "c", "x" * 2_000_000, validate=False)
        [message] = BusWriter(path).read_all()
        assert '"$size": 2000002' in message.message

    def test_raises_where_it_could_not_be_written(self, path: Path) -> None:
        """A message that is not in the log is an error; the package returns as if it were."""
        with capture_audit() as captured:
            captured.fail(OSError(28, "No space left on device"))
            with pytest.raises(AuditWriteError, match="No space left on device"):
                BusWriter(captured.path).post("a", "b", "c", "d")
            assert BusWriter(captured.path).read_all() == []

    def test_missing_folders_are_made(self, path: Path) -> None:
        """The folders of the page's path are made, for their owner only."""
        BusWriter(path).post("a", "b", "c", "d")
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        """Where a folder in the path is a file, the error names it."""
        (tmp_path / "file").touch()
        with pytest.raises(AuditWriteError, match="file/sub: the folder cannot be made: Not a directory"):
            BusWriter(tmp_path / "file" / "sub" / "events.jsonl").post("a", "b", "c", "d")

    def test_a_name_that_no_log_has(self, tmp_path: Path) -> None:
        """A path that does not end in .jsonl cannot be posted to, and the error says what a log's name is."""
        with pytest.raises(AuditConfigError, match=r"expected a name ending in \.jsonl"):
            BusWriter(tmp_path / "messages.tsv").post("a", "b", "c", "d")

    def test_a_bus_file_is_never_written_to(self, tmp_path: Path) -> None:
        """A file that the package wrote is read, and a post to it is refused with the way out."""
        path = tmp_path / "events.jsonl"
        hummbl_governance.BusWriter(path).post("a", "b", "c", "d")
        before = path.read_bytes()
        with pytest.raises(AuditConfigError, match="otel-audit import FILE --to LOG"):
            BusWriter(path).post("a", "b", "c", "d")
        assert path.read_bytes() == before

    def test_a_relative_path_is_that_of_the_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path
    ) -> None:
        """A change of folder does not move the bus; its path is shown as it was given."""
        monkeypatch.chdir(tmp_path)
        bus = BusWriter("state/governance/events.jsonl")
        monkeypatch.chdir("/")
        bus.post("a", "b", "c", "d")
        assert bus.bus_path == Path("state/governance/events.jsonl")
        assert BusWriter(path).message_count() == 1


class TestRead:
    """`read_all`, `read_since`, `message_count`."""

    def test_nothing_there(self, path: Path) -> None:
        """A bus without a file has no messages, and reading makes none."""
        bus = BusWriter(path)
        assert (bus.read_all(), bus.read_since("2026-01-01T00:00:00Z"), bus.message_count()) == ([], [], 0)
        assert not path.parent.exists()

    def test_a_star_is_a_star(self, path: Path) -> None:
        """A name with ``*`` is that name, and no pattern that other logs fit."""
        BusWriter(path).post("a", "b", "c", "d")
        assert BusWriter(path.with_name("ev*.jsonl")).read_all() == []

    def test_since(self, path: Path) -> None:
        """Messages of that time and later come back in the order of the log, by either name of the parameter."""
        bus = BusWriter(path)
        for second in (1, 3, 2):
            bus.post("a", "b", "c", str(second), timestamp=f"2026-04-05T00:00:0{second}Z")
        for read in (
            bus.read_since("2026-04-05T00:00:02Z"),
            bus.read_since(timestamp="2026-04-05T02:00:02+02:00"),
            bus.read_since(since="2026-04-05T00:00:01.5"),
        ):
            assert [message.message for message in read] == ["3", "2"]

    @pytest.mark.parametrize("given", [{}, {"timestamp": "2026-01-01", "since": "2026-01-01"}])
    def test_since_needs_one_time(self, given: dict[str, Any], path: Path) -> None:
        """No time, or two, is a TypeError, as for any function."""
        with pytest.raises(TypeError, match="expected one of timestamp and since"):
            BusWriter(path).read_since(**given)

    def test_since_refuses_another_text(self, path: Path) -> None:
        """What is no time is an error, not an answer."""
        with pytest.raises(ValueError, match="timestamp: expected a time"):
            BusWriter(path).read_since("")

    def test_other_entries_are_no_messages(self, path: Path) -> None:
        """Entries of other parts of the program in the same log are passed over."""
        path.parent.mkdir(parents=True)
        with otel_audit.configure(path):
            otel_audit.get_audit_logger("shop").emit("order.refund")
            BusWriter(path).post("a", "b", "c", "d")
            assert [message.seq for message in BusWriter(path).read_all()] == [3]
            assert BusWriter(path).message_count() == 1

    def test_all_segments(self, path: Path) -> None:
        """A log that was rotated is one bus."""
        path.parent.mkdir(parents=True)
        with otel_audit.configure(path) as provider:
            bus = BusWriter(path)
            bus.post("a", "b", "c", "one")
            provider.rotate()
            bus.post("a", "b", "c", "two")
            assert [message.message for message in bus.read_all()] == ["one", "two"]


class TestPolicy:
    """What the levels do."""

    def test_permissive_takes_what_validate_lets_through(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Unsigned and unvalidated, a message is taken without a word."""
        BusWriter(path).post("a", "", "c", "d", validate=False)
        [entry] = entries(path)
        assert (entry.severity_number, caplog.records) == (None, [])

    def test_warn_takes_it_and_says_so(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """WARN warns once of a log without a key, and of each wrong message, which is marked in the log."""
        bus = BusWriter(path, policy=PolicyLevel.WARN)
        bus.post("a", "b", "c", CANARY)
        bus.post("a", "", "c", CANARY, validate=False)
        assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
            (
                logging.WARNING,
                f"{path}: messages are not signed: no OTEL_AUDIT_HMAC_KEY_FILE, no hmac_key_file=",
            ),
            (logging.WARNING, f"{path}: to_id: expected a non-empty string, got none"),
        ]
        fine, wrong = entries(path)
        assert (fine.severity_number, fine.attributes.get("audit.reason")) == (None, None)
        assert (wrong.severity_number, wrong.severity_text) == (13, "WARN")
        assert wrong.attributes["audit.reason"] == "to_id: expected a non-empty string, got none"

    def test_warn_still_raises_what_validate_raises(self, path: Path) -> None:
        """With ``validate=True`` a wrong message is refused at every level."""
        with pytest.raises(AuditRecordError, match="to_id: expected"):
            BusWriter(path, policy=PolicyLevel.WARN).post("a", "", "c", "d")
        assert not path.exists()

    def test_strict_refuses_to_post_unsigned(self, path: Path) -> None:
        """Without a key STRICT posts nothing, makes nothing, and says how to give a key."""
        with pytest.raises(AuditConfigError, match="policy STRICT refuses unsigned messages; nothing was posted"):
            BusWriter(path, policy=PolicyLevel.STRICT).post("a", "b", "c", "d")
        assert not path.parent.exists()

    @pytest.mark.parametrize("by", ["argument", "environment"])
    def test_strict_posts_signed(self, by: str, path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a key, from either place, STRICT posts, and each line is signed."""
        if by == "environment":
            monkeypatch.setenv("OTEL_AUDIT_HMAC_KEY_FILE", str(key))
        more = {"hmac_key_file": key} if by == "argument" else {}
        BusWriter(path, policy=PolicyLevel.STRICT, **more).post("a", "b", "c", "d")
        chain.check(path, key=KEY)

    @pytest.mark.parametrize("validate", [True, False])
    @pytest.mark.parametrize(("sender", "actor"), [("agent-1", "agent-1"), ("", "test"), (None, "test")])
    def test_strict_records_what_it_refuses(
        self, validate: bool, sender: str, actor: str, path: Path, key: Path
    ) -> None:
        """A refused message is a decision in the log, with its reason and without its text; it is no message."""
        bus = BusWriter(path, policy=PolicyLevel.STRICT, hmac_key_file=key)
        with pytest.raises(BusPolicyError, match="expected a non-empty string, got none; refused by policy STRICT"):
            bus.post(sender or "agent-1", "", "c", CANARY, validate=validate)
        with pytest.raises(BusPolicyError, match="expected"):
            bus.post(sender, "", "c", CANARY, validate=validate)
        assert bus.read_all() == []
        refused = entries(path)[-1]
        assert (refused.event_name, refused.attributes["audit.decision"]) == ("hummbl.bus.refuse", "block")
        assert "expected a non-empty string" in str(refused.attributes["audit.reason"])
        assert refused.attributes["audit.actor.id"] == actor
        assert CANARY.encode() not in path.read_bytes()

    def test_a_refusal_is_both_errors(self) -> None:
        """Who catches ValueError, as for the package, and who catches blocked actions, both catch it."""
        assert issubclass(BusPolicyError, ValueError)
        assert issubclass(BusPolicyError, AuditBlockedError)


class TestObject:
    """The object itself."""

    def test_properties(self, path: Path) -> None:
        """Path and policy can be read, and its text shows both."""
        bus = BusWriter(str(path), policy=PolicyLevel.WARN)
        assert (bus.bus_path, bus.policy) == (path, PolicyLevel.WARN)
        assert repr(bus) == f"BusWriter({str(path)!r}, policy=PolicyLevel.WARN)"

    def test_pickled(self, path: Path, key: Path) -> None:
        """It can be sent to another process, which spawns without a fork; the package's cannot."""
        bus = BusWriter(path, policy=PolicyLevel.STRICT, hmac_key_file=key)
        bus.post("a", "b", "c", "one")
        bus.close()
        again = pickle.loads(pickle.dumps(bus))
        again.post("a", "b", "c", "two")
        assert (again.bus_path, again.policy, again.message_count()) == (path, PolicyLevel.STRICT, 2)
        chain.check(path, key=KEY)

    def test_forked(self, path: Path) -> None:
        """A forked child posts into the same chain."""
        bus = BusWriter(path)
        bus.post("parent", "all", "STATUS", "before")
        child = os.fork()
        if not child:
            try:
                bus.post("child", "all", "STATUS", "during")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        bus.post("parent", "all", "STATUS", "after")
        assert [message.from_id for message in bus.read_all()] == ["parent", "child", "parent"]
        chain.check(path)

    def test_closed_and_used_again(self, path: Path) -> None:
        """A closed bus ends its log in order; a later post opens it again."""
        bus = BusWriter(path)
        bus.post("a", "b", "c", "one")
        bus.close()
        bus.close()
        bus.post("a", "b", "c", "two")
        names = [line.name for line in chain.check(path)]
        assert names.count("audit.log.closed") == 1
        assert names.count("audit.log.opened") == 2
        assert verify_log(path).intact
