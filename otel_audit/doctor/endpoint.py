"""Whether the OTLP endpoint takes records: an empty export, by the exporter that would send them."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from otel_audit.doctor.check import Check
from otel_audit.environment import provider_settings
from otel_audit.errors import AuditConfigError

TIMEOUT_SECONDS: Final = 3.0
"""For all of it."""

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_NO_URL: Final = "expected a URL with a host, got none"
_NO_PORT: Final = "expected a port from 1 to 65535 in the URL, got another"
_PORTS: Final = {"grpc": 4317, "http/protobuf": 4318}


def check_endpoint(environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield what was found of the endpoint, where records are to go to one. Takes 3 s at most.

    A problem only where ``OTEL_AUDIT_PROCESSORS`` asks for copies by OTLP.
    """
    try:
        asked = "otlp" in provider_settings(environ).processors
    except AuditConfigError:
        return  # the log's settings say it
    given = next((environ[name] for name in _ENDPOINTS if environ.get(name)), None)
    if not asked and given is None:
        return
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "grpc")
    address = _address(given, protocol)
    if isinstance(address, str):
        yield Check("otlp", "problem" if asked else "note", "endpoint", address)
        return
    host, port = address
    answer: list[str | None] = []
    thread = threading.Thread(target=lambda: answer.append(_tried(host, port)), daemon=True)
    thread.start()
    thread.join(TIMEOUT_SECONDS)
    error = answer[0] if answer else f"does not answer within {TIMEOUT_SECONDS:.0f} s"
    details = {"protocol": protocol, "answers": error is None, "asked": asked}
    subject = f"{host}:{port}"
    if error is None:
        more = "" if asked else "; no records of the audit log go there: OTEL_AUDIT_PROCESSORS does not name otlp"
        yield Check("otlp", "ok", subject, f"takes an empty export ({protocol}){more}", details)
    else:
        yield Check("otlp", "problem" if asked else "note", subject, f"{error} ({protocol})", details)


def _address(given: str | None, protocol: str) -> tuple[str, int] | str:
    """Return host and port, no credentials that the URL may hold; or what is wrong with the URL."""
    port = _PORTS.get(protocol, _PORTS["grpc"])
    if given is None:
        return "localhost", port
    try:
        parts = urlsplit(given if "://" in given else f"//{given}")
        host = parts.hostname
        (host or "").encode("idna")  # as the resolver does; UnicodeError is a ValueError
    except ValueError:
        host = None
    if host is None:
        return _NO_URL
    try:
        given_port = parts.port
    except ValueError:
        return _NO_PORT
    if given_port == 0:
        return _NO_PORT
    if given_port is not None:
        port = given_port
    elif protocol == "http/protobuf":
        port = 443 if parts.scheme == "https" else 80
    return host, port


def _tried(host: str, port: int) -> str | None:
    """Return what is wrong with an endpoint; None where it takes records."""
    deadline = monotonic() + TIMEOUT_SECONDS
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_SECONDS).close()
    except TimeoutError:
        return f"does not answer within {TIMEOUT_SECONDS:.0f} s"
    except OSError as error:
        return f"cannot be reached: {error.strerror or type(error).__name__}"
    return _exported(deadline)


def _exported(deadline: float) -> str | None:
    from opentelemetry.sdk._logs.export import LogRecordExportResult

    from otel_audit.pipeline import otlp_exporter

    # Their own words can hold what the server says, and ours are those of the check.
    for name in ("opentelemetry", otlp_exporter.__name__):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    seconds = max(0.1, deadline - monotonic())
    try:
        exporter = otlp_exporter.make_exporter("OTEL_AUDIT_PROCESSORS=otlp", timeout_seconds=seconds)
        result = exporter.export([])
    except AuditConfigError as error:
        return str(error)
    except Exception as error:  # of a certificate that cannot be read, a header that is none
        return f"cannot be used: {type(error).__name__}"
    return None if result is LogRecordExportResult.SUCCESS else "is there, and does not take an empty export"
