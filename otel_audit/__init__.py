"""OpenTelemetry-integrated audit instrumentation for AI agents.

The names below are the public face. They are loaded when first used: reading a log imports
neither the OpenTelemetry SDK nor anything that writes.
"""

from __future__ import annotations

import atexit
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from .interpreter import refuse_unsupported

if TYPE_CHECKING:
    from .entry import Entry
    from .errors import (
        AuditBlockedError,
        AuditConfigError,
        AuditError,
        AuditLogPoisonedError,
        AuditRecordError,
        AuditVerifyError,
        AuditWriteError,
    )
    from .instrument.call import Call
    from .instrument.decorator import audited
    from .instrument.gate import gate
    from .instrument.gates import audit_gate
    from .instrument.instrumentor import AuditInstrumentor
    from .pipeline.action import AuditAction
    from .pipeline.configuration import configure, get_audit_logger, get_audit_provider, set_audit_provider
    from .pipeline.context import acting_as, carry
    from .pipeline.exporter import AuditFileLogExporter
    from .pipeline.logger import AuditLogger
    from .pipeline.processor import AuditLogRecordProcessor
    from .pipeline.provider import AuditProvider
    from .reader import read_log, verify_log
    from .record import Actor, AuditReceipt, AuditRecord, Source, Target
    from .verify import Finding, VerifyReport

refuse_unsupported()

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "AuditAction",
    "AuditBlockedError",
    "AuditConfigError",
    "AuditError",
    "AuditFileLogExporter",
    "AuditInstrumentor",
    "AuditLogPoisonedError",
    "AuditLogRecordProcessor",
    "AuditLogger",
    "AuditProvider",
    "AuditReceipt",
    "AuditRecord",
    "AuditRecordError",
    "AuditVerifyError",
    "AuditWriteError",
    "Call",
    "Entry",
    "Finding",
    "Source",
    "Target",
    "VerifyReport",
    "acting_as",
    "audit_gate",
    "audited",
    "carry",
    "configure",
    "gate",
    "get_audit_logger",
    "get_audit_provider",
    "read_log",
    "set_audit_provider",
    "verify_log",
]

_HOMES = {
    "Actor": "record",
    "AuditAction": "pipeline.action",
    "AuditBlockedError": "errors",
    "AuditConfigError": "errors",
    "AuditError": "errors",
    "AuditFileLogExporter": "pipeline.exporter",
    "AuditInstrumentor": "instrument.instrumentor",
    "AuditLogPoisonedError": "errors",
    "AuditLogRecordProcessor": "pipeline.processor",
    "AuditLogger": "pipeline.logger",
    "AuditProvider": "pipeline.provider",
    "AuditReceipt": "record",
    "AuditRecord": "record",
    "AuditRecordError": "errors",
    "AuditVerifyError": "errors",
    "AuditWriteError": "errors",
    "Call": "instrument.call",
    "Entry": "entry",
    "Finding": "verify",
    "Source": "record",
    "Target": "record",
    "VerifyReport": "verify",
    "acting_as": "pipeline.context",
    "audit_gate": "instrument.gates",
    "audited": "instrument.decorator",
    "carry": "pipeline.context",
    "configure": "pipeline.configuration",
    "gate": "instrument.gate",
    "get_audit_logger": "pipeline.configuration",
    "get_audit_provider": "pipeline.configuration",
    "read_log": "reader",
    "set_audit_provider": "pipeline.configuration",
    "verify_log": "reader",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _shut_down_at_exit() -> None:
    configuration = sys.modules.get(f"{__name__}.pipeline.configuration")
    if configuration is not None:
        configuration.shut_down_at_exit()


# Here, and not where auditing is configured: the last registered runs first, and the program's
# own exit hooks can still emit if they are registered after this import.
atexit.register(_shut_down_at_exit)
