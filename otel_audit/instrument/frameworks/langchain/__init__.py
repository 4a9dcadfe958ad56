"""LangChain and LangGraph: tools, models, agents, handoffs, approvals, guardrails.

All are wrapped where they happen; a callback could not stop one, as an error in it is swallowed
where an agent runs in a loop. They stand in `tool`, `model`,
`graph`, `approval` and `guard`. Each part is instrumented when the
program imports what it wraps.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Final

import wrapt
from opentelemetry.instrumentation.dependencies import get_dependency_conflicts

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.langchain import approval, graph, guard, model, tool
from otel_audit.instrument.frameworks.missing import not_audited

if TYPE_CHECKING:
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "langchain-core"
MODULE: Final = "langchain_core"
VERSIONS: Final = ">=1.1,<2"

_LANGGRAPH: Final = "langgraph >=1.0.2,<2"
_LANGCHAIN: Final = "langchain >=1.1,<2"

_log = logging.getLogger(__name__)

Part = Callable[[Auditor, ExitStack, ModuleType], None]

_waiting: Final[dict[str, list[Callable[[ModuleType], None]]]] = {}
"""By name of a module that is not imported yet, who waits for it."""
_hooked: Final[set[str]] = set()
"""Those modules whose import is told."""


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
        _when_imported(module, part, auditor, later)
    _when_imported("langgraph.pregel", graph.instrument, auditor, later, _LANGGRAPH)
    _when_imported("langgraph.prebuilt", approval.instrument_policies, auditor, later, _LANGGRAPH)
    for part in (approval.instrument_people, guard.instrument):
        _when_imported("langchain.agents.middleware", part, auditor, later, _LANGCHAIN)


def _require(module: str) -> None:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        raise AuditConfigError(f"nothing to audit: expected {PACKAGE} to have {module}, got a version without it")


def _when_imported(module: str, part: Part, auditor: Auditor, undo: ExitStack, requirement: str | None = None) -> None:
    """Instrument a part as soon as its module is imported; importing it here would cost all others its time."""

    def imported(found: ModuleType) -> None:
        try:
            waiting.remove(imported)
        except ValueError:  # told already
            return
        on_missing = auditor.settings.on_missing
        conflict = None if requirement is None else get_dependency_conflicts([requirement])
        try:
            if conflict is not None:
                raise AuditConfigError(f"expected {conflict.required}, got {conflict.found or 'none installed'}")
            part(auditor, undo, found)
        except (AuditConfigError, AttributeError) as error:
            told = not_audited("langchain", error, part=module)
            if on_missing is not None:
                on_missing(told)
            elif conflict is not None:
                _log.warning(str(told))
            else:
                raise told from error

    def stop() -> None:
        with suppress(ValueError):
            waiting.remove(imported)

    waiting = _waiting.setdefault(module, [])
    waiting.append(imported)
    undo.callback(stop)
    if module not in _hooked:
        _hooked.add(module)
        wrapt.register_post_import_hook(_tell, module)
    elif module in sys.modules:
        imported(sys.modules[module])


def _tell(found: ModuleType) -> None:
    """Tell all that wait for a module, the only hook that there is for it: nothing takes one out again."""
    _hooked.discard(found.__name__)  # used up
    for imported in tuple(_waiting[found.__name__]):
        imported(found)
