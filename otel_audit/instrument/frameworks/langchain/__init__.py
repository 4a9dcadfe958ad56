"""LangChain and LangGraph: tools, models, agents, handoffs, approvals, guardrails.

All are wrapped where they happen; a callback could not stop one, as an error in it is swallowed where an
agent runs in a loop. They stand in `tool`, `model`, `graph`, `approval` and `guard`. Each part is
instrumented when the program imports what it wraps.
"""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.langchain import approval, graph, guard, model, tool
from otel_audit.instrument.frameworks.part import instrument_part

if TYPE_CHECKING:
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "langchain-core"
MODULE: Final = "langchain_core"
VERSIONS: Final = ">=1.1,<2"

_LANGGRAPH: Final = "langgraph >=1.0.2,<2"
_LANGCHAIN: Final = "langchain >=1.1,<2"


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit all tools, models and compiled graphs of this process, those that exist included.

    Guardrails and policies are audited in agents that are made from now on.

    Raises:
        AuditConfigError: This version of langchain-core lacks a function that is wrapped. What
            langgraph or langchain lack is raised by their import.
    """
    auditor = Auditor(logger, settings)
    later = ExitStack()
    undo.callback(later.close)
    for module, part in (
        ("langchain_core.tools.base", tool.instrument),
        ("langchain_core.language_models.chat_models", model.instrument_chat_models),
        ("langchain_core.language_models.llms", model.instrument_text_models),
    ):
        _require(module)
        instrument_part("langchain", module, part, auditor, later)
    for module, part, requirement in (
        ("langgraph.pregel", graph.instrument, _LANGGRAPH),
        ("langgraph.prebuilt", approval.instrument_policies, _LANGGRAPH),
        ("langchain.agents.middleware", approval.instrument_people, _LANGCHAIN),
        ("langchain.agents.middleware", guard.instrument, _LANGCHAIN),
    ):
        instrument_part("langchain", module, part, auditor, later, requirement=requirement)


def _require(module: str) -> None:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        raise AuditConfigError(f"nothing to audit: expected {PACKAGE} to have {module}, got a version without it")
