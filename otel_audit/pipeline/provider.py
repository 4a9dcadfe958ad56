"""The audit provider: an OpenTelemetry pipeline that nothing can turn a record away from."""

from __future__ import annotations

import inspect
import logging
import os
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry._logs import Logger
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_audit.environment import OnFailure, check_on_failure
from otel_audit.errors import AuditError, AuditRecordError, AuditWriteError
from otel_audit.record import Actor, AuditReceipt

from .exporter import AuditFileLogExporter
from .log_record import NO_LIMITS, AuditLogRecord
from .logger import AuditLogger
from .metrics import observe
from .processor import AuditLogRecordProcessor
from .resource import UNKNOWN_SERVICE, process_resource, service_name

_logger = logging.getLogger(__name__)

Redact = Callable[[str, object], object]
"""Sees the name and the value of what is captured; returns what to record."""


# SDK 1.45 reads OTEL_*_LIMIT if it is given no limits, and raises for a value that is no number; 1.44 takes none
_OWN_LIMITS: Final[dict[str, Any]] = (
    {"log_record_limits": NO_LIMITS} if "log_record_limits" in inspect.signature(LoggerProvider).parameters else {}
)


class Channel:
    """One instrumentation scope's way into a provider: what its records have in common.

    Attributes:
        logger: The SDK's logger.
        after: Resource and scope as they stand in the line; anew after a fork.
    """

    __slots__ = ("after", "logger", "provider", "resource", "scope")

    def __init__(self, provider: AuditProvider, logger: Logger, scope: InstrumentationScope) -> None:
        self.provider = provider
        self.logger = logger
        self.scope = scope
        self.renew()

    def renew(self) -> None:
        """Take the provider's resource, which has another pid in a forked child."""
        self.resource = self.provider.resource
        self.after = self.provider.exporter.encode_context(self.resource, self.scope.name, self.scope.version)


class AuditProvider:
    """Builds the pipeline over one exporter and opens its log.

    Loggers, records and processors are OpenTelemetry's; there is no sampler, no limit and
    nothing else between a record and the file. Thread-safe, and safe after a fork. A context
    manager that shuts down.

    Args:
        exporter: Of the log.
        on_failure: ``closed``: an act that cannot be recorded raises; ``open``: it is counted.
        resource: Who writes; the SDK's default if None. pid and host name are added.
        processors: Ordinary log record processors, behind the file.
        require_actor: Refuse records for which nobody said who acts.
        propagate_actor: Send who acts over process borders, in baggage.
        trust_baggage: Believe who acts in inbound baggage.
        redact: Sees every captured argument and result before it is recorded.

    Raises:
        AuditConfigError: A setting is wrong, or the log that exists does not fit.
        AuditWriteError: The log cannot be opened, with ``on_failure="closed"``.
    """

    def __init__(
        self,
        exporter: AuditFileLogExporter,
        *,
        on_failure: OnFailure = "closed",
        resource: Resource | None = None,
        processors: Sequence[LogRecordProcessor] = (),
        require_actor: bool = False,
        propagate_actor: bool = False,
        trust_baggage: bool = False,
        redact: Redact | None = None,
    ) -> None:
        self.on_failure = check_on_failure(on_failure)
        self.exporter = exporter
        self.processor = AuditLogRecordProcessor(exporter, processors)
        self.resource = process_resource(resource)
        self.redact = redact
        self.require_actor = require_actor
        self.propagate_actor = propagate_actor
        self.trust_baggage = trust_baggage
        self._service_actor = Actor(service_name(self.resource), "service")
        self._channels: dict[tuple[str, str | None], Channel] = {}
        self._unnamed = self._service_actor.id.startswith(UNKNOWN_SERVICE)
        self.is_shut_down = False
        # closed by us, after the program's own exit hooks
        self._sdk = LoggerProvider(self.resource, shutdown_on_exit=False, **_OWN_LIMITS)
        self._sdk.add_log_record_processor(self.processor)
        if self.on_failure == "open":
            exporter.ledger.drops.reserve()
        try:
            exporter.open(self.resource)
        except AuditWriteError as error:
            if self.on_failure == "closed":
                raise
            _logger.error("auditing goes on without its log (on_failure is open): %s", error)
        _renew_after_fork(self)
        observe(exporter.ledger)

    def get_audit_logger(self, name: str, version: str | None = None) -> AuditLogger:
        """Return a logger of this provider for an instrumentation scope."""
        return AuditLogger(name, version, lambda: self)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sync the log and flush the processors; return whether all of them did."""
        return self._sdk.force_flush(timeout_millis)

    def rotate(self) -> None:
        """Begin the log's next segment.

        Raises:
            AuditWriteError: The segment cannot be closed, or the next one not begun.
        """
        self.exporter.ledger.rotate()

    def shutdown(self) -> None:
        """Write ``audit.log.closed``, sync and close; then shut the processors down. Once."""
        if not self.is_shut_down:
            self.is_shut_down = True
            self._sdk.shutdown()

    def channel(self, name: str, version: str | None) -> Channel:
        """Return the way into this provider for an instrumentation scope."""
        key = (name, version)
        channel = self._channels.get(key)
        if channel is None:
            logger = self._sdk.get_logger(name, version)
            channel = Channel(self, logger, InstrumentationScope(name, version))
            channel = self._channels.setdefault(key, channel)
        return channel

    def service_actor(self) -> Actor:
        """Return the actor of records for which nobody said who acts: the service.

        Raises:
            AuditRecordError: ``require_actor`` is set.
        """
        if self.require_actor:
            raise AuditRecordError("audit.actor.id: an actor is required: use acting_as(…) or actor=…")
        if self._unnamed:
            self._unnamed = False  # warned of once
            # not a Python warning: made an error, it would come out of the audited program
            _logger.warning(
                "audit entries name %r as their actor: set OTEL_SERVICE_NAME, or say who acts with acting_as(…)",
                self._service_actor.id,
            )
        return self._service_actor

    def failed(self, record: AuditLogRecord, error: AuditError, on_failure: OnFailure | None) -> AuditReceipt:
        """Answer for a record that is not in the log: raise, or count it and go on.

        Raises:
            AuditError: This error: failures are closed.
        """
        if (on_failure or self.on_failure) == "closed":
            raise error
        time_ns = record.log_record.timestamp or 0
        self.exporter.ledger.drops.add(time_ns, error)
        return AuditReceipt(record.record_id, 0, "", time_ns, "")

    def after_fork(self) -> None:
        """Give a forked child's records its own resource: the SDK made a new instance id."""
        self.resource = process_resource(self._sdk.resource)
        self.exporter.use_resource(self.resource)
        for channel in self._channels.values():
            channel.renew()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()


def _renew_after_fork(provider: AuditProvider) -> None:
    """Have `AuditProvider.after_fork` called in children, behind the SDK's own hook."""
    weak = weakref.ref(provider)

    def renew() -> None:
        alive = weak()
        if alive is not None:
            alive.after_fork()

    os.register_at_fork(after_in_child=renew)
