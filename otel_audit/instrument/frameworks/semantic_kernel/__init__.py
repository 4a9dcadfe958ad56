"""Semantic Kernel: functions that are called as tools, agents' runs and handoffs; model calls stand in a module beside.

Filters are added to each kernel, and can be skipped by another one, so nothing here hangs on them:
`KernelFunction.invoke` and `invoke_stream` are wrapped, outside of all function filters, and in every class. A
function that is a prompt is audited where a model called it; otherwise the model call that it makes is.

The framework has neither approvals nor guardrails of its own: a filter that answers in a function's place is the
program's, and the outcome says that the function did not run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import create_key, get_current, set_value

from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import Act, tool_call
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.begun import CALL, begin, current_agent, goes_on, values
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.frameworks.part import instrument_part
from otel_audit.instrument.frameworks.semantic_kernel import agent as semantic_kernel_agent
from otel_audit.instrument.frameworks.semantic_kernel import model
from otel_audit.instrument.patch import Wrapper
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.context import made_current

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "semantic-kernel"
MODULE: Final = "semantic_kernel"
VERSIONS: Final = ">=1.45,<2"

NOT_RUN: Final = "the function did not run"

_REACHED = create_key("otel-audit-semantic-kernel-reached")


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit all functions, models and agents of this process, those that exist already too.

    Raises:
        AuditConfigError: This version of Semantic Kernel lacks something that is wrapped.
    """
    auditor = Auditor(logger, settings)
    function: Any = import_module("semantic_kernel.functions.kernel_function").KernelFunction
    functions = _Functions(auditor)
    wrap_methods(
        (function,),
        {
            "invoke": functions.invoke,
            "invoke_stream": functions.invoke_stream,
            "_invoke_internal": functions.reach,
            "_invoke_internal_stream": functions.reach,
        },
        undo,
        maker=(function, "__init_subclass__"),
    )
    model.instrument(auditor, undo)
    # Not `undo` itself, which whoever made it may have handed on by then.
    later = undo.enter_context(ExitStack())

    for module, part in (
        ("semantic_kernel.agents.agent", semantic_kernel_agent.instrument),
        ("semantic_kernel.agents.orchestration.handoffs", semantic_kernel_agent.instrument_handoffs),
    ):
        instrument_part("semantic_kernel", module, part, auditor, later)


@dataclass(slots=True)
class _Reached(Watcher):
    """Whether a function's own code was called, behind the filters."""

    yet: bool = False

    def judge(self, action: AuditAction, _result: object = None) -> None:
        """Say that it was not."""
        if not self.yet:
            action.set_outcome("unknown", reason=NOT_RUN)

    def excuse(self, action: AuditAction, raised: BaseException) -> None:
        """Say that it was not."""
        if not self.yet and isinstance(raised, Exception):
            action.set_outcome("failure", error_type=error_type_of(raised), reason=NOT_RUN)


class _Functions:
    """The wrappers around functions."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    def invoke(self, method: Method) -> Wrapper:
        """Return the wrapper of a method that returns a result."""

        async def wrapper(
            wrapped: Callable[..., Awaitable[Any]], function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            act = self._act(function, method, args, kwargs)
            if act is None:
                return await wrapped(*args, **kwargs)
            reached = _Reached()
            result: Any = None

            async def call() -> Any:
                nonlocal result
                with made_current(set_value(_REACHED, reached, begin(CALL, function, method))):
                    result = await wrapped(*args, **kwargs)
                return getattr(result, "value", None)

            await self._auditor.arun(act, call, reached.judge, excuse=reached.excuse)
            return result

        return wrapper

    def invoke_stream(self, method: Method) -> Wrapper:
        """Return the wrapper of a method that returns a result bit by bit."""

        def wrapper(wrapped: Callable[..., Any], function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            act = self._act(function, method, args, kwargs)
            if act is None:
                return wrapped(*args, **kwargs)
            reached = _Reached()
            inside = {_REACHED: reached, **values(CALL, function, method)}
            return acted(self._auditor, act, lambda: wrapped(*args, **kwargs), reached, values=inside)

        return wrapper

    def reach(self, _method: Method) -> Wrapper:
        """Return the wrapper of what calls a function's own code."""

        def wrapper(
            wrapped: Callable[..., Any], _function: object, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            reached = get_current().get(_REACHED)
            if isinstance(reached, _Reached):
                reached.yet = True
            return wrapped(*args, **kwargs)

        return wrapper

    def _act(self, function: Any, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Act | None:
        """Return the act of calling a function; None where it is a part of one, or only asks a model."""
        if goes_on(CALL, function, method):
            return None
        metadata = args[2] if len(args) > 2 else kwargs.get("metadata")
        call_id = metadata.get("id") if isinstance(metadata, Mapping) else None
        if function.is_prompt and call_id is None:
            return None
        arguments = args[1] if len(args) > 1 else kwargs.get("arguments")
        if arguments is None:
            arguments = {name: value for name, value in kwargs.items() if name not in ("kernel", "metadata")}
        return tool_call(
            function.fully_qualified_name,
            call_id=call_id,
            arguments=arguments if isinstance(arguments, Mapping) else None,
            agent=current_agent(),
        )
