"""What is recorded: a decision, and the guarded call that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from otel_audit.record import Outcome, Phase

from .policy import Severity, Trail, Verdict

Decided = tuple[Trail, Verdict, Severity, str, str, str | None, Mapping[str, Any] | None]
"""A decision as an engine is told of it: trail, verdict, severity, gate type and identity, reason, detail."""


class GuardedCall:
    """A call of a guarded function under way. Used by one thread or task at a time.

    Attributes:
        function_name: Its dotted name.
        phase: Of the entry that is written next.
        intent_id: ``audit.record.id`` of the decision in the log; None where it is not there.
        decided: ``sequence`` of the decision; None where there is none.
        outcome: How the call ended, with its ``duration`` in seconds and ``error_type``.
    """

    __slots__ = ("decided", "duration", "error_type", "function_name", "intent_id", "outcome", "phase", "started")

    def __init__(self, function_name: str) -> None:
        self.function_name = function_name
        self.phase: Phase = "intent"
        self.intent_id: str | None = None
        self.decided: int | None = None
        self.outcome: Outcome = "unknown"
        self.duration: float | None = None
        self.error_type: str | None = None
        self.started = perf_counter()

    def begin(self) -> None:
        """Note that the function runs from now on."""
        self.started = perf_counter()

    def end(self, outcome: Outcome, error_type: str | None = None) -> dict[str, object]:
        """Note how it ended; return the detail of the entry that says so."""
        self.phase = "outcome"
        self.outcome = outcome
        self.error_type = error_type
        self.duration = perf_counter() - self.started
        detail: dict[str, object] = {"outcome": outcome, "duration": self.duration}
        if error_type is not None:
            detail["error_type"] = error_type
        if self.decided is not None:
            detail["decision"] = self.decided
        return detail
