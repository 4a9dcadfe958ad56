"""Records decisions, and knows what follows where that fails."""

from __future__ import annotations

import contextlib
import logging
from typing import Final

from otel_audit import errors
from otel_audit.instrument.once import warn_once

from .call import Decided, GuardedCall
from .decision import AuditError, Decision, recorded
from .emitter import Emitter
from .log_sink import LogSink
from .policy import AuditPolicy, Mode, Severity, Status, StoreErrorMode, Trail
from .store_sink import AsyncStoreSink, StoreSink

Sink = LogSink | StoreSink
AsyncSink = LogSink | StoreSink | AsyncStoreSink

_DEFAULT: Final = AuditPolicy()
_NOT_PRUNED: Final = "old entries of %s could not be taken out of its store: %s"
_logger = logging.getLogger(__name__)


class Recorder:
    """What an engine and its guards record with. Thread-safe.

    Attributes:
        sink: Where decisions go; ``async_sink``: those of coroutines.
        emitter: Hears of each decision, recorded or not.
        policies: The trails' own.
    """

    def __init__(self, sink: Sink, async_sink: AsyncSink, emitter: Emitter, policies: dict[Trail, AuditPolicy]) -> None:
        self.sink = sink
        self.async_sink = async_sink
        self.emitter = emitter
        self.policies = policies

    def enforce(self, decision: Decision) -> None:
        """Raise where the policy demands an entry and there is none.

        Raises:
            AuditError: The decision failed, and its policy is HARD.
        """
        if decision.policy.mode is Mode.HARD and decision.failed:
            raise AuditError(decision) from decision.error

    def policy_of(self, trail: Trail, policy: AuditPolicy | None) -> AuditPolicy:
        """Return the policy that a call goes by."""
        return self.policies.get(trail, _DEFAULT) if policy is None else policy

    def attempt(
        self,
        policy: AuditPolicy,
        decided: Decided,
        call: GuardedCall | None = None,
        *,
        sink: AsyncSink | None = None,
    ) -> Decision:
        """Try to record, and tell listeners. Raises nothing that the policy answers for.

        Args:
            call: Of a guard.
            sink: In place of its own.
        """
        trail = decided[0]
        if policy.min_severity is not Severity.DEBUG and decided[2].value < policy.min_severity.value:
            return self._tell(_below(policy, trail))
        sink = sink or self.sink
        try:
            entry = sink.append(decided, policy.integrity, call)
        except Exception as error:
            return self._tell(_dropped(sink, policy, trail, call, error))
        if policy.retention_seconds is not None:
            try:
                sink.prune(trail, policy.retention_seconds)
            except Exception as error:  # the entry is recorded
                warn_once(_logger, _NOT_PRUNED, str(trail), error)
        return self._tell(recorded(trail, policy, entry))

    def attempt_at_once(self, policy: AuditPolicy, decided: Decided, call: GuardedCall | None = None) -> Decision:
        """As `attempt`, for a coroutine that cannot await."""
        return self.attempt(policy, decided, call, sink=self.async_sink)

    async def async_attempt(
        self, policy: AuditPolicy, decided: Decided, call: GuardedCall | None = None, *, at_once: bool = False
    ) -> Decision:
        """As `attempt`, without holding the event loop.

        Args:
            at_once: Blocking, if that is possible: in a cancelled scope every await may raise.
        """
        sink = self.async_sink
        if at_once and not isinstance(sink, AsyncStoreSink):
            return self.attempt_at_once(policy, decided, call)
        trail = decided[0]
        if policy.min_severity is not Severity.DEBUG and decided[2].value < policy.min_severity.value:
            return self._tell(_below(policy, trail))
        try:
            entry = await sink.aappend(decided, policy.integrity, call)
        except Exception as error:
            return self._tell(_dropped(sink, policy, trail, call, error))
        if policy.retention_seconds is not None:
            try:
                await sink.aprune(trail, policy.retention_seconds)
            except Exception as error:  # the entry is recorded
                warn_once(_logger, _NOT_PRUNED, str(trail), error)
        return self._tell(recorded(trail, policy, entry))

    def _tell(self, decision: Decision) -> Decision:
        if self.emitter.listeners:
            self.emitter.emit(decision)
        return decision


def _below(policy: AuditPolicy, trail: Trail) -> Decision:
    reason = f"not recorded: the policy asks for {policy.min_severity.name} and graver"
    return Decision(Status.DROPPED, trail, policy, reason=reason, below_min_severity=True)


def _dropped(
    sink: AsyncSink,
    policy: AuditPolicy,
    trail: Trail,
    call: GuardedCall | None,
    error: Exception,
) -> Decision:
    """Return the decision of a record that failed; count it where the action goes on."""
    # of our own errors the message is fit to be shown; another store's may hold a password
    why = str(error) if isinstance(error, errors.AuditError) else type(error).__name__
    goes_on = policy.mode is Mode.SOFT or policy.on_store_error is StoreErrorMode.FAIL_OPEN
    if call is not None:
        if call.phase == "intent":
            call.intent_id = None
        goes_on = goes_on or call.phase == "outcome"
    if goes_on:
        warn_once(_logger, "the decision of %s was not recorded: %s", str(trail), error)
        with contextlib.suppress(errors.AuditConfigError):  # no log is configured: there is nowhere to count it
            sink.lost(error)
    return Decision(Status.DROPPED, trail, policy, reason=f"not recorded: {why}", error=error)
