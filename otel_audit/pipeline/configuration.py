"""`configure` and the global provider."""

from __future__ import annotations

import atexit
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
    FileSettings,
    OnFailure,
    ProviderSettings,
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
    """What `configure` was called with, where, and the environment before it."""

    settings: tuple[object, ...]
    place: str
    environment: Mapping[str, str | None]


def configure(
    path: str | os.PathLike[str] | None = None,
    *,
    integrity: IntegrityMode | None = None,
    durability: Durability | None = None,
    sync_interval_millis: int | None = None,
    hmac_key_file: str | os.PathLike[str] | None = None,
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
    global _provider, _configured  # noqa: PLW0603
    with _lock:
        environ = os.environ
        exporter = AuditFileLogExporter(
            path if path is not None else environ.get(OTEL_AUDIT_FILE) or _DEFAULT_PATH,
            integrity=integrity,
            durability=durability,
            sync_interval_millis=sync_interval_millis,
            hmac_key_file=hmac_key_file,
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
        provider = AuditProvider(
            exporter,
            on_failure=settings.on_failure,
            resource=resource,
            processors=(*processors, *make_processors(settings.processors)),
            require_actor=settings.require_actor,
            propagate_actor=settings.propagate_actor,
            trust_baggage=settings.trust_baggage,
            redact=redact,
        )
        _configured = _Configured(asked, _caller(), _export(exporter.settings, settings))
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
    global _provider  # noqa: PLW0603
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
    if _configured is None or _configured.settings == asked:
        if _configured is not None:
            return provider
        raise AuditConfigError("an audit provider is set already (set_audit_provider); shut it down first")
    raise AuditConfigError(
        f"auditing is configured already, with other settings, at {_configured.place}; call shutdown() on its provider first"
    )


def _export(file: FileSettings, provider: ProviderSettings) -> dict[str, str | None]:
    """Set the variables for child processes; return what they were."""
    variables = as_environment(file, provider)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    return before


def _restore_environment() -> None:
    if _configured is not None:
        for name, value in _configured.environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _caller() -> str:
    """Return file and line of the first frame outside of this package."""
    frame = sys._getframe(1)
    package = os.path.dirname(os.path.dirname(__file__)) + os.sep
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _shut_down_at_exit() -> None:
    if _provider is not None:
        _provider.shutdown()


# registered at import: what the program registers later runs before, and can still emit
atexit.register(_shut_down_at_exit)
