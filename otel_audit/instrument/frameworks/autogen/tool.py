"""autogen: tool calls.

A tool is run by ``run_json`` or ``run_json_stream``, in every class. The framework's own workbenches do so and make
a text for the model of what the tool raises: behind that, an intent that could not be written is raised again. Other
workbenches, such as those of MCP servers, call what is no tool object: there the call to the workbench is the act.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from importlib import import_module
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final

import wrapt
from opentelemetry.context import get_value, set_value

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import Act, parsed_arguments, tool_call
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted, asking
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.autogen import workbench as autogen_workbench
from otel_audit.instrument.frameworks.autogen.model import AGENT, CALL, RUN
from otel_audit.instrument.frameworks.autogen.workbench import Stop, current_stop
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import made_current

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_STATIC: Final = "autogen_core.tools._static_workbench"
"""Whose workbenches only run tools."""


@dataclass(slots=True, eq=False)
class _Call:
    """A tool call under way.

    Attributes:
        owner: The tool or the workbench; of a workbench that runs a tool object, the tool from there on.
        name: The tool's.
        call_id: What the model calls it.
        of_workbench: Whether the owner is a workbench, which has run no tool object so far.
        methods: Those of the owner that the call went through.
    """

    owner: object
    name: object
    call_id: object
    of_workbench: bool
    methods: set[Method]

    def goes_on_as(self, call: _Call) -> bool:
        """Return whether a call is this one: by its owner's parent, or of the workbench's first tool; take note of it.

        A method that is called once more begins another call.
        """
        if self.owner is call.owner:
            if call.methods <= self.methods:
                return False
            self.methods |= call.methods
            return True
        if not self.of_workbench:
            return False
        if self.name != call.name and (self.call_id is None or self.call_id != call.call_id):
            return False
        self.owner, self.of_workbench, self.methods = call.owner, call.of_workbench, call.methods
        return True


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all tools and workbenches.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    tools = import_module("autogen_core.tools")
    calls = _Calls(auditor)
    wrap_methods(
        (tools.BaseTool,),
        {"run_json": calls.run, "run_json_stream": calls.stream},
        undo,
        maker=(tools.BaseTool, "__init_subclass__"),
    )
    undo.callback(wrap(tools.FunctionTool, "run", _run_in_context))
    wrap_methods(
        (tools.Workbench,),
        {"call_tool": calls.workbench, "call_tool_stream": calls.stream_workbench},
        undo,
        maker=(tools.Workbench, "__init_subclass__"),
    )


if TYPE_CHECKING:
    _Proxy = wrapt.ObjectProxy[Any]
else:  # wrapt 1 takes no parameter
    _Proxy = wrapt.ObjectProxy


class _InContext(_Proxy):
    """A tool whose blocking function, called in a thread, has its caller's context: else nobody acts there."""

    @property
    def _func(self) -> Callable[..., Any]:
        function: Callable[..., Any] = self.__wrapped__._func  # noqa: SLF001
        if iscoroutinefunction(function):
            return function
        context = copy_context()
        return lambda *args, **kwargs: context.run(function, *args, **kwargs)


def _run_in_context(wrapped: Any, tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wrapped.__func__(_InContext(tool), *args, **kwargs)


class _Calls:
    """The wrappers around tool calls. Thread-safe."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    def run(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Awaitable[Any]], tool: Any, args: Any, kwargs: Any) -> Any:
            call, act = self._of_tool(tool, method, args, kwargs)
            return await self._run(call, act, lambda: wrapped(*args, **kwargs))

        return wrapper

    def stream(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], tool: Any, args: Any, kwargs: Any) -> Any:
            call, act = self._of_tool(tool, method, args, kwargs)
            return self._stream(call, act, asking(wrapped, args, kwargs))

        return wrapper

    def workbench(self, method: Method) -> Wrapper:
        if method.cls.__module__ == _STATIC:
            return autogen_workbench.run

        async def wrapper(wrapped: Callable[..., Awaitable[Any]], workbench: Any, args: Any, kwargs: Any) -> Any:
            call, act = self._of_workbench(workbench, method, args, kwargs)
            return await self._run(call, act, lambda: wrapped(*args, **kwargs))

        return wrapper

    def stream_workbench(self, method: Method) -> Wrapper:
        if method.cls.__module__ == _STATIC:
            return autogen_workbench.run_stream

        def wrapper(wrapped: Callable[..., Any], workbench: Any, args: Any, kwargs: Any) -> Any:
            call, act = self._of_workbench(workbench, method, args, kwargs)
            return self._stream(call, act, asking(wrapped, args, kwargs))

        return wrapper

    async def _run(self, call: _Call, act: Act, run: Callable[[], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            with made_current(set_value(RUN, None, set_value(CALL, call))):
                return await run()

        stop = current_stop.get()
        try:
            with having(current_stop, None):
                if _goes_on(call):
                    return await run()
                return await self._auditor.arun(act, inside, _judge)
        except AuditError as error:
            if stop is not None:
                stop.error = error
            raise

    def _stream(self, call: _Call, act: Act, ask: Callable[[], Any]) -> Any:
        if _goes_on(call):
            return ask()
        return acted(self._auditor, act, ask, _ToolWatcher(current_stop.get()), values={CALL: call, RUN: None})

    def _of_tool(self, tool: Any, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[_Call, Act]:
        arguments = args[0] if args else kwargs.get("args")
        call_id = args[2] if len(args) > 2 else kwargs.get("call_id")
        return self._of(_Call(tool, tool.name, call_id, of_workbench=False, methods={method}), arguments)

    def _of_workbench(
        self, workbench: Any, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[_Call, Act]:
        name = args[0] if args else kwargs.get("name")
        arguments = args[1] if len(args) > 1 else kwargs.get("arguments")
        call_id = args[3] if len(args) > 3 else kwargs.get("call_id")
        return self._of(_Call(workbench, name, call_id, of_workbench=True, methods={method}), arguments)

    def _of(self, call: _Call, arguments: object) -> tuple[_Call, Act]:
        act = tool_call(
            call.name,
            call_id=call.call_id,
            arguments=parsed_arguments(arguments) if self._auditor.settings.capture else None,
            agent=get_value(AGENT),
        )
        return call, act


def _goes_on(call: _Call) -> bool:
    before = get_value(CALL)
    return isinstance(before, _Call) and before.goes_on_as(call)


def _judge(action: AuditAction, result: Any) -> None:
    if type(result).__name__ == "ToolResult" and result.is_error:
        action.set_outcome("failure", error_type="tool_error")


class _ToolWatcher(Watcher):
    """Learns from a tool's last event what it returned."""

    def __init__(self, stop: Stop | None) -> None:
        self._stop = stop
        self._last: Any = None

    def see(self, item: Any) -> None:
        self._last = item

    def result(self) -> object:
        return self._last

    def judge(self, action: AuditAction) -> None:
        _judge(action, self._last)

    def excuse(self, action: AuditAction, raised: BaseException) -> None:
        if isinstance(raised, AuditError):
            self.unrecorded(raised)

    def unrecorded(self, error: AuditError) -> None:
        if self._stop is not None:
            self._stop.error = error
