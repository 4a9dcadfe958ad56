"""`otel_audit.compat.hummbl.message`: a message under all of its names, and its time."""

from __future__ import annotations

import copy
import json
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.compat.hummbl import Message
from otel_audit.compat.hummbl.message import message_of, time_of
from otel_audit.entry import Entry, parse_entry
from otel_audit.errors import AuditRecordError
from tests import logs

MESSAGE = Message("2026-04-05T00:00:00Z", "agent-1", "all", "STATUS", "done", time_ns=1, seq=2)
THEIRS = {"timestamp": "2026-04-05T00:00:00Z", "from": "agent-1", "to": "all", "type": "STATUS", "message": "done"}


def entry(**more: object) -> Entry:
    """An entry of a log with these attributes besides the required ones."""
    members = logs.entry(5, "hummbl.bus.message", **more)
    return parse_entry(logs.seal(members))


class TestMessage:
    """`Message`: the page's attributes, the package's keys."""

    @pytest.mark.parametrize(
        ("attribute", "key", "value"),
        [
            ("timestamp", "timestamp", "2026-04-05T00:00:00Z"),
            ("from_id", "from", "agent-1"),
            ("to_id", "to", "all"),
            ("msg_type", "type", "STATUS"),
            ("message", "message", "done"),
        ],
    )
    def test_each_name(self, attribute: str, key: str, value: str) -> None:
        """Each part can be had as attribute, under the package's key, and under the page's name as key."""
        assert getattr(MESSAGE, attribute) == MESSAGE[key] == MESSAGE[attribute] == value
        assert MESSAGE.get(key) == MESSAGE.get(attribute) == value

    def test_is_the_packages_dict(self) -> None:
        """It equals the dict that hummbl-governance returns, and goes into JSON as one."""
        assert MESSAGE == THEIRS
        assert json.loads(json.dumps([MESSAGE])) == [THEIRS]

    def test_unknown_key(self) -> None:
        """A key that no message has is a KeyError, and absent for ``get``."""
        with pytest.raises(KeyError, match="sender"):
            MESSAGE["sender"]
        assert MESSAGE.get("sender", "nobody") == "nobody"

    def test_copies(self) -> None:
        """Copied and pickled it keeps its place and its time."""
        for other in (copy.copy(MESSAGE), copy.deepcopy(MESSAGE), pickle.loads(pickle.dumps(MESSAGE))):
            assert (other, other.seq, other.time_ns) == (MESSAGE, 2, 1)

    def test_repr(self) -> None:
        """Its text shows the page's names."""
        assert repr(MESSAGE) == (
            "Message(timestamp='2026-04-05T00:00:00Z', from_id='agent-1', to_id='all', msg_type='STATUS', "
            "message='done')"
        )


class TestMessageOf:
    """`message_of`: from an entry."""

    def test_an_entry_without_a_type_is_no_message(self) -> None:
        """Other entries of the log are none of the bus."""
        assert message_of(entry()) is None

    def test_place_and_time(self) -> None:
        """A message knows its entry, and its time to the nanosecond; its text shows the second."""
        message = message_of(entry(**{"hummbl.message.type": "STATUS", "audit.target.type": "recipient"}))
        assert message is not None
        assert (message.seq, message.timestamp, message.time_ns % 10**9) == (5, "2026-11-22T00:00:00Z", 5456789)
        assert (message.from_id, message.to_id) == ("agent", "git_log")

    def test_what_is_for_nobody_is_for_all(self) -> None:
        """A target that is no recipient is what was acted upon, not whom the message is for."""
        message = message_of(entry(**{"hummbl.message.type": "KILL_SWITCH"}))
        assert message is not None
        assert message.to_id == "all"

    def test_forged_values(self) -> None:
        """Whatever stands in a line, a message is made of text."""
        message = message_of(entry(**{"hummbl.message.type": ["a"], "audit.actor.id": {"b": 1}}))
        assert message is not None
        assert (message.msg_type, message.from_id, message.message) == ('["a"]', '{"b": 1}', "")


class TestTimeOf:
    """`time_of`: ISO 8601 to nanoseconds."""

    @pytest.mark.parametrize(
        ("text", "time_ns"),
        [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:01", 10**9),
            (" 1970-01-01T02:00:00+02:00 ", 0),
            ("1970-01-02", 86_400 * 10**9),
            ("1969-12-31T23:59:59.5Z", -5 * 10**8),
            ("1970-01-01T00:00:00.123456789Z", 123_456_789),
            ("1970-01-01T00:00:00.1234567Z", 123_456_700),
        ],
    )
    def test_times(self, text: str, time_ns: int) -> None:
        """A time without a zone is UTC; digits down to the nanosecond count."""
        assert time_of(text) == time_ns

    @pytest.mark.parametrize("text", ["", "now", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+05:00", None, 5, "a\tb"])
    def test_other_texts(self, text: str) -> None:
        """What is no time, or lies outside the years 1 to 9999, is refused as a ValueError of ours."""
        with pytest.raises(AuditRecordError, match="timestamp: expected a time such as"):
            time_of(text)

    def test_without_a_zone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A time without a zone is UTC wherever the machine stands."""
        monkeypatch.setenv("TZ", "XYZ+5")
        time.tzset()
        try:
            assert time_of("1970-01-01T00:00:01") == 10**9
        finally:
            monkeypatch.undo()
            time.tzset()

    @given(st.datetimes(timezones=st.timezones()))
    def test_any_time(self, moment: object) -> None:
        """The text that Python writes of any time is read as that time."""
        try:
            expected = round(moment.timestamp() * 10**6) * 1000  # type: ignore[attr-defined]
        except (OverflowError, ValueError):
            return
        try:
            assert abs(time_of(moment.isoformat()) - expected) <= 10**5  # type: ignore[attr-defined]
        except AuditRecordError:
            assert moment.year in (1, 9999)  # type: ignore[attr-defined]
