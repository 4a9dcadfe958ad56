"""Google ADK: agent runs, transfers, tools, models, code, confirmations and callbacks that intervene.

Its plugins see all of that, but one that raises is wrapped in another error, and one that comes
before ours can answer without us: the methods themselves are wrapped, in every class that has its own.
The framework opens spans itself, which the entries are of. An error of a tool or a model goes
on to whoever runs the agent, unless the program handles it (``on_tool_error_callback``).
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.auditor import Auditor

if TYPE_CHECKING:
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "google-adk"
MODULE: Final = "google.adk"
VERSIONS: Final = ">=2.10,<2.14"


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit agents, tools and models of this process, those that exist and those made later.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from otel_audit.instrument.frameworks.google_adk import decision, model, run, tool

    auditor = Auditor(logger, settings)
    run.instrument(auditor, undo)
    tool.instrument(auditor, undo)
    model.instrument(auditor, undo)
    decision.instrument(auditor, undo)
