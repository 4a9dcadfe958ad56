"""`configure` and the global provider."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.resources import Resource

from otel_audit.environment import (
    OTEL_AUDIT_FILE,
    Durability,
    OnFailure,
    as_environment,
    provider_settings,
)
from otel_audit.errors import AuditConfigError
from otel_audit.semconv import IntegrityMode

from .context import set_baggage_policy
from .exporter import AuditFileLogExporter
from .logger import AuditLogger
from .processors import make_processors
from .provider import AuditProvider, Redact
from .resource import LINE_RESOURCE_ATTRIBUTES

_DEFAULT_PATH: Final = "audit.jsonl"
_lock = threading.RLock()
"""Guards the global provider's replacement; reading it takes no lock."""

_provider: AuditProvider | None = None
_configured: _Configured | None = None


@dataclass(frozen=True, slots=True)
class _Configured:
    """The provider that `configure` made, with what it was called, and where."""

    provider: AuditProvider
    settings: tuple[object, ...]
    place: str


class _Exported:
    """Variables set in ``os.environ`` for child processes, until they are taken back."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)

    def take_back(self) -> None:
        """Restore what was there before, but for what somebody has changed since."""
        for name, value in self._before.items():
            if os.environ.get(name) != self._variables[name]:
                continue
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _ConfiguredProvider(AuditProvider):
    """The provider that `configure` makes: once shut down, child processes no longer get its settings."""

    exported: _Exported | None = None

    def shutdown(self) -> None:
        exported, self.exported = self.exported, None
        try:
            super().shutdown()
        finally:
            if exported is not None:
                exported.take_back()


def configure(
    path: str | os.PathLike[str] | None = None,
    *,
    integrity: IntegrityMode | None = None,
    durability: Durability | None = None,
    sync_interval_millis: int | None = None,
    hmac_key_file: str | os.PathLike[str] | None = None,
    max_segment_bytes: int | None = None,
    max_segment_age_seconds: int | None = None,
    lock_timeout_millis: int | None = None,
    file_mode: int | None = None,
    resource_attributes: Sequence[str] = LINE_RESOURCE_ATTRIBUTES,
    on_failure: OnFailure | None = None,
    require_actor: bool | None = None,
    propagate_actor: bool | None = None,
    trust_baggage: bool | None = None,
    redact: Redact | None = None,
    resource: Resource | None = None,
    processors: Sequence[LogRecordProcessor] = (),
) -> AuditProvider:
    """Configure auditing for this process, and for the processes that it starts.

    Builds the pipeline, opens the log, sets the provider as the global one, and closes it at
    exit. A setting left None is read from its ``OTEL_AUDIT_*`` variable, then from its default.
    The variables are set in ``os.environ``, the path made absolute, so that child processes
    write to the same log. Thread-safe.

    Args:
        path: The log; else ``OTEL_AUDIT_FILE``, else ``audit.jsonl``.
        resource_attributes: Names of the resource attributes that each line carries.
        redact: Sees name and value of each captured argument; returns what to record.
        resource: Who writes; the SDK's default if None.
        processors: Ordinary log record processors, behind the file; those that
            ``OTEL_AUDIT_PROCESSORS`` names are added.

    Returns:
        The provider; the one that is set already where the settings are equal.

    Raises:
        AuditConfigError: A setting is wrong, the log that exists does not fit, or auditing is
            configured already, with other settings.
        AuditWriteError: The log cannot be opened, with ``on_failure="closed"``.
    """
    global _configured  # noqa: PLW0603
    with _lock:
        environ = os.environ
        exporter = AuditFileLogExporter(
            path if path is not None else environ.get(OTEL_AUDIT_FILE) or _DEFAULT_PATH,
            integrity=integrity,
            durability=durability,
            sync_interval_millis=sync_interval_millis,
            hmac_key_file=hmac_key_file,
            max_segment_bytes=max_segment_bytes,
            max_segment_age_seconds=max_segment_age_seconds,
            lock_timeout_millis=lock_timeout_millis,
            file_mode=file_mode,
            resource_attributes=resource_attributes,
        )
        settings = provider_settings(
            environ,
            on_failure=on_failure,
            require_actor=require_actor,
            propagate_actor=propagate_actor,
            trust_baggage=trust_baggage,
        )
        asked = (exporter.settings, settings, tuple(resource_attributes), redact, resource, tuple(processors))
        if _provider is not None and not _provider.is_shut_down:
            return _same_or_refuse(_provider, asked)
        provider = _ConfiguredProvider(
            exporter,
            on_failure=settings.on_failure,
            resource=resource,
            processors=(*processors, *make_processors(settings.processors)),
            require_actor=settings.require_actor,
            propagate_actor=settings.propagate_actor,
            trust_baggage=settings.trust_baggage,
            redact=redact,
        )
        provider.exported = _Exported(as_environment(exporter.settings, settings))
        _configured = _Configured(provider, asked, _caller())
        set_audit_provider(provider)
        return provider


def get_audit_logger(name: str, version: str | None = None, *, required: bool = True) -> AuditLogger:
    """Return a logger for an instrumentation scope. Configures nothing.

    The provider is looked up at each emit; the first one without a provider configures from the
    environment where ``OTEL_AUDIT_FILE`` is set.

    Args:
        name: The scope: ``__name__`` of the module.
        version: The scope's version.
        required: True: an emit without configuration raises `AuditConfigError`: auditing is never
            silently off. Libraries write False: recorded where the application has configured
            auditing, else not.
    """
    return AuditLogger(name, version, get_audit_provider if required else _find_provider)


def get_audit_provider() -> AuditProvider:
    """Return the global provider, configured from the environment where it is not set yet.

    Raises:
        AuditConfigError: There is none, and ``OTEL_AUDIT_FILE`` is not set.
    """
    provider = _provider or _find_provider()
    if provider is None:
        raise AuditConfigError(
            "auditing is not configured: call otel_audit.configure(path), or set the environment variable "
            f"{OTEL_AUDIT_FILE}"
        )
    return provider


def set_audit_provider(provider: AuditProvider | None) -> AuditProvider | None:
    """Make a provider the global one; return the one before. None: there is none."""
    global _provider
    with _lock:
        before, _provider = _provider, provider
        set_baggage_policy(
            propagate_actor=provider is not None and provider.propagate_actor,
            trust_baggage=provider is not None and provider.trust_baggage,
        )
        return before


def _find_provider() -> AuditProvider | None:
    if _provider is None and os.environ.get(OTEL_AUDIT_FILE):
        return configure()
    return _provider


def _same_or_refuse(provider: AuditProvider, asked: tuple[object, ...]) -> AuditProvider:
    if _configured is None or _configured.provider is not provider:
        raise AuditConfigError("an audit provider is set already (set_audit_provider); shut it down first")
    if _configured.settings != asked:
        raise AuditConfigError(
            f"auditing is configured already, with other settings, at {_configured.place}; "
            "call shutdown() on its provider first"
        )
    return provider


def _caller() -> str:
    """Return file and line of the first frame outside of this package."""
    frame = sys._getframe(1)  # noqa: SLF001 - `inspect` costs more and sees no more
    package = os.path.dirname(os.path.dirname(__file__)) + os.sep
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def shut_down_at_exit() -> None:
    """Close the global provider. Called when the interpreter exits, see `otel_audit`."""
    if _provider is not None:
        _provider.shutdown()
