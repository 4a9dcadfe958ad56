"""smolagents: tools, and the code that agents write.

A tool is called by an agent, by generated code or by the program, always as ``tool(…)``. Generated
code is executed by a `PythonExecutor`, which is an act of its own, around those of the tools that it
calls; one that executes it on another machine calls the tools there, out of reach.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from otel_audit.instrument.frameworks.act import tool_call
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.frameworks.smolagents.run import audited, current_agent, current_run, taken_call_id
from otel_audit.instrument.frameworks.smolagents.step import CODE
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import carry

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def instrument(auditor: Auditor, undo: ExitStack) -> Callable[[], None]:
    """Audit all tools, and all code that agents have executed; return what finds more of them (`wrap_methods`).

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from smolagents.local_python_executor import PythonExecutor
    from smolagents.tools import BaseTool

    tools = _Tools(auditor)
    find_tools = wrap_methods((BaseTool,), {"__call__": tools.wrap_tool}, undo, maker=(BaseTool, "__init_subclass__"))
    find_executors = wrap_methods(
        (PythonExecutor,), {"__call__": tools.wrap_code}, undo, maker=(PythonExecutor, "__init_subclass__")
    )
    local = import_module("smolagents.local_python_executor")
    if hasattr(local, "timeout"):  # newer than the oldest version, which has no thread for the code
        undo.callback(wrap(local, "timeout", _carry_into_thread))

    def refresh() -> None:
        find_tools()
        find_executors()

    return refresh


@dataclass(frozen=True, slots=True)
class _Tools:
    """Writes what tools and generated code do."""

    auditor: Auditor

    def wrap_tool(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], tool: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(tool, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                with taken_call_id() as call_id:
                    act = tool_call(
                        read(tool, "name"),
                        call_id=call_id,
                        agent=current_agent(),
                        arguments=_arguments(tool, args, kwargs) if self.auditor.settings.capture else None,
                    )
                    return audited(self.auditor, act, lambda: wrapped(*args, **kwargs))

        return wrapper

    def wrap_code(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], executor: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(executor, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                run = current_run()
                code = args[0] if args else kwargs.get("code_action")
                act = tool_call(
                    CODE,
                    call_id=None if run is None else run.take_code_id(),
                    agent=None if run is None else run.agent,
                    arguments={"code": code},
                )
                return audited(self.auditor, act, lambda: wrapped(*args, **kwargs))

        return wrapper


def _arguments(tool: Any, args: Args, kwargs: Kwargs) -> Mapping[str, object]:
    """Return a call's arguments by name, as the tool tells them apart."""
    inputs = read(tool, "inputs")
    names = list(inputs) if isinstance(inputs, dict) else []
    if len(args) == 1 and not kwargs and isinstance(args[0], dict) and all(name in names for name in args[0]):
        return args[0]
    named = {name: value for name, value in kwargs.items() if name != "sanitize_inputs_outputs"}
    if len(args) > len(names):  # the tool raises its own
        return {"args": args, **named}
    return dict(zip(names, args, strict=False)) | named


def _carry_into_thread(wrapped: Callable[..., Any], _module: object, args: Args, kwargs: Kwargs) -> Any:
    """Let code that is executed in a thread, for its time limit, be part of the run it is in."""
    limit = wrapped(*args, **kwargs)

    def decorator(function: Callable[..., Any]) -> Any:
        return limit(carry(function))

    return decorator
