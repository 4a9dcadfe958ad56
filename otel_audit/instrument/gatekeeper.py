"""A policy's keeper: asks it, records what it decided, and lets through or blocks."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from otel_audit.attributes import check_action, check_event_name
from otel_audit.environment import OnFailure, check_on_failure
from otel_audit.errors import AuditBlockedError, AuditConfigError, AuditError
from otel_audit.instrument.call import Binder, Call
from otel_audit.instrument.details import ActorOf, AttributesOf, Details, TargetOf
from otel_audit.instrument.kind import kind_of
from otel_audit.instrument.verdict import UnclearAnswerError, Verdict, undecided, verdict_of
from otel_audit.pipeline.assemble import assemble
from otel_audit.pipeline.configuration import get_audit_logger
from otel_audit.pipeline.log_record import AuditLogRecord
from otel_audit.pipeline.logger import in_event_loop
from otel_audit.pipeline.provider import Channel
from otel_audit.record import AuditReceipt

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Gatekeeper:
    """Asks one policy about the calls of one function. Immutable; serves any number of threads."""

    def __init__(
        self,
        function: Any,
        event_name: str,
        function_name: str,
        *,
        check: Callable[[Call], Any],
        action: str,
        target: TargetOf,
        actor: ActorOf,
        attributes: AttributesOf,
        on_failure: OnFailure | None,
    ) -> None:
        if kind_of(check) == "coroutine" and kind_of(function) in ("call", "generator"):
            raise AuditConfigError(
                f"gate: expected a plain policy for {function_name}, which cannot await, got an async one"
            )
        self._check = check
        self._event_name = check_event_name(event_name)
        self._logger = get_audit_logger("otel_audit")
        self._binder = Binder(function)
        self._details = Details(actor=actor, target=target, attributes=attributes)
        self._static = {**self._details.static, "action": check_action(action)}
        self._on_failure = None if on_failure is None else check_on_failure(on_failure)

    def ask(self, instance: object, args: Args, kwargs: Kwargs) -> None:
        """Return where the policy allows the call and the decision is recorded.

        Raises:
            AuditBlockedError: It does not.
            AuditWriteError: The decision is not in the log, and failures are closed.
        """
        channel, call = self._begin(instance, args, kwargs)
        try:
            verdict = verdict_of(_answered(self._check(call)))
        except Exception as error:
            verdict = undecided(error)
            receipt = self._logger.send(channel, self._record(channel, call, verdict), self._on_failure)
            raise self._blocked(verdict, receipt) from error
        except BaseException as error:
            self._give_up(channel, call, error)
            raise
        receipt = self._logger.send(channel, self._record(channel, call, verdict), self._on_failure)
        if not verdict.allows:
            raise self._blocked(verdict, receipt)

    async def aask(self, instance: object, args: Args, kwargs: Kwargs) -> None:
        """As `ask`, without holding up the event loop: for policies of either kind."""
        channel, call = self._begin(instance, args, kwargs)
        deferred = in_event_loop()
        try:
            answer = self._check(call)
            verdict = verdict_of(await answer if inspect.isawaitable(answer) else answer)
        except Exception as error:
            verdict = undecided(error)
            record = self._record(channel, call, verdict, deferred=deferred)
            receipt = await self._logger.asend(channel, record, self._on_failure)
            raise self._blocked(verdict, receipt) from error
        except BaseException as error:  # in a cancelled scope every await raises
            self._give_up(channel, call, error)
            raise
        record = self._record(channel, call, verdict, deferred=deferred)
        receipt = await self._logger.asend(channel, record, self._on_failure)
        if not verdict.allows:
            raise self._blocked(verdict, receipt)

    def _begin(self, instance: object, args: Args, kwargs: Kwargs) -> tuple[Channel, Call]:
        channel = self._logger.channel()
        assert channel is not None  # of a logger that requires auditing
        return channel, self._binder.call(instance, args, kwargs)

    def _record(self, channel: Channel, call: Call, verdict: Verdict, *, deferred: bool = False) -> AuditLogRecord:
        altered: list[str] = []
        parts = dict(self._static)
        self._details.ask(call, parts, altered)
        decision, reason, error_type = verdict
        return assemble(
            channel,
            self._event_name,
            None,
            decision=decision,
            reason=reason,
            error_type=error_type,
            altered=altered,
            deferred=deferred,
            **parts,
        )

    def _blocked(self, verdict: Verdict, receipt: AuditReceipt) -> AuditBlockedError:
        decision, reason, _ = verdict
        what = "not decided, and so blocked" if decision == "error" else "blocked"
        message = f"{self._event_name}: {what}" + (f": {reason}" if reason else "")
        return AuditBlockedError(message, decision=decision, reason=reason, receipt=receipt)

    def _give_up(self, channel: Channel, call: Call, error: BaseException) -> None:
        """Record that the policy was stopped: that goes on, whatever becomes of the entry."""
        with contextlib.suppress(AuditError):
            self._logger.send(channel, self._record(channel, call, undecided(error)), "open")


def _answered(answer: object) -> object:
    """Return an answer that need not be awaited."""
    if inspect.isawaitable(answer):
        getattr(answer, "close", _nothing)()  # a coroutine that nobody awaits is warned of
        raise UnclearAnswerError("expected an answer, got something to await, which a plain function cannot")
    return answer


def _nothing() -> None:
    pass
