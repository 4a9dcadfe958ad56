"""`otel_audit.query.midstate`: SHA-256 that can be stopped."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.query import midstate
from otel_audit.query.midstate import BLOCK_BYTES, INITIAL_STATE, go_on, padding


def digests(messages: Sequence[bytes]) -> list[bytes]:
    """Return SHA-256 of each, by this module alone."""
    return go_on([INITIAL_STATE] * len(messages), [message + padding(len(message)) for message in messages])


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_is_sha256(messages: list[bytes]) -> None:
    """Messages of any lengths side by side have the hashes that the standard library gives them."""
    assert digests(messages) == [hashlib.sha256(message).digest() for message in messages]


@given(st.binary(max_size=400), st.integers(0, 10))
def test_can_be_stopped_at_each_block(message: bytes, blocks: int) -> None:
    """Stopped after any block and taken up again, the hash is the same."""
    padded = message + padding(len(message))
    cut = min(blocks * BLOCK_BYTES, len(padded))
    [state] = go_on([INITIAL_STATE], [padded[:cut]])
    assert go_on([state], [padded[cut:]]) == [hashlib.sha256(message).digest()]


def test_more_than_one_round_of_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """More messages than are hashed at once come back in their own order."""
    monkeypatch.setattr(midstate, "LANES", 8)
    source = random.Random(8)
    messages = [source.randbytes(source.randrange(700)) for _ in range(83)]
    assert digests(messages) == [hashlib.sha256(message).digest() for message in messages]


def test_a_long_message() -> None:
    """A long message beside short ones has its hash."""
    message = random.Random(1).randbytes(2**18)
    assert digests([message, b"", b"abc"]) == [hashlib.sha256(one).digest() for one in (message, b"", b"abc")]
