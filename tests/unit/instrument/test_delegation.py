"""Chains of agents that hand the work on."""

from __future__ import annotations

import pytest

from otel_audit.instrument.frameworks.delegation import MAX_AGENTS, shortened


@pytest.mark.parametrize("count", [0, 1, 2, MAX_AGENTS - 1, MAX_AGENTS])
def test_whole(count: int) -> None:
    """A chain that is not too long is kept as it is."""
    assert shortened(range(count)) == list(range(count))


@pytest.mark.parametrize("count", [MAX_AGENTS + 1, 3 * MAX_AGENTS])
def test_too_long(count: int) -> None:
    """Of one that is, the first agent and the latest are kept."""
    assert shortened(tuple(range(count))) == [0, *range(count - MAX_AGENTS + 1, count)]
