"""llama-index: tools, models, agents and their handoffs.

Its own instrumentation (`llama_index_instrumentation`) swallows what a handler raises, so
that no handler could stop a tool: the methods themselves are wrapped. Tools and models are
abstract classes, and each subclass brings methods of its own; how all of them are reached
stands in `frameworks.methods`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.auditor import Auditor

if TYPE_CHECKING:
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "llama-index-core"
MODULE: Final = "llama_index.core"
VERSIONS: Final = ">=0.14,<0.15"


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit tools, models and agents of this process, those that exist and those made later.

    Runs of agents that are under way already go on without their names.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from otel_audit.instrument.frameworks.llama_index import agent, model, request, tool

    auditor = Auditor(logger, settings)
    find_tools = tool.instrument(auditor, undo)
    find_models = model.instrument(auditor, undo)

    def refresh() -> None:
        find_tools()
        find_models()

    request.instrument(refresh, undo)
    agent.instrument(auditor, refresh, undo)
