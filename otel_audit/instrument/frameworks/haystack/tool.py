"""Haystack: tools, by `Tool.invoke` and ``invoke_async`` of every class.

A tool's own error comes out of them as the cause of the framework's. One that is ours, because
something inside of the tool could not be recorded, would become a text for the model: it is raised instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import Act, tool_call
from otel_audit.instrument.frameworks.haystack.run import (
    answering,
    collecting_refusals,
    current_agent,
    in_tool,
    refuse,
    requested,
)
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def instrument(auditor: Auditor, undo: ExitStack) -> Callable[[], None]:
    """Audit all tools; return what finds those that were made or changed unnoticed (`wrap_methods`).

    Raises:
        AuditConfigError: This version lacks a function that is wrapped.
    """
    from haystack.tools.errors import ToolInvocationError
    from haystack.tools.tool import Tool

    tools = _Tools(auditor, Tool, _asks_invoke(Tool), ToolInvocationError)
    refresh = wrap_methods(
        (Tool,), {"invoke": tools.wrap, "invoke_async": tools.wrap_async}, undo, maker=(Tool, "__init_subclass__")
    )
    calling = import_module("haystack.components.agents.tool_calling")
    undo.callback(wrap(calling, "_make_context_bound_invoke", _bound))
    undo.callback(wrap(calling, "_make_bounded_invoke_async", _bound_async))
    return refresh


def _asks_invoke(tool: type) -> bool:
    """Return whether, of a tool that has no coroutine, ``invoke_async`` calls ``invoke``, rather than the function."""
    method = vars(tool).get("invoke_async")  # where there is none, wrapping it says so
    code = getattr(inspect.unwrap(method), "__code__", None) if callable(method) else None
    return code is None or "invoke" in code.co_names


@dataclass(frozen=True, slots=True)
class _Tools:
    """Writes what tools do.

    Attributes:
        auditor: Writes with it.
        base: The framework's own class, which hands over to a function of the program's.
        asks_invoke: Whether its ``invoke_async`` goes by ``invoke`` where the tool has no coroutine.
        failure: The framework's error around a tool's own.
    """

    auditor: Auditor
    base: type
    asks_invoke: bool
    failure: type[BaseException]

    def wrap(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], tool: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(tool, method, last=self._is_last(tool, method)) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)

                def call() -> Any:
                    with in_tool(read(tool, "name"), _component(tool)), collecting_refusals() as refusals:
                        try:
                            return wrapped(*args, **kwargs)
                        except self.failure as failed:
                            _raise_refusal(failed, refusals)
                            raise

                try:
                    return self.auditor.run(self._act(tool, kwargs), call, excuse=self._excuse)
                except AuditError as error:
                    refuse(error)
                    raise

        return wrapper

    def wrap_async(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Awaitable[Any]], tool: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(tool, method, last=self._is_last(tool, method)) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)

                async def call() -> Any:
                    with in_tool(read(tool, "name"), _component(tool)), collecting_refusals() as refusals:
                        try:
                            return await wrapped(*args, **kwargs)
                        except self.failure as failed:
                            _raise_refusal(failed, refusals)
                            raise

                try:
                    return await self.auditor.arun(self._act(tool, kwargs), call, excuse=self._excuse)
                except AuditError as error:
                    refuse(error)
                    raise

        return wrapper

    def _is_last(self, tool: Any, method: Method) -> bool:
        if method.cls is not self.base or method.layer != 0:
            return False
        return method.name == "invoke" or not self.asks_invoke or read(tool, "async_function") is not None

    def _act(self, tool: Any, kwargs: Kwargs) -> Act:
        request = requested()
        return tool_call(
            read(tool, "name"),
            call_id=getattr(request, "id", None),
            agent=current_agent(),
            arguments=kwargs if request is None else request.arguments,
        )

    def _excuse(self, action: AuditAction, raised: BaseException) -> None:
        if isinstance(raised, self.failure) and raised.__cause__ is not None:
            action.set_outcome("failure", error_type=error_type_of(raised.__cause__))


def _component(tool: Any) -> object:
    """Return the component that a tool runs."""
    return read(tool, "_component")


def _raise_refusal(failed: BaseException, refusals: list[AuditError]) -> None:
    """Raise what kept an act inside of a tool from being done, where that is why the tool failed."""
    cause = failed.__cause__
    while cause is not None:
        if any(cause is refusal for refusal in refusals):
            raise cause
        cause = cause.__cause__


def _bound(wrapped: Callable[..., Any], _module: object, args: Args, kwargs: Kwargs) -> Any:
    """Give a tool call its request; what is returned runs in a copy of the context that it is made in."""
    with answering(_request(args, kwargs)):
        return wrapped(*args, **kwargs)


def _request(args: Args, kwargs: Kwargs) -> object:
    """Return the tool call among the arguments of the function that prepares it."""
    return next((value for value in (*args, *kwargs.values()) if hasattr(value, "tool_name")), None)


def _bound_async(wrapped: Callable[..., Any], _module: object, args: Args, kwargs: Kwargs) -> Any:
    call = wrapped(*args, **kwargs)
    request = _request(args, kwargs)

    async def answer() -> Any:
        with answering(request):
            return await call()

    return answer
