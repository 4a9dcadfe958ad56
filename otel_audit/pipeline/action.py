"""An action: its intent before, its outcome after."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from opentelemetry.context import Context

from otel_audit import semconv
from otel_audit.attributes import check_text, check_word
from otel_audit.environment import OnFailure, check_on_failure
from otel_audit.errors import AuditConfigError, AuditError
from otel_audit.interrupt import is_interrupt
from otel_audit.record import AuditReceipt, Outcome, Target
from otel_audit.value import describe, pairs_of

from .assemble import assemble

if TYPE_CHECKING:
    from .log_record import AuditLogRecord
    from .logger import AuditLogger
    from .provider import Channel

Phases = Literal["both", "intent", "outcome"]

_logger = logging.getLogger(__name__)


class AuditAction:
    """An action under way: begun by `AuditLogger.start_action`, ended once.

    A context manager, sync and async: it ends as ``success``, or as ``failure`` with
    ``error.type`` when the body raises; the body's exception goes on unchanged. Not for use by
    several threads at once.

    Attributes:
        intent: Receipt of the intent; None where the action records none, or auditing is off.
    """

    __slots__ = (
        "__weakref__",
        "_altered",
        "_arguments",
        "_attributes",
        "_channel",
        "_context",
        "_duration",
        "_error_type",
        "_event_name",
        "_late_arguments",
        "_logger",
        "_members",
        "_on_failure",
        "_outcome",
        "_phases",
        "_reason",
        "_receipt",
        "_result",
        "_started",
        "intent",
    )

    def __init__(
        self,
        logger: AuditLogger,
        event_name: str,
        members: dict[str, Any],
        attributes: Mapping[str, object] | None,
        arguments: object,
        altered: Sequence[str],
        phases: Phases,
        on_failure: OnFailure | None,
        context: Context,
    ) -> None:
        if phases not in ("both", "intent", "outcome"):
            raise AuditConfigError(f"phases: expected one of both, intent, outcome, got {phases!r}")
        self._logger = logger
        self._channel: Channel | None = logger.channel()
        self._event_name = event_name
        self._members = members
        self._attributes = attributes
        self._arguments = arguments
        self._altered = altered
        self._phases = phases
        self._on_failure = None if on_failure is None else check_on_failure(on_failure)
        self._context = context
        self._outcome: Outcome | None = None
        self._error_type: str | None = None
        self._reason: str | None = None
        self._result: object = None
        self._receipt: AuditReceipt | None = None
        self._started = time.perf_counter()
        self._duration: float | None = None
        self._late_arguments: object = None
        self.intent: AuditReceipt | None = None

    def begin(self) -> None:
        """Record the intent. Called by `AuditLogger.start_action`."""
        record = self._intent()
        if record is not None and self._channel is not None:
            self.intent = self._logger.send(self._channel, record, self._on_failure)
        self._started = time.perf_counter()

    async def abegin(self) -> None:
        """Record the intent without holding the event loop. Called by `AuditLogger.astart_action`."""
        from .logger import in_event_loop

        record = self._intent(deferred=in_event_loop())
        if record is not None and self._channel is not None:
            try:
                self.intent = await self._logger.asend(self._channel, record, self._on_failure)
            except AuditError:
                raise
            except BaseException:  # cancelled: the intent may stand, and the action does not run
                self._end_unstarted(record)
                raise
        self._started = time.perf_counter()

    @property
    def event_name(self) -> str:
        """The event name of both entries."""
        return self._event_name

    @property
    def ended(self) -> bool:
        """Whether the outcome was written, or tried to be."""
        return self._receipt is not None

    def set_attribute(self, key: str, value: object) -> None:
        """Add an attribute to the outcome; ``audit.*`` names are stored as ``given.audit.*``."""
        attributes = self._attributes
        if not isinstance(attributes, _Attributes):
            attributes = self._attributes = self._own_attributes()
        attributes[key] = value

    def complete(
        self,
        *,
        target: Target | str | None = None,
        attributes: Mapping[str, object] | None = None,
        arguments: object = None,
        altered: Sequence[str] = (),
        duration: float | None = None,
    ) -> None:
        """Say in the outcome what nobody knew when the intent was written; None leaves it as it is.

        Args:
            arguments: What to record as ``audit.arguments`` of the outcome, redacted already.
            altered: Pointers of parts that the caller could not obtain, for ``audit.altered``.
            duration: Seconds, where somebody else took the time.
        """
        if target is not None:
            self._members = {**self._members, "target": target}
        for key, value in (attributes or {}).items():
            self.set_attribute(key, value)
        if arguments is not None:
            self._late_arguments = arguments
        if altered:
            self._altered = [*self._altered, *altered]
        if duration is not None:
            self._duration = duration

    def set_outcome(self, outcome: Outcome, *, error_type: str | None = None, reason: str | None = None) -> None:
        """Say how the action ended, in place of what its body tells.

        Raises:
            AuditRecordError: No such outcome, or a reason or error type over 8 KiB.
        """
        check_word("outcome", outcome, semconv.OUTCOMES)
        for name, text in ((semconv.ERROR_TYPE, error_type), (semconv.AUDIT_REASON, reason)):
            if text is not None:
                check_text(name, text, [])
        self._outcome, self._error_type, self._reason = outcome, error_type, reason

    def set_result(self, value: object) -> None:
        """Record ``audit.result`` in the outcome; redacted already."""
        self._result = value

    def end(self) -> AuditReceipt:
        """Record the outcome, once; a second call returns the first one's receipt.

        Returns:
            Receipt of the outcome; of the intent where the action records no outcome.

        Raises:
            AuditWriteError: The outcome is not in the log, with ``on_failure="closed"``.
        """
        if self._receipt is None:
            record = self._outcome_record()
            if record is None or self._channel is None:
                return self._without_outcome()
            self._receipt = _UNWRITTEN  # ended, whatever comes of it
            self._receipt = self._logger.send(self._channel, record, self._on_failure)
        return self._receipt

    async def aend(self) -> AuditReceipt:
        """Record the outcome without holding the event loop; otherwise as `end`."""
        from .logger import in_event_loop

        if self._receipt is None:
            record = self._outcome_record(deferred=in_event_loop())
            if record is None or self._channel is None:
                return self._without_outcome()
            self._receipt = _UNWRITTEN
            self._receipt = await self._logger.asend(self._channel, record, self._on_failure)
        return self._receipt

    def fail(self, error: BaseException) -> None:
        """End as ``failure`` by this exception, unless an outcome was set. Never raises.

        By a blocking append also in a coroutine: in a cancelled scope every await raises.
        """
        if self._outcome is None:
            self.set_outcome("failure", error_type=error_type_of(error))
        self.end_quietly()

    def end_quietly(self) -> None:
        """Record the outcome; where that fails, log and count it: the action's own result must go on."""
        try:
            self.end()
        except Exception as error:
            self._lost(error)

    async def aend_quietly(self) -> None:
        """As `end_quietly`, without holding the event loop."""
        try:
            await self.aend()
        except Exception as error:
            self._lost(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
        else:
            self.fail(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.aend()
        else:
            self.fail(error)

    def _own_attributes(self) -> _Attributes:
        given = self._attributes
        try:
            return _Attributes(pairs_of({} if given is None else given))  # type: ignore[arg-type]
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._altered = [*self._altered, "/attributes/given.attributes"]
            return _Attributes({"given.attributes": describe(given)})

    def _intent(self, *, deferred: bool = False) -> AuditLogRecord | None:
        if self._phases == "outcome" or self._channel is None:
            return None
        return assemble(
            self._channel,
            self._event_name,
            self._context,
            phase="intent",
            attributes=self._attributes,
            arguments=self._arguments,
            altered=self._altered,
            deferred=deferred,
            **self._members,
        )

    def _outcome_record(self, *, deferred: bool = False) -> AuditLogRecord | None:
        if self._phases == "intent" or self._channel is None:
            return None
        return assemble(
            self._channel,
            self._event_name,
            self._context,
            phase="outcome",
            outcome=self._outcome or "success",
            intent_id=None if self.intent is None else self.intent.record_id,
            duration=time.perf_counter() - self._started if self._duration is None else self._duration,
            error_type=self._error_type,
            reason=self._reason,
            result=self._result,
            attributes=self._attributes,
            arguments=self._arguments if self._phases == "outcome" else self._late_arguments,
            altered=self._altered,
            deferred=deferred,
            **self._members,
        )

    def _end_unstarted(self, record: AuditLogRecord) -> None:
        self.intent = AuditReceipt(record.record_id, 0, "", record.log_record.timestamp or 0, "")
        self.set_outcome("unknown", reason="cancelled before it began")
        self.end_quietly()

    def _without_outcome(self) -> AuditReceipt:
        self._receipt = self.intent or _UNWRITTEN
        return self._receipt

    def _lost(self, error: Exception) -> None:
        if sys.is_finalizing():
            # A generator collected as Python ends. To format a time, for a log message or for the
            # count of what is lost, can crash it by now; the intent stands in the log.
            with contextlib.suppress(Exception):  # stderr may be gone, too
                sys.stderr.write(f"the outcome of {self._event_name} is not in the audit log: {error}\n")
            return
        _logger.error("the outcome of %s is not in the audit log: %s", self._event_name, error)
        if self._channel is not None:
            self._channel.provider.exporter.ledger.drops.add(time.time_ns(), error)


class _Attributes(dict[str, object]):
    """Attributes that belong to the action: the caller's own map is never changed."""


_UNWRITTEN = AuditReceipt("", 0, "", 0, "")


_MAX_ERROR_TYPE: Final = 1024


_MODULE: Final = type.__dict__["__module__"].__get__
_QUALNAME: Final = type.__dict__["__qualname__"].__get__
"""Not by attribute: a class's own class can make that anything."""


def error_type_of(error: BaseException) -> str:
    """Return ``error.type`` of an exception: its class, with its module unless built in. Never raises."""
    kind = type(error)
    name = str.__str__(_QUALNAME(kind))
    try:
        module = _MODULE(kind)
    except AttributeError:
        module = None
    if isinstance(module, str) and str.__str__(module) != "builtins":
        name = f"{str.__str__(module)}.{name}"
    return name[:_MAX_ERROR_TYPE]
