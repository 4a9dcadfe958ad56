"""LangChain: calls of tools, by whatever way the tool's class has for them.

`BaseTool.run` and `arun` are wrapped, which every tool goes through that overrides neither
them nor ``invoke`` and ``ainvoke``; of one that does, these are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final

from otel_audit.instrument.frameworks.act import Act, handoff, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.langchain import graph
from otel_audit.instrument.frameworks.langchain.methods import Method, entered, wrap_overrides
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.patch import Wrapper, wrap

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_RUN: Final = ("run", "arun")
_INVOKE: Final = ("invoke", "ainvoke")
_ONLY_ARGUMENT: Final = "tool_input"
"""Of a tool that takes one text and has no schema; the model has a name of its own for it."""


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all tools.

    Raises:
        AuditConfigError: This version of langchain-core lacks a function that is wrapped.
    """
    base = graph.named("langchain_core.tools.base", "BaseTool")

    def make(method: Method, function: Any) -> Wrapper:
        is_async = method[1] in ("arun", "ainvoke") or iscoroutinefunction(function)
        return (_awrapper if is_async else _wrapper)(auditor, method, last=method[0] is base)

    for name in _RUN:
        undo.callback(wrap(base, name, make((base, name), None)))
    wrap_overrides(base, dict.fromkeys(_RUN + _INVOKE, make), undo, leave="langchain_core.tools.")


def _wrapper(auditor: Auditor, method: Method, *, last: bool) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with entered(tool, method, last=last) as begins:
            if not begins:
                return wrapped(*args, **kwargs)
            call_id, given = _asked(method, args, kwargs)
            result = auditor.run(
                _tool_call(auditor, tool, call_id, given),
                lambda: wrapped(*args, **kwargs),
                _judge,
                excuse=graph.excuse,
            )
            for act, hand_over in _handoffs(result, call_id):
                auditor.run(act, hand_over)
            return result

    return wrapper


def _awrapper(auditor: Auditor, method: Method, *, last: bool) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with entered(tool, method, last=last) as begins:
            if not begins:
                return await wrapped(*args, **kwargs)
            call_id, given = _asked(method, args, kwargs)
            result = await auditor.arun(
                _tool_call(auditor, tool, call_id, given),
                lambda: wrapped(*args, **kwargs),
                _judge,
                excuse=graph.excuse,
            )
            for act, hand_over in _handoffs(result, call_id):
                await auditor.arun(act, _awaited(hand_over))
            return result

    return wrapper


def _asked(method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[object, object]:
    """Return the id of a call, and what is given to the tool."""
    if method[1] not in _INVOKE:
        return kwargs.get("tool_call_id"), args[0] if args else kwargs.get("tool_input")
    given = args[0] if args else kwargs.get("input")
    if isinstance(given, Mapping) and given.get("type") == "tool_call":
        return given.get("id"), given.get("args")
    return None, given


def _tool_call(auditor: Auditor, tool: Any, call_id: object, given: object) -> Act:
    return tool_call(
        read(tool, "name"),
        call_id=call_id,
        arguments=_arguments(tool, given) if auditor.settings.capture else None,
        agent=graph.current_agent(),
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


def _handoffs(result: Any, call_id: object) -> Iterator[tuple[Act, Callable[[], None]]]:
    """Yield each node that a tool's result sends the work to, and what is to be done once that is on record."""
    run = graph.current_run()
    for command in result if isinstance(result, list) else [result]:
        for node in graph.destinations(command):
            act = handoff(node, from_agent=None if run is None else run.agent, call_id=call_id)
            if run is None:
                yield act, lambda: None
            else:
                yield act, lambda run=run, command=command, node=node: run.hand_over(command, node)  # type: ignore[misc]


def _awaited(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def coroutine() -> None:
        function()

    return coroutine
