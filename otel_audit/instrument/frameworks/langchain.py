"""LangChain and LangGraph: tools, models, agents, handoffs, approvals, guardrails.

Tools are wrapped at `BaseTool.run` and `arun`, which every tool goes through, whoever calls it; a
callback could not stop one, as an error in it is swallowed where an agent runs in a loop. The
other acts stand in `langchain_model`, `langchain_graph`, `langchain_approval` and `langchain_guard`. Each part is
instrumented when the program imports what it wraps.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import wrapt
from opentelemetry.instrumentation.dependencies import get_dependency_conflicts

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.frameworks import (
    FrameworkSettings,
    langchain_approval,
    langchain_graph,
    langchain_guard,
    langchain_model,
)
from otel_audit.instrument.frameworks.act import Act, handoff, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.patch import wrap

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "langchain-core"
MODULE: Final = "langchain_core"
VERSIONS: Final = ">=1.1,<2"

_LANGGRAPH: Final = "langgraph >=1.0.2,<2"
_LANGCHAIN: Final = "langchain >=1.1,<2"

_ONLY_ARGUMENT: Final = "tool_input"
"""Of a tool that takes one text and has no schema; the model has a name of its own for it."""

_log = logging.getLogger(__name__)

Part = Callable[[Auditor, ExitStack, ModuleType], None]


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
        ("langchain_core.tools.base", _instrument_tools),
        ("langchain_core.language_models.chat_models", langchain_model.instrument_chat_models),
        ("langchain_core.language_models.llms", langchain_model.instrument_text_models),
    ):
        _require(module)
        _when_imported(module, part, auditor, later)
    _when_imported("langgraph.pregel", langchain_graph.instrument, auditor, later, _LANGGRAPH)
    _when_imported("langgraph.prebuilt", langchain_approval.instrument_policies, auditor, later, _LANGGRAPH)
    for part in (langchain_approval.instrument_people, langchain_guard.instrument):
        _when_imported("langchain.agents.middleware", part, auditor, later, _LANGCHAIN)


def _instrument_tools(auditor: Auditor, undo: ExitStack, module: ModuleType) -> None:
    def run(wrapped: Callable[..., Any], tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = auditor.run(
            _tool_call(auditor, tool, args, kwargs),
            lambda: wrapped(*args, **kwargs),
            _judge,
            excuse=langchain_graph.excuse,
        )
        for act, hand_over in _handoffs(result, kwargs):
            auditor.run(act, hand_over)
        return result

    async def arun(
        wrapped: Callable[..., Awaitable[Any]], tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result = await auditor.arun(
            _tool_call(auditor, tool, args, kwargs),
            lambda: wrapped(*args, **kwargs),
            _judge,
            excuse=langchain_graph.excuse,
        )
        for act, hand_over in _handoffs(result, kwargs):
            await auditor.arun(act, _awaited(hand_over))
        return result

    base_tool = langchain_graph.named(module, "BaseTool")
    undo.callback(wrap(base_tool, "run", run))
    undo.callback(wrap(base_tool, "arun", arun))


def _tool_call(auditor: Auditor, tool: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Act:
    arguments = None
    if auditor.settings.capture:
        arguments = _arguments(tool, args[0] if args else kwargs.get("tool_input"))
    return tool_call(
        getattr(tool, "name", None),
        call_id=kwargs.get("tool_call_id"),
        arguments=arguments,
        agent=langchain_graph.current_agent(),
    )


def _arguments(tool: Any, given: object) -> dict[str, object] | None:
    """Return what the model may say to a tool, by name.

    Not what the framework adds: the graph's state, which holds all messages, its store, its
    configuration.
    """
    names: list[str] = []
    visible: Collection[str] = ()
    with suppress(Exception):  # a schema of the tool's own, which may not be made yet
        names = list(tool.args)
        schema = tool.tool_call_schema
        visible = schema["properties"] if isinstance(schema, dict) else _fields(schema)
    if isinstance(given, str):
        return {names[0] if names else _ONLY_ARGUMENT: given}
    if not isinstance(given, Mapping):
        return None
    return {name: value for name, value in given.items() if name in visible or names == [_ONLY_ARGUMENT]}


def _fields(schema: Any) -> Collection[str]:
    fields: Collection[str] = schema.model_fields if hasattr(schema, "model_fields") else schema.__fields__
    return fields


def _judge(action: AuditAction, result: Any) -> None:
    """A tool that handles its own errors returns them, as messages that say so."""
    results = result if isinstance(result, list) else [result]
    if any(getattr(each, "status", None) == "error" for each in results):
        action.set_outcome("failure", error_type="tool_error")


def _handoffs(result: Any, kwargs: Mapping[str, Any]) -> Iterator[tuple[Act, Callable[[], None]]]:
    """Yield each node that a tool's result sends the work to, and what is to be done once that is on record."""
    run = langchain_graph.current_run()
    for command in result if isinstance(result, list) else [result]:
        for node in langchain_graph.destinations(command):
            act = handoff(node, from_agent=None if run is None else run.agent, call_id=kwargs.get("tool_call_id"))
            if run is None:
                yield act, lambda: None
            else:
                yield act, lambda run=run, command=command, node=node: run.hand_over(command, node)  # type: ignore[misc]


def _awaited(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def coroutine() -> None:
        function()

    return coroutine


def _require(module: str) -> None:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        raise AuditConfigError(f"nothing to audit: expected {PACKAGE} to have {module}, got a version without it")


def _when_imported(module: str, part: Part, auditor: Auditor, undo: ExitStack, requirement: str | None = None) -> None:
    """Instrument a part as soon as its module is imported; importing it here would cost all others its time."""
    enabled = True

    def stop() -> None:
        nonlocal enabled
        enabled = False

    def imported(found: ModuleType) -> None:
        if not enabled:
            return
        on_missing = auditor.settings.on_missing
        conflict = None if requirement is None else get_dependency_conflicts([requirement])
        try:
            if conflict is not None:
                raise AuditConfigError(
                    f"{module} is not audited: expected {conflict.required}, got {conflict.found or 'none installed'}"
                )
            part(auditor, undo, found)
        except AuditConfigError as error:
            if on_missing is not None:
                on_missing(error)
            elif conflict is not None:
                _log.warning(str(error))
            else:
                raise

    undo.callback(stop)
    wrapt.register_post_import_hook(imported, module)
