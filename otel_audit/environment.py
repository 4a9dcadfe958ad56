"""The settings: ``OTEL_AUDIT_*`` variables, each with its default.

Pure: the environment is an argument. A setting given in code wins over its variable, the
variable over the default; an empty variable counts as unset, as everywhere in OpenTelemetry.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, cast

from .errors import AuditConfigError
from .semconv import IntegrityMode

OTEL_AUDIT_FILE: Final = "OTEL_AUDIT_FILE"
"""Path of the log. No default: `configure` alone falls back to ``audit.jsonl``."""
OTEL_AUDIT_INTEGRITY: Final = "OTEL_AUDIT_INTEGRITY"
"""``chain`` (default), ``hash`` or ``none``."""
OTEL_AUDIT_DURABILITY: Final = "OTEL_AUDIT_DURABILITY"
"""``always`` (default), ``interval`` or ``os``."""
OTEL_AUDIT_SYNC_INTERVAL: Final = "OTEL_AUDIT_SYNC_INTERVAL"
"""Milliseconds, default 100: how old an unsynced entry may get with durability ``interval``."""
OTEL_AUDIT_HMAC_KEY_FILE: Final = "OTEL_AUDIT_HMAC_KEY_FILE"
"""Path of the key file; never the key itself. No default: no HMAC."""
OTEL_AUDIT_MAX_SEGMENT_SIZE: Final = "OTEL_AUDIT_MAX_SEGMENT_SIZE"
"""Bytes that a segment may have before the next one is begun. No default: one file."""
OTEL_AUDIT_MAX_SEGMENT_AGE: Final = "OTEL_AUDIT_MAX_SEGMENT_AGE"
"""Seconds after which the next segment is begun. No default: one file."""
OTEL_AUDIT_LOCK_TIMEOUT: Final = "OTEL_AUDIT_LOCK_TIMEOUT"
"""Milliseconds, default 10000: how long to wait for another process that holds the lock."""
OTEL_AUDIT_FILE_MODE: Final = "OTEL_AUDIT_FILE_MODE"
"""Octal permissions of a new file, default 0600."""
OTEL_AUDIT_ON_FAILURE: Final = "OTEL_AUDIT_ON_FAILURE"
"""``closed`` (default): no action without its entry; or ``open``: losses are counted."""
OTEL_AUDIT_REQUIRE_ACTOR: Final = "OTEL_AUDIT_REQUIRE_ACTOR"
"""``false`` (default); ``true`` refuses entries that would fall back to the service."""
OTEL_AUDIT_PROPAGATE_ACTOR: Final = "OTEL_AUDIT_PROPAGATE_ACTOR"
"""``false`` (default); ``true`` sends who acts over process borders, in baggage."""
OTEL_AUDIT_TRUST_BAGGAGE: Final = "OTEL_AUDIT_TRUST_BAGGAGE"
"""``false`` (default); ``true`` believes who acts in inbound baggage."""
OTEL_AUDIT_FUNCTIONS: Final = "OTEL_AUDIT_FUNCTIONS"
"""Functions to audit under ``opentelemetry-instrument``, comma-separated, as `AuditInstrumentor` takes them."""
OTEL_AUDIT_FRAMEWORKS: Final = "OTEL_AUDIT_FRAMEWORKS"
"""Frameworks to audit there, comma-separated; default ``all`` that are installed; ``none``."""
OTEL_AUDIT_CAPTURE: Final = "OTEL_AUDIT_CAPTURE"
"""Names of arguments to record there, comma-separated. No default: none."""
OTEL_AUDIT_GENAI_SPANS: Final = "OTEL_AUDIT_GENAI_SPANS"
"""``false`` (default); ``true`` records there the spans of other instrumentations for generative AI."""
OTEL_AUDIT_PROCESSORS: Final = "OTEL_AUDIT_PROCESSORS"
"""``otlp``, ``console`` (to stderr), comma-separated: where records go once they are on disk."""
OTEL_AUDIT_TRACE_URL: Final = "OTEL_AUDIT_TRACE_URL"
"""Address at which a trace is shown, with ``{trace_id}`` and perhaps ``{span_id}``. No default: no links."""

MIN_SEGMENT_BYTES: Final = 64 * 1024
"""A segment holds its first and its last entry, and should hold more than those."""

Durability = Literal["always", "interval", "os"]
OnFailure = Literal["closed", "open"]
ProcessorName = Literal["otlp", "console"]

_MAX_MILLIS: Final = 2_147_483_647
"""Some 24 days; the system's own clocks and waits go no further everywhere."""
_MAX_NAME_BYTES: Final = 240
"""A file's name has at most 255 bytes nearly everywhere, and a segment's number takes some."""

_T = TypeVar("_T")
_SEGMENT: Final = re.compile(r"\.[0-9]{6,}\.jsonl\Z")


@dataclass(frozen=True, slots=True)
class FileSettings:
    """How the log is written. Every member is checked when it is made by `file_settings`.

    Attributes:
        path: Absolute path of the log's first segment, ending in ``.jsonl``.
        sync_interval_millis: For durability ``interval``.
        max_segment_bytes: A segment is closed before it grows larger; None: never. One entry
            that is larger itself stands in a segment of its own.
        max_segment_age_seconds: Counted from a segment's first entry; None: without end.
        lock_timeout_millis: How long to wait for another process.
        file_mode: Permissions of a new file.
    """

    path: str
    integrity: IntegrityMode = "chain"
    durability: Durability = "always"
    sync_interval_millis: int = 100
    hmac_key_file: str | None = None
    max_segment_bytes: int | None = None
    max_segment_age_seconds: int | None = None
    lock_timeout_millis: int = 10_000
    file_mode: int = 0o600


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """How records are made and what a failure does."""

    on_failure: OnFailure = "closed"
    require_actor: bool = False
    propagate_actor: bool = False
    trust_baggage: bool = False
    processors: tuple[ProcessorName, ...] = ()


def file_settings(
    environ: Mapping[str, str],
    path: str | os.PathLike[str] | None = None,
    *,
    integrity: str | None = None,
    durability: str | None = None,
    sync_interval_millis: int | None = None,
    hmac_key_file: str | os.PathLike[str] | None = None,
    max_segment_bytes: int | None = None,
    max_segment_age_seconds: int | None = None,
    lock_timeout_millis: int | None = None,
    file_mode: int | None = None,
) -> FileSettings:
    """Return the settings of the file: what is given, else the environment's, else the default.

    Raises:
        AuditConfigError: A value is not one that the setting can have, or there is no path.
    """
    given_path = path if path is not None else environ.get(OTEL_AUDIT_FILE) or None
    if given_path is None:
        raise AuditConfigError(f"no path for the audit log: set {OTEL_AUDIT_FILE}, or call otel_audit.configure(path)")
    key_file = hmac_key_file if hmac_key_file is not None else environ.get(OTEL_AUDIT_HMAC_KEY_FILE) or None
    settings = FileSettings(
        path=_log_path(given_path),
        integrity=_pick(
            environ, OTEL_AUDIT_INTEGRITY, "integrity", integrity, _words("chain", "hash", "none"), "chain"
        ),
        durability=_pick(
            environ, OTEL_AUDIT_DURABILITY, "durability", durability, _words("always", "interval", "os"), "always"
        ),
        sync_interval_millis=_pick(
            environ, OTEL_AUDIT_SYNC_INTERVAL, "sync_interval_millis", sync_interval_millis, _positive, 100
        ),
        hmac_key_file=None if key_file is None else os.path.abspath(_text_path("hmac_key_file", key_file)),
        max_segment_bytes=_pick(
            environ, OTEL_AUDIT_MAX_SEGMENT_SIZE, "max_segment_bytes", max_segment_bytes, _segment_bytes, None
        ),
        max_segment_age_seconds=_pick(
            environ, OTEL_AUDIT_MAX_SEGMENT_AGE, "max_segment_age_seconds", max_segment_age_seconds, _seconds, None
        ),
        lock_timeout_millis=_pick(
            environ, OTEL_AUDIT_LOCK_TIMEOUT, "lock_timeout_millis", lock_timeout_millis, _positive, 10_000
        ),
        file_mode=_pick(environ, OTEL_AUDIT_FILE_MODE, "file_mode", file_mode, _mode, 0o600),
    )
    if settings.hmac_key_file is not None and settings.integrity != "chain":
        raise AuditConfigError(f"hmac_key_file: needs integrity 'chain', got {settings.integrity!r}")
    return settings


def provider_settings(
    environ: Mapping[str, str],
    *,
    on_failure: str | None = None,
    require_actor: bool | None = None,
    propagate_actor: bool | None = None,
    trust_baggage: bool | None = None,
) -> ProviderSettings:
    """Return the settings of the provider: what is given, else the environment's, else the default.

    Raises:
        AuditConfigError: A value is not one that the setting can have.
    """
    return ProviderSettings(
        on_failure=_pick(environ, OTEL_AUDIT_ON_FAILURE, "on_failure", on_failure, _words("closed", "open"), "closed"),
        require_actor=_pick(environ, OTEL_AUDIT_REQUIRE_ACTOR, "require_actor", require_actor, _flag, False),
        propagate_actor=_pick(environ, OTEL_AUDIT_PROPAGATE_ACTOR, "propagate_actor", propagate_actor, _flag, False),
        trust_baggage=_pick(environ, OTEL_AUDIT_TRUST_BAGGAGE, "trust_baggage", trust_baggage, _flag, False),
        processors=_pick(environ, OTEL_AUDIT_PROCESSORS, "processors", None, _processors, ()),
    )


def genai_spans(environ: Mapping[str, str]) -> bool:
    """Return whether spans of other instrumentations are recorded.

    Raises:
        AuditConfigError: The variable says neither true nor false.
    """
    return _pick(environ, OTEL_AUDIT_GENAI_SPANS, "genai_spans", None, _flag, False)


def trace_url(environ: Mapping[str, str]) -> str | None:
    """Return the template of the address at which a trace is shown; None where there is none.

    Raises:
        AuditConfigError: No browser opens it as a page, or it does not say where the trace id belongs.
    """
    return _pick(environ, OTEL_AUDIT_TRACE_URL, "trace_url", None, _trace_url, None)


def as_environment(file: FileSettings, provider: ProviderSettings) -> dict[str, str]:
    """Return the variables that give a child process the same settings."""
    variables = {
        OTEL_AUDIT_FILE: file.path,
        OTEL_AUDIT_INTEGRITY: file.integrity,
        OTEL_AUDIT_DURABILITY: file.durability,
        OTEL_AUDIT_SYNC_INTERVAL: str(file.sync_interval_millis),
        OTEL_AUDIT_LOCK_TIMEOUT: str(file.lock_timeout_millis),
        OTEL_AUDIT_FILE_MODE: f"{file.file_mode:04o}",
        OTEL_AUDIT_ON_FAILURE: provider.on_failure,
        OTEL_AUDIT_REQUIRE_ACTOR: str(provider.require_actor).lower(),
        OTEL_AUDIT_PROPAGATE_ACTOR: str(provider.propagate_actor).lower(),
        OTEL_AUDIT_TRUST_BAGGAGE: str(provider.trust_baggage).lower(),
    }
    if file.max_segment_bytes is not None:
        variables[OTEL_AUDIT_MAX_SEGMENT_SIZE] = str(file.max_segment_bytes)
    if file.max_segment_age_seconds is not None:
        variables[OTEL_AUDIT_MAX_SEGMENT_AGE] = str(file.max_segment_age_seconds)
    if file.hmac_key_file is not None:
        variables[OTEL_AUDIT_HMAC_KEY_FILE] = file.hmac_key_file
    return variables


def check_on_failure(value: str) -> OnFailure:
    """Return ``value`` if it is ``closed`` or ``open``.

    Raises:
        AuditConfigError: It is neither.
    """
    try:
        return cast("OnFailure", _words("closed", "open")(value))
    except ValueError as error:
        raise AuditConfigError(f"on_failure: expected {error}, got {value!r}") from None


def _pick(
    environ: Mapping[str, str],
    variable: str,
    name: str,
    given: object,
    parse: Callable[[object], object],
    default: _T,
) -> _T:
    source, value = name, given
    if given is None:
        source, value = variable, environ.get(variable, "").strip()
        if not value:
            return default
    try:
        return cast("_T", parse(value))
    except ValueError as error:
        raise AuditConfigError(f"{source}: expected {error}, got {value!r}") from None


def _words(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise ValueError(f"one of {', '.join(words)}")

    return parse


def _positive(value: object) -> int:
    number = _at_least(value, 1, "a positive whole number of milliseconds")
    if number > _MAX_MILLIS:
        raise ValueError(f"at most {_MAX_MILLIS} milliseconds")
    return number


def _seconds(value: object) -> int:
    return _at_least(value, 1, "a positive whole number of seconds")


def _segment_bytes(value: object) -> int:
    return _at_least(value, MIN_SEGMENT_BYTES, f"a whole number of bytes, at least {MIN_SEGMENT_BYTES}")


def _at_least(value: object, least: int, expected: str) -> int:
    try:
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else least - 1
    except ValueError:
        number = least - 1
    if number < least:
        raise ValueError(expected)
    return number


def _mode(value: object) -> int:
    try:
        mode = int(value, 8) if isinstance(value, str) else value
    except ValueError:
        mode = None
    if not isinstance(mode, int) or isinstance(mode, bool) or not 0 <= mode <= 0o777 or mode & 0o600 != 0o600:
        raise ValueError("octal permissions with read and write for the owner, such as 0600")
    return mode


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError("true or false")


def _processors(value: object) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in str(value).split(",") if name.strip()))
    if any(name not in ("otlp", "console") for name in names):
        raise ValueError("otlp, console or both, comma-separated")
    return names


def _trace_url(value: object) -> str:
    text = str(value)
    if "{trace_id}" not in text or not text.lower().startswith(("https://", "http://")):
        raise ValueError("an address that begins with https:// or http:// and has {trace_id} in it")
    return text


def _text_path(name: str, path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise AuditConfigError(f"{name}: expected a path as text, got {text!r}")
    return text


def _log_path(path: str | os.PathLike[str]) -> str:
    absolute = os.path.abspath(_text_path("path", path))
    name = os.path.basename(absolute)
    if not name.endswith(".jsonl") or name == ".jsonl" or _SEGMENT.search(name):
        raise AuditConfigError(
            f"path: expected a name ending in .jsonl, and not in a segment number such as .000002.jsonl, got {name!r}"
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise AuditConfigError(f"path: a log's name stands in its entries, and must be UTF-8, got {name!r}") from None
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise AuditConfigError(
            f"path: expected a name of at most {_MAX_NAME_BYTES} bytes, so that its segments can be named after it, "
            f"got {len(name.encode())} bytes"
        )
    if "\n" in name or "\\" in name:
        raise AuditConfigError(f"path: a log's name has no line feed and no backslash, got {name!r}")
    return absolute
