"""Parts of a framework, each instrumented when the program imports its module."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from types import ModuleType
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.dependencies import get_dependency_conflicts

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.frameworks.missing import not_audited
from otel_audit.instrument.import_hooks import when_imported

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor

Part = Callable[["Auditor", ExitStack], None]
"""Instruments a part, and hangs the way back on the stack."""

_log = logging.getLogger(__name__)


def instrument_part(
    framework: str, module: str, part: Part, auditor: Auditor, undo: ExitStack, *, requirement: str | None = None
) -> None:
    """Instrument a part, or nothing of it, as soon as its module is imported: importing it here takes time.

    Args:
        framework: The framework's name.
        module: Without which there is no such part.
        part: Instruments it.
        auditor: Writes the entries.
        undo: Takes the way back; not one that its maker hands on before the module is imported.
        requirement: The distribution that has the module, and the versions of it that are supported.

    Raises:
        AuditConfigError: What is wrapped is not there, and the settings have nobody who is told. Raised by the
            module's import; here, where it is imported already.
    """

    def imported(_found: ModuleType) -> None:
        on_missing = auditor.settings.on_missing
        conflict = None if requirement is None else get_dependency_conflicts([requirement])
        try:
            if conflict is not None:
                raise AuditConfigError(f"expected {conflict.required}, got {conflict.found or 'none installed'}")
            with ExitStack() as own:
                part(auditor, own)
                undo.push(own.pop_all())
        except (AuditConfigError, AttributeError, ImportError) as error:
            told = not_audited(framework, error, part=module)
            if on_missing is not None:
                on_missing(told)
            elif conflict is not None:
                _log.warning(str(told))
            else:
                raise told from error

    undo.callback(when_imported(module, imported))
