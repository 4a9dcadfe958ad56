"""What users need to test their own audited code."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from otel_audit.entry import Entry
from otel_audit.errors import AuditWriteError
from otel_audit.ledger import Ticket
from otel_audit.line import Draft
from otel_audit.pipeline.configuration import set_audit_provider
from otel_audit.pipeline.exporter import AuditFileLogExporter
from otel_audit.pipeline.provider import AuditProvider
from otel_audit.reader import read_log
from otel_audit.semconv import LOG_EVENT_PREFIX

_PROVIDER_SETTINGS = frozenset(
    {"on_failure", "resource", "processors", "require_actor", "propagate_actor", "trust_baggage", "redact"}
)


class CapturedAudit:
    """What was recorded since `capture_audit` began, read from a real log.

    Attributes:
        path: The temporary log.
        provider: The provider that is set meanwhile.
    """

    def __init__(self, path: str, provider: AuditProvider, exporter: _FailingExporter) -> None:
        self.path = path
        self.provider = provider
        self._exporter = exporter
        self._cleared = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries in the log's order, without the log's own lifecycle entries."""
        return tuple(
            entry
            for entry in read_log(self.path)
            if entry.seq > self._cleared and not entry.event_name.startswith(LOG_EVENT_PREFIX)
        )

    def clear(self) -> None:
        """Forget what was recorded so far. The log itself keeps it."""
        self._cleared = max((entry.seq for entry in read_log(self.path)), default=0)

    def fail(self, error: BaseException, times: int = 1) -> None:
        """Make the next appends fail, as a full disk would.

        Args:
            error: An `AuditWriteError`, raised as it is, or the cause of one.
            times: How many appends fail.
        """
        self._exporter.failures.extend([error] * times)


@contextlib.contextmanager
def capture_audit(**settings: Any) -> Iterator[CapturedAudit]:
    """Audit into a temporary file, by the real pipeline, and restore the provider before.

    Args:
        settings: As for `configure`; durability is ``os`` unless given.
    """
    provider_settings = {name: settings.pop(name) for name in _PROVIDER_SETTINGS & settings.keys()}
    settings.setdefault("durability", "os")
    with tempfile.TemporaryDirectory(prefix="otel-audit-") as folder:
        exporter = _FailingExporter(os.path.join(folder, "audit.jsonl"), **settings)
        provider = AuditProvider(exporter, **provider_settings)
        before = set_audit_provider(provider)
        try:
            yield CapturedAudit(exporter.settings.path, provider, exporter)
        finally:
            set_audit_provider(before)
            provider.shutdown()


class _FailingExporter(AuditFileLogExporter):
    """The real exporter, whose appends fail when told to."""

    def __init__(self, path: str, **settings: Any) -> None:
        super().__init__(path, **settings)
        self.failures: list[BaseException] = []

    def append(self, draft: Draft) -> Ticket:
        self._fail()
        return super().append(draft)

    async def aappend(self, draft: Draft) -> Ticket:
        self._fail()
        return await super().aappend(draft)

    def _fail(self) -> None:
        if self.failures:
            error = self.failures.pop(0)
            if isinstance(error, AuditWriteError):
                raise error
            raise AuditWriteError(f"{self.settings.path}: the entry could not be written: {error}") from error
