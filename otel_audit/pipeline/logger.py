"""The audit logger: one act, one durable entry, one receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

from opentelemetry._logs import LogRecord
from opentelemetry.context import Context, get_current

from otel_audit.errors import AuditConfigError, AuditWriteError
from otel_audit.record import Actor, AuditReceipt, AuditRecord, Decision, Outcome, Source, Target
from otel_audit.value import clean_text

from .assemble import assemble
from .log_record import AuditLogRecord
from .uncancelled import uncancelled

if TYPE_CHECKING:
    from otel_audit.environment import OnFailure
    from otel_audit.line import Draft

    from .action import AuditAction, Phases
    from .provider import AuditProvider, Channel

NOT_RECORDED = AuditReceipt("", 0, "", 0, "")
"""The receipt of a record that nobody asked for."""


class AuditLogger:
    """Emits audit records for one instrumentation scope. A handle: cheap, thread-safe, fork-safe.

    Made by `otel_audit.get_audit_logger`, which looks the provider up at each emit, or by
    `AuditProvider.get_audit_logger`.
    """

    def __init__(self, name: str, version: str | None, find_provider: Callable[[], AuditProvider | None]) -> None:
        self.name = clean_text(name, "", [])[:1024]
        self.version = None if version is None else clean_text(version, "", [])[:256]
        self._find_provider = find_provider
        self._channel: Channel | None = None

    def enabled(self) -> bool:
        """Whether an emit would be recorded: False only where nobody configured or requires auditing.

        Raises:
            AuditConfigError: Auditing is required, and nobody configured it.
        """
        return self._find_provider() is not None

    @property
    def redact(self) -> Callable[[str, object], object] | None:
        """What the provider does to captured values, None where it does nothing."""
        provider = self._find_provider()
        return None if provider is None else provider.redact

    @overload
    def emit(
        self,
        event_name: str,
        /,
        *,
        action: str = "EXECUTE",
        outcome: Outcome = "success",
        actor: Actor | str | None = None,
        target: Target | str | None = None,
        source: Source | str | None = None,
        decision: Decision | None = None,
        reason: str | None = None,
        severity_number: int | None = None,
        severity_text: str | None = None,
        body: object = None,
        attributes: Mapping[str, object] | None = None,
        record_id: str | None = None,
        timestamp_ns: int | None = None,
        context: Context | None = None,
    ) -> AuditReceipt: ...

    @overload
    def emit(self, record: AuditRecord, /, *, context: Context | None = None) -> AuditReceipt: ...

    def emit(
        self,
        event: str | AuditRecord,
        /,
        *,
        context: Context | None = None,
        action: str = "EXECUTE",
        outcome: Outcome = "success",
        actor: Actor | str | None = None,
        target: Target | str | None = None,
        attributes: Mapping[str, object] | None = None,
        **rare: Any,
    ) -> AuditReceipt:
        """Record one act; return once its entry is as durable as the durability setting promises.

        Args:
            event: The event's name with the members of an `AuditRecord` as keywords, or a record.
            context: Gives both the span and the actor; the current context if None.

        Returns:
            The entry's place in the log. With ``on_failure="open"``, ``seq`` 0 and ``.recorded``
            False where it could not be written.

        Raises:
            AuditWriteError: It is not in the log, with ``on_failure="closed"``.
            AuditRecordError: It breaks the schema; nothing was written. Payload never raises.
            AuditConfigError: Nobody configured auditing.
        """
        channel = self.channel()
        if channel is None:
            return NOT_RECORDED
        if isinstance(event, AuditRecord):
            record = assemble(channel, event.event_name, context, **members_of(event))
        else:
            record = assemble(channel, event, context, action, outcome, actor, target, attributes, **rare)
        return self.send(channel, record)

    @overload
    async def aemit(
        self,
        event_name: str,
        /,
        *,
        action: str = "EXECUTE",
        outcome: Outcome = "success",
        actor: Actor | str | None = None,
        target: Target | str | None = None,
        source: Source | str | None = None,
        decision: Decision | None = None,
        reason: str | None = None,
        severity_number: int | None = None,
        severity_text: str | None = None,
        body: object = None,
        attributes: Mapping[str, object] | None = None,
        record_id: str | None = None,
        timestamp_ns: int | None = None,
        context: Context | None = None,
    ) -> AuditReceipt: ...

    @overload
    async def aemit(self, record: AuditRecord, /, *, context: Context | None = None) -> AuditReceipt: ...

    async def aemit(
        self, event: str | AuditRecord, /, *, context: Context | None = None, **members: Any
    ) -> AuditReceipt:
        """Record one act without holding the event loop while the disk works.

        As `emit`. The entry is written in the calling task, so ``seq`` follows the order of the
        calls; all who wait share one sync. Without an asyncio loop it is `emit`. Cancelled while it
        waits for the disk, it leaves the entry, and its copies, all the same.
        """
        channel = self.channel()
        if channel is None:
            return NOT_RECORDED
        if isinstance(event, AuditRecord):
            members, event = members_of(event), event.event_name
        return await self.asend(channel, assemble(channel, event, context, deferred=in_event_loop(), **members))

    def start_action(
        self,
        event_name: str,
        /,
        *,
        action: str = "EXECUTE",
        actor: Actor | str | None = None,
        target: Target | str | None = None,
        source: Source | str | None = None,
        attributes: Mapping[str, object] | None = None,
        arguments: object = None,
        altered: Sequence[str] = (),
        phases: Phases = "both",
        on_failure: OnFailure | None = None,
        context: Context | None = None,
    ) -> AuditAction:
        """Begin an action; its intent is durable on return.

        Args:
            arguments: What to record as ``audit.arguments``, redacted already.
            altered: Pointers of parts that the caller could not obtain, for ``audit.altered``.
            phases: ``both``, or only the ``intent`` or the ``outcome`` entry.
            on_failure: Of this action; the provider's if None.
            context: Of both entries: span and actor; the current context if None.

        Raises:
            AuditWriteError: The intent is not in the log: the action must not run.
            AuditRecordError: It breaks the schema.
        """
        started = self._action(
            event_name, action, actor, target, source, attributes, arguments, altered, phases, on_failure, context
        )
        started.begin()
        return started

    async def astart_action(
        self,
        event_name: str,
        /,
        *,
        action: str = "EXECUTE",
        actor: Actor | str | None = None,
        target: Target | str | None = None,
        source: Source | str | None = None,
        attributes: Mapping[str, object] | None = None,
        arguments: object = None,
        altered: Sequence[str] = (),
        phases: Phases = "both",
        on_failure: OnFailure | None = None,
        context: Context | None = None,
    ) -> AuditAction:
        """Begin an action without holding the event loop; otherwise as `start_action`.

        Cancelled while the intent waits for the disk: the entry may stand, and has its outcome
        recorded as ``unknown``, as the action does not run.
        """
        started = self._action(
            event_name, action, actor, target, source, attributes, arguments, altered, phases, on_failure, context
        )
        await started.abegin()
        return started

    def _action(
        self,
        event_name: str,
        action: str,
        actor: Actor | str | None,
        target: Target | str | None,
        source: Source | str | None,
        attributes: Mapping[str, object] | None,
        arguments: object,
        altered: Sequence[str],
        phases: Phases,
        on_failure: OnFailure | None,
        context: Context | None,
    ) -> AuditAction:
        from .action import AuditAction

        return AuditAction(
            self,
            event_name,
            {"action": action, "actor": actor, "target": target, "source": source},
            attributes,
            arguments,
            altered,
            phases,
            on_failure,
            get_current() if context is None else context,
        )

    def channel(self) -> Channel | None:
        """Return this logger's way into the current provider, None where there need be none."""
        provider = self._find_provider()
        if provider is None:
            return None
        channel = self._channel
        if channel is None or channel.provider is not provider:
            channel = self._channel = provider.channel(self.name, self.version)
        return channel

    def send(self, channel: Channel, record: AuditLogRecord, on_failure: OnFailure | None = None) -> AuditReceipt:
        """Send a record through the pipeline; return its receipt.

        Raises:
            AuditWriteError: It is not in the log, and failures are closed.
        """
        try:
            if channel.provider.is_shut_down:
                raise _shut_down(channel)
            # the typed overload wants the API's record; the SDK takes its own unchanged
            channel.logger.emit(cast("LogRecord", record))
            if record.ticket is None:
                raise _nobody_wrote()
        except (AuditWriteError, AuditConfigError) as error:
            return channel.provider.failed(record, error, on_failure)
        return _receipt(record)

    async def asend(
        self, channel: Channel, record: AuditLogRecord, on_failure: OnFailure | None = None
    ) -> AuditReceipt:
        """As `send`, without holding the event loop.

        Raises:
            AuditWriteError: It is not in the log, and failures are closed.
        """
        if not record.deferred:
            return self.send(channel, record, on_failure)
        try:
            channel.logger.emit(cast("LogRecord", record))
            if record.draft is None:
                raise _nobody_wrote()
            appending = _append(channel, record, record.draft)
            await (uncancelled(appending) if channel.provider.processor.passes_on else appending)
        except (AuditWriteError, AuditConfigError) as error:
            return channel.provider.failed(record, error, on_failure)
        return _receipt(record)


async def _append(channel: Channel, record: AuditLogRecord, draft: Draft) -> None:
    """Append a record's entry, and pass the record on."""
    ticket = await channel.provider.exporter.aappend(draft)
    channel.provider.processor.complete(record, ticket)


def members_of(record: AuditRecord) -> dict[str, Any]:
    """Return the members of a record that are set, as the keywords of `assemble`."""
    members = ((name, getattr(record, name)) for name in _RECORD_MEMBERS)
    return {name: value for name, value in members if value is not None}


_RECORD_MEMBERS = tuple(name for name in AuditRecord.__dataclass_fields__ if name != "event_name")


def in_event_loop() -> bool:
    """Whether this runs in a task of an asyncio loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _receipt(record: AuditLogRecord) -> AuditReceipt:
    ticket = record.ticket
    assert ticket is not None
    return AuditReceipt(ticket.draft.record_id, ticket.seq, ticket.hash, ticket.draft.time_ns, ticket.stream_id)


def _shut_down(channel: Channel) -> AuditWriteError:
    # Told before anything is formatted: what is collected when Python ends finds its modules gone.
    return AuditWriteError(f"{channel.provider.exporter.settings.path}: the log is closed")


def _nobody_wrote() -> AuditWriteError:
    return AuditWriteError(
        "the OpenTelemetry SDK passed the record to nobody: is OTEL_SDK_DISABLED=true set? the record was not written"
    )
