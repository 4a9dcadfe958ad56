"""crewai: tool calls.

A model's calls come to `BaseTool.run` where it can call functions, and to `CrewStructuredTool.invoke` where it
writes them as text; both are wrapped in every class. What a tool raises becomes a text for the model, so an intent
that could not be written is raised again behind that, as the one exception that ends a run and is not tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import Act, parsed_arguments, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

STOPPED: Final = "a tool call could not be recorded"


@dataclass(slots=True)
class _Call:
    """A tool call that a model asked for.

    Attributes:
        call_id: What the model calls it.
        error: What could not be recorded of it.
    """

    call_id: object = None
    error: AuditError | None = None


current_role: ContextVar[str | None] = ContextVar("otel-audit-crewai-role", default=None)
"""The role of the agent that runs: its name."""
_call: ContextVar[_Call | None] = ContextVar("otel-audit-crewai-call", default=None)


def instrument(auditor: Auditor, undo: ExitStack) -> Callable[[], None]:
    """Audit all tools; return what finds those that were made or changed unnoticed (`wrap_methods`).

    Raises:
        AuditConfigError: This version lacks something that is wrapped.
    """
    base_tool = import_module("crewai.tools.base_tool")
    tool = base_tool.BaseTool
    structured = import_module("crewai.tools.structured_tool").CrewStructuredTool
    tools = _Tools(auditor, own=(tool, base_tool.Tool, structured))
    find_tools = wrap_methods((tool,), {"run": tools.run, "arun": tools.arun}, undo, maker=(tool, "__init_subclass__"))
    find_structured = wrap_methods(
        (structured,), {"invoke": tools.run, "ainvoke": tools.arun}, undo, maker=(structured, "__init_subclass__")
    )
    executor = import_module("crewai.agents.agent_executor").AgentExecutor
    undo.callback(wrap(executor, "_execute_single_native_tool_call", _native))
    undo.callback(wrap(import_module("crewai.agents.step_executor"), "execute_single_native_tool_call", _native))
    usage = import_module("crewai.tools.tool_usage").ToolUsage
    undo.callback(wrap(usage, "use", _use))
    undo.callback(wrap(usage, "ause", _ause))
    undo.push(_passing_through(import_module("crewai.agent.core")))

    def refresh() -> None:
        find_tools()
        find_structured()

    return refresh


def role_of(agent: object) -> str | None:
    """Return an agent's role, on one line."""
    role = read(agent, "role")
    return " ".join(role.split()) if isinstance(role, str) else None


@contextmanager
def unstopped() -> Iterator[None]:
    """Raise the `AuditError` itself in place of what ended the run for it."""
    try:
        yield
    except _hook_aborted() as aborted:
        if isinstance(getattr(aborted, "source", None), AuditError):
            raise aborted.source from None  # type: ignore[attr-defined]
        raise


class _Tools:
    """The wrappers around a tool's methods. Thread-safe.

    Args:
        auditor: Writes with it.
        own: The framework's own classes, whose methods hand over to the program's function and to none of each other.
    """

    def __init__(self, auditor: Auditor, own: tuple[type, ...]) -> None:
        self._auditor = auditor
        self._own = own

    def run(self, method: Method) -> Wrapper:
        last = self._is_last(method)

        def wrapper(wrapped: Callable[..., Any], tool: Any, args: Any, kwargs: Any) -> Any:
            with entered(tool, method, last=last) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                act = self._act(tool, method, args, kwargs)
                with _noted():
                    return self._auditor.run(act, lambda: wrapped(*args, **kwargs), _judge)

        return wrapper

    def arun(self, method: Method) -> Wrapper:
        last = self._is_last(method)

        async def wrapper(wrapped: Callable[..., Awaitable[Any]], tool: Any, args: Any, kwargs: Any) -> Any:
            with entered(tool, method, last=last) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                act = self._act(tool, method, args, kwargs)
                with _noted():
                    return await self._auditor.arun(act, lambda: wrapped(*args, **kwargs), _judge)

        return wrapper

    def _is_last(self, method: Method) -> bool:
        return method.cls in self._own and method.layer == 0

    def _act(self, tool: Any, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Act:
        call = _call.get()
        arguments: Mapping[str, object] | None = None
        if self._auditor.settings.capture:
            if method.name.endswith("invoke"):
                arguments = parsed_arguments(args[0] if args else kwargs.get("input"))
            else:
                fields = getattr(read(tool, "args_schema"), "model_fields", ())
                arguments = dict(zip(fields, args, strict=False)) | kwargs
        return tool_call(
            read(tool, "name"),
            call_id=None if call is None else call.call_id,
            arguments=arguments,
            agent=current_role.get(),
        )


def _judge(action: AuditAction, result: Any) -> None:
    reason = getattr(result, "reason", None)  # of a `ToolFailure`
    if isinstance(result, _tool_failure()):
        action.set_outcome("failure", error_type=str(getattr(reason, "value", reason) or "tool_error"))


@contextmanager
def _noted() -> Iterator[None]:
    """Note what could not be recorded with the call that the model asked for; what a tool calls is none of that."""
    call = _call.get()
    try:
        with having(_call, None):
            yield
    except AuditError as error:
        if call is not None:
            call.error = error
        raise


def _native(wrapped: Callable[..., Any], _executor: object, args: Any, kwargs: Any) -> Any:
    """Make a call that a model asked for."""
    asked = args[0] if args else kwargs.get("tool_call")
    info = import_module("crewai.utilities.agent_utils").extract_tool_call_info(asked)
    call = _Call(info[0] if info else None)
    with having(_call, call):
        result = wrapped(*args, **kwargs)
    _stop(call)
    return result


def _use(wrapped: Callable[..., Any], _usage: object, args: Any, kwargs: Any) -> Any:
    """Make a call that a model wrote as text."""
    call = _Call()
    with having(_call, call):
        result = wrapped(*args, **kwargs)
    _stop(call)
    return result


async def _ause(wrapped: Callable[..., Awaitable[Any]], _usage: object, args: Any, kwargs: Any) -> Any:
    call = _Call()
    with having(_call, call):
        result = await wrapped(*args, **kwargs)
    _stop(call)
    return result


def _stop(call: _Call) -> None:
    """End the run where a call could not be recorded."""
    if call.error is not None:
        aborted: Any = _hook_aborted()
        raise aborted(STOPPED, source=call.error) from call.error


@cache
def _hook_aborted() -> type[Exception]:
    aborted: type[Exception] = import_module("crewai.hooks.dispatch").HookAborted
    return aborted


@cache
def _tool_failure() -> type:
    failure: type = import_module("crewai.tools.tool_failure").ToolFailure
    return failure


def _passing_through(core: Any) -> Callable[..., None]:
    """Have no task tried again because of what could not be recorded; return the way back."""
    before = core._passthrough_exceptions  # noqa: SLF001
    core._passthrough_exceptions = (*before, AuditError)  # noqa: SLF001

    def undo(*_error: object) -> None:
        core._passthrough_exceptions = before  # noqa: SLF001

    return undo
