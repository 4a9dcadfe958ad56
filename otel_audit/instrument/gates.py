"""`audit_gate`: the decisions of ActionGate, BudgetGate and RuleGate engines, in the audit log.

An engine tells its listeners of each decision, and swallows what they raise: a listener alone
could not keep an action from running whose decision is not on record. So the calls that decide are
wrapped, too: what the listener heard meanwhile is recorded before they return.
"""

from __future__ import annotations

import functools
import inspect
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from otel_audit import __version__, semconv
from otel_audit.environment import OnFailure, check_on_failure
from otel_audit.errors import AuditConfigError
from otel_audit.pipeline.assemble import assemble
from otel_audit.pipeline.configuration import get_audit_logger
from otel_audit.pipeline.log_record import AuditLogRecord
from otel_audit.pipeline.logger import in_event_loop
from otel_audit.pipeline.provider import Channel
from otel_audit.record import Decision, Target

E = TypeVar("E")

_DECIDING: Final = ("check", "check_all", "reserve", "async_check")
"""The calls of the three engines that decide; their guards come down to these."""

_GATES: Final = {"gate": "actiongate", "ledger": "budgetgate", "rule": "rulegate"}
"""The member of a decision that says what was decided upon, and the kind of gate that has it."""

_COUNTERS: Final = (
    "calls_in_window",
    "time_since_last",
    "spent_in_window",
    "requested",
    "remaining",
    "evaluated_count",
)
_LIMITS: Final = (("policy", "max_calls"), ("budget", "max_spend"))

_STORE_ERROR: Final = "STORE_ERROR"
_SEVERITIES: Final = {"INFO": 9, "WARN": 13, "ERROR": 17}
_RAISED: Final = re.compile(r" \(raised: ([A-Za-z_][\w.]*)?.*", re.DOTALL)
"""What RuleGate adds to the name of a rule that raised: the exception's text, which may hold an argument."""
_UNNAMED: Final = "unnamed rule"

_pending: ContextVar[list[Any] | None] = ContextVar("otel-audit-gate-pending", default=None)
"""What was decided in the call under way, and is not yet recorded."""
_heard: ContextVar[Any] = ContextVar("otel-audit-gate-heard", default=None)
"""The last decision that was recorded outside of such a call."""


def audit_gate(engine: E, *, on_failure: OnFailure | None = None) -> E:
    """Record every decision of an ActionGate, BudgetGate or RuleGate engine before it takes effect.

    One entry (``gate.decision``) for each: verdict, severity (INFO where it allows, WARN where it
    blocks, ERROR where the gate's own store failed), the gate's identity, the reason, and in
    ``gate.detail`` the counters. Nothing of the guarded function's arguments is recorded, nor of
    the texts of exceptions.

    The engine's class becomes a subclass of its own; guards that were made before are audited too.
    A second call with equal settings does nothing. Thread-safe as the engine is.

    Args:
        engine: Of one of the three packages, sync or async.
        on_failure: ``closed``: where a decision cannot be recorded, the call that decides raises
            `AuditWriteError`, and the action does not run. ``open``: the decision stands, and the loss
            is counted. None leaves it to the provider.

    Returns:
        The engine.

    Raises:
        AuditConfigError: It has no listeners or nothing that decides, or is audited with other settings.
    """
    if on_failure is not None:
        check_on_failure(on_failure)
    kind = type(engine)
    before = getattr(kind, "_audited_with", None)
    if before is not None:
        if before != (on_failure,):
            raise AuditConfigError("expected an engine that is not audited yet, got one that is, with other settings")
        return engine
    names = [name for name in _DECIDING if hasattr(kind, name)]
    listen = getattr(engine, "on_decision", None)
    if not names or listen is None:
        raise AuditConfigError(f"expected an engine with on_decision and check, got {kind.__name__}")
    auditor = _Auditor(on_failure)
    members = {name: auditor.around(getattr(kind, name)) for name in names}
    own = {"__slots__": (), "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    audited = type(kind.__name__, (kind,), {**own, **members, "_audited_with": (on_failure,)})
    object.__setattr__(engine, "__class__", audited)  # an engine may refuse to be assigned to
    listen(auditor.heard)
    return engine


class _Auditor:
    """Records the decisions of one engine."""

    def __init__(self, on_failure: OnFailure | None) -> None:
        self._logger = get_audit_logger("otel_audit.gates", __version__)
        self._on_failure = on_failure

    def heard(self, decision: Any) -> None:
        """Take a decision; the engine's listener. Engines that share an emitter each hear of it."""
        pending = _pending.get()
        if pending is None:  # not decided in a call that is wrapped: what this raises, the engine counts
            if decision is not _heard.get():
                _heard.set(decision)
                self._record(decision)
        elif not any(decision is known for known in pending):
            pending.append(decision)

    def around(self, decide: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, which returns once what it decided is recorded."""
        if inspect.iscoroutinefunction(decide):

            @functools.wraps(decide)
            async def awaited(engine: Any, *args: Any, **kwargs: Any) -> Any:
                with self._listening() as pending:
                    result = await decide(engine, *args, **kwargs)
                for decision in pending:
                    await self._arecord(decision)
                return result

            return awaited

        @functools.wraps(decide)
        def called(engine: Any, *args: Any, **kwargs: Any) -> Any:
            with self._listening() as pending:
                result = decide(engine, *args, **kwargs)
            try:
                for decision in pending:
                    self._record(decision)
            except BaseException:
                if decide.__name__ == "reserve" and result[0] is not None:
                    engine.release(result[0])  # nobody else knows of it
                raise
            return result

        return called

    @contextmanager
    def _listening(self) -> Iterator[list[Any]]:
        pending: list[Any] = []
        token = _pending.set(pending)
        try:
            yield pending
        except BaseException:
            for decision in pending:  # told to the listeners, and then something else went wrong
                self._record(decision)
            raise
        finally:
            _pending.reset(token)

    def _record(self, decision: Any) -> None:
        channel = self._channel()
        self._logger.send(channel, _record_of(channel, decision, False), self._on_failure)

    async def _arecord(self, decision: Any) -> None:
        channel = self._channel()
        await self._logger.asend(channel, _record_of(channel, decision, in_event_loop()), self._on_failure)

    def _channel(self) -> Channel:
        channel = self._logger.channel()
        assert channel is not None  # of a logger that requires auditing
        return channel


def _record_of(channel: Channel, decision: Any, deferred: bool) -> AuditLogRecord:
    member = next((name for name in _GATES if hasattr(decision, name)), None)
    identity = None if member is None else getattr(decision, member)
    kind = type(decision).__module__.partition(".")[0] if member is None else _GATES[member]
    reason = getattr(decision.reason, "name", None)
    word: Decision = "allow" if decision.allowed else "block"
    severity = "ERROR" if reason == _STORE_ERROR else "INFO" if decision.allowed else "WARN"
    attributes: dict[str, object] = {
        semconv.GATE_MONOTONIC_TIME: time.monotonic(),
        semconv.GATE_DETAIL: _detail(decision),
    }
    rare: dict[str, Any] = {}
    if reason is not None:
        rare["reason"] = reason
    if identity is not None:
        rare["target"] = Target(str(identity), kind)
        rare["trail"] = f"{identity.namespace}:{kind}@{identity.principal}"
        if ":" in identity.namespace:
            attributes[semconv.GATE_TRAIL] = [identity.namespace, kind, identity.principal]
    return assemble(
        channel,
        semconv.EVENT_GATE_DECISION,
        None,
        attributes=attributes,
        deferred=deferred,
        decision=word,
        severity_number=_SEVERITIES[severity],
        severity_text=severity,
        **rare,
    )


def _detail(decision: Any) -> dict[str, object]:
    """Return the counters, and the limit that they are held against."""
    detail = {name: _plain(getattr(decision, name)) for name in _COUNTERS if hasattr(decision, name)}
    for owner, name in _LIMITS:
        limit = getattr(getattr(decision, owner, None), name, None)
        if limit is not None:
            detail[name] = _plain(limit)
    violated = getattr(decision, "violated_rules", None)
    if violated is not None:
        names = set(map(_name_of, getattr(decision.ruleset, "predicates", ())))
        detail["violated_rules"] = [_shown(text, names) for text in violated]
    return detail


def _plain(value: Any) -> object:
    """Return a counter as JSON has it: amounts as text, which is exact."""
    return value if value is None or isinstance(value, int | float) else str(value)


def _name_of(predicate: Any) -> object:
    return getattr(predicate, "name", None) or getattr(predicate, "__qualname__", None)


def _shown(text: str, names: set[object]) -> str:
    """Return a rule's name, and the type of what it raised, without what else RuleGate says of it.

    A rule without a name is shown by its ``repr``, which may hold a secret.
    """
    raised = _RAISED.search(text)
    name = text if raised is None else text[: raised.start()]
    shown = name if name in names else _UNNAMED
    return f"{shown} (raised: {raised[1]})" if raised and raised[1] else shown
