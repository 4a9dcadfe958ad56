"""Whether the log can be written to. Nothing is appended to it: what needs an append is tried in a log beside it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from opentelemetry.sdk.resources import Resource

from otel_audit.chain import key_id
from otel_audit.doctor.check import Check
from otel_audit.doctor.filesystem import file_system
from otel_audit.environment import FileSettings, file_settings, provider_settings
from otel_audit.errors import AuditConfigError, AuditError
from otel_audit.key_file import read_key
from otel_audit.ledger import files, segments
from otel_audit.ledger.opening import check_identity
from otel_audit.ledger.tail import read_identity, read_tail
from otel_audit.pipeline.exporter import AuditFileLogExporter
from otel_audit.pipeline.provider import AuditProvider
from otel_audit.pipeline.resource import UNKNOWN_SERVICE, process_resource, service_name
from otel_audit.semconv import SERVICE_NAME

_EMITS: Final = 20
_LOCK_TIMEOUT_MILLIS: Final = 1000


def check_log(environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield what was found of the log that the environment names.

    Args:
        environ: With ``OTEL_AUDIT_FILE``.
    """
    try:
        settings = file_settings(environ)
        on_failure = provider_settings(environ).on_failure
        key = None if settings.hmac_key_file is None else read_key(settings.hmac_key_file, AuditConfigError)
    except AuditConfigError as error:
        yield Check("log", "problem", "settings", str(error))
        return
    said = f"integrity {settings.integrity}, durability {settings.durability}, failures {on_failure}"
    yield Check(
        "log",
        "ok",
        "settings",
        said,
        {
            "integrity": settings.integrity,
            "durability": settings.durability,
            "on_failure": on_failure,
            "key_id": None if key is None else key_id(key),
        },
    )
    if service_name(process_resource(None)).startswith(UNKNOWN_SERVICE):
        text = "names no service: what nobody else does is by unknown_service; set OTEL_SERVICE_NAME"
        yield Check("log", "note", "actor", text)
    folder = os.path.dirname(settings.path)
    if not os.path.isdir(folder):
        yield Check("log", "problem", folder, "the folder does not exist; make it first, mode 0700")
        return
    yield _disk(folder)
    existing = _existing(settings, None if key is None else key_id(key))
    if existing is not None:
        yield existing
    yield _probe(settings)


def _disk(folder: str) -> Check:
    found = file_system(folder)
    if found is None:
        return Check("log", "note", folder, "which file system it is on cannot be told here")
    details = {"file_system": found.kind, "is_network": found.is_network}
    if found.is_network:
        text = f"on a network file system ({found.kind}): locks and syncs are only as good as its server's"
        return Check("log", "note", folder, text, details)
    return Check("log", "ok", folder, f"on {found.kind}", details)


def _existing(settings: FileSettings, public_key_id: str | None) -> Check | None:
    """Look at the log that exists, under its lock; None where there is none."""
    number = segments.last_number(settings.path)
    path = segments.segment_path(settings.path, number)
    if not os.path.lexists(path):
        return None
    try:
        # it exists, and is not made: without writing to it, appending is tried
        fd = files.open_append(path, settings.file_mode)
    except AuditError as error:
        return _problem(path, error)
    except OSError as error:
        return Check("log", "problem", path, f"cannot be opened for appending: {error.strerror}")
    try:
        began = time.monotonic()
        files.lock(fd, path, min(_LOCK_TIMEOUT_MILLIS, settings.lock_timeout_millis))
        waited_millis = round((time.monotonic() - began) * 1000)
        end = files.size(fd)
        identity = read_identity(fd, path, end, number)
        tail = read_tail(fd, 0, end)
        if identity is not None:
            check_identity(path, identity, settings, public_key_id)
    except AuditError as error:
        return _problem(path, error)
    except OSError as error:
        return Check("log", "problem", path, f"cannot be locked or read: {error.strerror}")
    finally:
        files.close(fd)
    if tail is None:
        return Check("log", "ok", path, "there, and without an entry yet", {"seq": 0})
    text = f"there, with the same settings, up to seq {tail.seq}; opened for appending and locked in {waited_millis} ms"
    return Check("log", "ok", path, text, {"seq": tail.seq, "bytes": end, "lock_millis": waited_millis})


def _problem(path: str, error: AuditError) -> Check:
    return Check("log", "problem", path, str(error).removeprefix(f"{path}: "))


def _probe(settings: FileSettings) -> Check:
    """Emit into a log of its own in the same folder, and remove it again.

    Args:
        settings: Of the log itself; the probe is durable in any case.
    """
    folder = os.path.dirname(settings.path)
    try:
        beside = tempfile.mkdtemp(prefix=".otel-audit-doctor-", dir=folder)
    except OSError as error:
        text = f"nothing can be made in this folder: {error.strerror}; the log, or its next segment, has to be"
        return Check("log", "problem", folder, text)
    try:
        members = dataclasses.asdict(settings) | {"path": os.path.join(beside, "probe.jsonl"), "durability": "always"}
        resource = Resource({SERVICE_NAME: "otel-audit-doctor"})
        with AuditProvider(AuditFileLogExporter(**members), resource=resource) as provider:
            audit = provider.get_audit_logger("otel_audit.doctor")
            audit.emit("doctor.probe")
            micros = [_timed(lambda: audit.emit("doctor.probe")) for _ in range(_EMITS)]
    except AuditError as error:
        return Check("log", "problem", folder, f"a durable emit failed: {error}".replace(beside, folder))
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    median, slowest = round(statistics.median(micros)), round(max(micros))
    text = f"a durable emit takes {median:,} µs here (median of {_EMITS}; the slowest {slowest:,} µs)"
    return Check("log", "ok", "durable emit", text, {"median_micros": median, "slowest_micros": slowest})


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - began) / 1000
