"""A record and the nouns in it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from otel_audit.record import Actor, AuditReceipt, AuditRecord, Source, Target

NOUNS = [Actor("a"), Target("t"), Source("s"), AuditRecord(event_name="e")]


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: type(noun).__name__)
def test_frozen(noun: Any) -> None:
    """No member of a noun can be changed, and none can be added."""
    name = dataclasses.fields(noun)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(noun, name, "other")
    with pytest.raises((AttributeError, TypeError)):
        noun.unknown = 1
    assert not hasattr(noun, "__dict__")


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: type(noun).__name__)
def test_values(noun: Any) -> None:
    """Nouns are values: equal by their members, hashable, and the same behind pickle and copy."""
    assert pickle.loads(pickle.dumps(noun)) == noun == copy.deepcopy(noun)
    assert hash(dataclasses.replace(noun)) == hash(noun)


def test_defaults() -> None:
    """An actor is a service unless told otherwise; a target has no type."""
    assert (Actor("a").type, Target("t").type, Source("s").type) == ("service", None, None)


def test_record_by_keyword_only() -> None:
    """A record's members have names at each use: there are too many to count off."""
    with pytest.raises(TypeError):
        AuditRecord("event")  # type: ignore[call-arg]


class TestReceipt:
    def test_text(self) -> None:
        """The text of a receipt is the anchor that the verifier takes."""
        assert str(AuditReceipt("id", 5, "ab", 0, "stream")) == "5:ab"

    def test_recorded(self) -> None:
        """Only an entry with a place in the chain is recorded."""
        assert AuditReceipt("id", 1, "", 0, "stream").recorded
        assert not AuditReceipt("id", 0, "", 0, "").recorded

    def test_is_a_tuple(self) -> None:
        """A receipt can be unpacked, and names its members."""
        assert AuditReceipt._fields == ("record_id", "seq", "hash", "time_ns", "stream_id")
