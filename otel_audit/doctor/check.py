"""One thing that was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one thing.

    Attributes:
        topic: ``environment``, ``frameworks``, ``functions``, ``log`` or ``otlp``.
        state: ``problem``: something that was asked for is not audited. ``note``: worth knowing.
        subject: What was looked at.
        text: What was found, in a sentence without its full stop.
        details: For programs; the same names in each check of one kind.
        lines: More of it, for people.
    """

    topic: str
    state: State
    subject: str
    text: str
    details: Mapping[str, object] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
