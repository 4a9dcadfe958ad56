"""The log behind a bus path, and the provider that writes it.

Where the application has configured auditing with this very path, the bus writes through that
provider. Else the path gets a provider of its own, which all buses of this path in the process
share; its settings are those of the environment (``OTEL_AUDIT_*``).
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import weakref
from pathlib import Path
from typing import Final

from opentelemetry.sdk.resources import Resource

from otel_audit import __version__
from otel_audit.environment import OTEL_AUDIT_FILE, provider_settings
from otel_audit.errors import AuditConfigError, AuditWriteError
from otel_audit.ledger.files import sync_folder
from otel_audit.log_files import LogFiles
from otel_audit.pipeline import configuration
from otel_audit.pipeline.exporter import AuditFileLogExporter
from otel_audit.pipeline.processors import make_processors
from otel_audit.pipeline.provider import AuditProvider, Channel

from .bus_file import is_bus_file
from .policy import PolicyLevel

_logger = logging.getLogger(__name__)

SCOPE: Final = "otel_audit.hummbl"
"""The instrumentation scope of messages, and of the primitives' entries."""

KEPT_OPEN: Final = 64
"""Logs beyond these are closed once no bus is left that could post to them."""

_lock = threading.RLock()
"""Guards the two maps below; a post that finds its log open takes no lock."""

_providers: dict[str, AuditProvider] = {}
_users: dict[str, weakref.WeakSet[BusLog]] = {}


class BusLog:
    """One bus's way to the log of its path. Opens nothing until it is asked for one.

    Thread-safe, and safe after a fork.

    Args:
        path: Absolute path of the log.
        policy: Decides whether the log must have a key.
        hmac_key_file: The key that the log must have; None: whatever the settings say.
    """

    def __init__(self, path: str, policy: PolicyLevel, hmac_key_file: str | None) -> None:
        self.path = path
        self._policy = policy
        self._key_file = hmac_key_file
        self._known: tuple[Channel | None, AuditProvider | None] = (None, None)
        """What `channel` returned last, and the application's provider at that time."""

    def channel(self) -> Channel:
        """Return the way into the provider to post through, opened where need be.

        Raises:
            AuditConfigError: The settings, or the file that is there, do not fit.
            AuditWriteError: The log cannot be opened.
        """
        channel, before = self._known
        # a look only: get_audit_provider() would open whatever log the environment names
        now = configuration._provider  # noqa: SLF001
        if channel is None or now is not before or channel.provider.is_shut_down:
            channel = self._open().channel(SCOPE, __version__)
            self._known = channel, now
        return channel

    def provider(self) -> AuditProvider:
        """Return the provider to post through. Raises what `channel` raises."""
        return self.channel().provider

    def close(self) -> None:
        """Close the log, unless the application has configured it."""
        with _lock:
            provider = _providers.pop(self.path, None)
        if provider is not None:
            provider.shutdown()

    def _open(self) -> AuditProvider:
        with _lock:
            _users.setdefault(self.path, weakref.WeakSet()).add(self)
            provider = _configured(self.path) or _providers.get(self.path)
            if provider is not None and not provider.is_shut_down:
                self._check_key(provider.exporter.settings.hmac_key_file)
                return provider
            if is_bus_file(self.path):
                raise AuditConfigError(
                    f"{self.path}: expected an audit log, got a bus file of hummbl-governance, which is only read: "
                    "bring it into a new log with `otel-audit import FILE --to LOG`, and post there"
                )
            exporter = AuditFileLogExporter(self.path, hmac_key_file=self._key_file)
            self._check_key(exporter.settings.hmac_key_file)
            make_folder(os.path.dirname(self.path))
            provider = _from_environment(self.path) if self._key_file is None else None
            if provider is None:
                _close_unused()
                before = _providers.get(self.path)
                provider = _providers[self.path] = _make_provider(exporter, None if before is None else before.resource)
            return provider

    def _check_key(self, key_file: str | None) -> None:
        if self._key_file is not None and key_file != self._key_file:
            raise AuditConfigError(
                f"{self.path}: hmac_key_file: expected {self._key_file}, got a log that is open with {key_file}"
            )
        if key_file is not None:
            return
        if self._policy is PolicyLevel.STRICT:
            raise AuditConfigError(
                f"{self.path}: policy STRICT refuses unsigned messages; nothing was posted. "
                "Set OTEL_AUDIT_HMAC_KEY_FILE, or give hmac_key_file="
            )
        if self._policy is PolicyLevel.WARN:
            _logger.warning("%s: messages are not signed: no OTEL_AUDIT_HMAC_KEY_FILE, no hmac_key_file=", self.path)


def log_exists(path: str) -> bool:
    """Return whether there is a log of this very name, or a segment of one."""
    folder, name = os.path.split(path)
    return bool(LogFiles(Path(folder), name).numbers())


def make_folder(folder: str) -> None:
    """Make a folder and those above it that are missing, mode 0700, as durable as the log in it.

    Raises:
        AuditWriteError: It cannot be made.
    """
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    try:
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.mkdir(path, 0o700)
            sync_folder(path)
    except OSError as error:
        raise AuditWriteError(f"{error.filename}: the folder cannot be made: {error.strerror}") from error


def _configured(path: str) -> AuditProvider | None:
    provider = configuration._provider  # noqa: SLF001 - as in `BusLog.channel`
    if provider is None or provider.exporter.settings.path != path or provider.is_shut_down:
        return None
    return provider


def _from_environment(path: str) -> AuditProvider | None:
    """Have the application's provider made where ``OTEL_AUDIT_FILE`` names this path."""
    if path != os.path.abspath(os.environ.get(OTEL_AUDIT_FILE) or os.curdir):
        return None
    configuration.get_audit_provider()
    return _configured(path)


def _make_provider(exporter: AuditFileLogExporter, resource: Resource | None) -> AuditProvider:
    """Make a provider; with the resource of the one before, as the SDK makes none at exit."""
    settings = provider_settings(os.environ)
    return AuditProvider(
        exporter,
        on_failure=settings.on_failure,
        resource=resource,
        processors=make_processors(settings.processors),
        propagate_actor=settings.propagate_actor,
        trust_baggage=settings.trust_baggage,
    )


def _close_unused() -> None:
    """Make room for one more log. Called under the lock."""
    if len(_providers) < KEPT_OPEN:
        return
    for path in [path for path, users in _users.items() if not users]:
        del _users[path]
        provider = _providers.pop(path, None)
        if provider is not None:
            provider.shutdown()


@atexit.register
def _close_all() -> None:
    """Close all logs. An exit hook that runs later and posts opens its log again."""
    with _lock:
        for provider in _providers.values():
            provider.shutdown()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)
