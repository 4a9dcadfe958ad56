"""The start under ``opentelemetry-instrument``: a program is audited that never heard of it.

Called from the entry point ``opentelemetry_pre_instrument``, which runs before all other
instrumentations, and even where they are disabled. From the entry point for instrumentations an
error would be logged, and the program would run on, unaudited.
"""

from __future__ import annotations

import logging
import os
import sys
from types import FrameType
from typing import Final, Literal

from otel_audit.environment import (
    OTEL_AUDIT_CAPTURE,
    OTEL_AUDIT_FILE,
    OTEL_AUDIT_FRAMEWORKS,
    OTEL_AUDIT_FUNCTIONS,
    OTEL_AUDIT_ON_FAILURE,
    genai_spans,
)
from otel_audit.errors import AuditConfigError, AuditError
from otel_audit.pipeline.configuration import configure, shut_down_at_exit

_log = logging.getLogger(__name__)

_PROGRAM = "_OTEL_AUDIT_PROGRAM_PID"
PROBE: Final = "otel_audit.doctor.probe"
"""The module by which ``otel-audit doctor`` asks what a program would get."""
STARTED: Final = "_OTEL_AUDIT_STARTED"
"""What tells it that the start was reached."""
_ASKS_FOR_IT = (OTEL_AUDIT_FILE, OTEL_AUDIT_FUNCTIONS, OTEL_AUDIT_FRAMEWORKS)


def start() -> None:
    """Configure auditing from the environment and instrument what it names.

    Where none of ``OTEL_AUDIT_FILE``, ``OTEL_AUDIT_FUNCTIONS`` and ``OTEL_AUDIT_FRAMEWORKS`` is set,
    and ``OTEL_AUDIT_GENAI_SPANS`` is not true, nothing happens.

    Raises:
        SystemExit: Something that was asked for cannot be audited, and failures are closed.
    """
    if sys.orig_argv[1:3] == ["-m", PROBE]:
        os.environ[STARTED] = "true"  # `otel-audit doctor` asks whether the start gets here, and no more
        return
    try:
        if any(os.environ.get(name) for name in _ASKS_FOR_IT) or genai_spans(os.environ):
            _instrument()
    except (AuditError, ImportError) as error:
        _give_up(error)
    except Exception as error:
        _log.debug("otel-audit could not be set up", exc_info=True)
        _give_up(AuditConfigError(f"auditing could not be set up: {type(error).__name__}"))


def _instrument() -> None:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        raise AuditConfigError("OTEL_SDK_DISABLED=true switches the audit log off, too: unset it")
    if not os.environ.get(OTEL_AUDIT_FILE):
        raise AuditConfigError(f"no path for the audit log: set {OTEL_AUDIT_FILE}")
    from otel_audit.instrument.instrumentor import AuditInstrumentor
    from otel_audit.instrument.sigterm import close_at_sigterm

    configure()
    close_at_sigterm(shut_down_at_exit)
    # a process that the program starts, a worker or a tool, need not have the program's modules
    program = os.environ.setdefault(_PROGRAM, str(os.getpid()))
    AuditInstrumentor().instrument(
        functions=words(OTEL_AUDIT_FUNCTIONS),
        frameworks=asked_frameworks(),
        capture=words(OTEL_AUDIT_CAPTURE),
        genai_spans=genai_spans(os.environ),
        check=program == str(os.getpid()),
        on_missing=_give_up,
    )


def asked_frameworks() -> list[str] | Literal["all"]:
    """Return the frameworks that ``OTEL_AUDIT_FRAMEWORKS`` names."""
    names = words(OTEL_AUDIT_FRAMEWORKS)
    return "all" if names in ([], ["all"]) else [] if names == ["none"] else names


def words(variable: str) -> list[str]:
    """Return what a variable lists, comma-separated."""
    return [word for part in os.environ.get(variable, "").split(",") if (word := part.strip())]


def _give_up(error: Exception) -> None:
    """End the program with one sentence, or let it run on unaudited and say so."""
    if os.environ.get(OTEL_AUDIT_ON_FAILURE) == "open":
        _log.error("otel-audit: %s; the program runs on (%s is open)", error, OTEL_AUDIT_ON_FAILURE)
        return
    sentence = f"otel-audit: {error}; the program ends ({OTEL_AUDIT_ON_FAILURE}=open lets it run unaudited)"
    if not _before_the_program():
        raise SystemExit(sentence)
    # from here, SystemExit would be shown as a crash of the interpreter, with three tracebacks
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
    shut_down_at_exit()
    os._exit(1)


def _before_the_program() -> bool:
    """Return whether the interpreter is still setting itself up, in ``sitecustomize``."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - `inspect` costs more and sees no more
    while frame is not None:
        if frame.f_code.co_name == "execsitecustomize":
            return True
        frame = frame.f_back
    return False
