"""The agents on whose behalf another one acts, where the work is handed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

MAX_AGENTS: Final = 32
"""Of one run; where the work is handed to and fro without end, the first and the latest are kept."""


def shortened(agents: Sequence[T]) -> list[T]:
    """Return the first of these agents and the latest, `MAX_AGENTS` at most."""
    return [*agents[:1], *agents[1:][1 - MAX_AGENTS :]]
