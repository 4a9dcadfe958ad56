"""llama-index's tools: called by agents, by models (``predict_and_call``), or by the program.

`BaseTool.__call__`, `AsyncBaseTool.call` and ``acall`` are wrapped, outside of the
framework's own span. The tool by which one agent hands over to another is recorded as a
handoff.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_audit.errors import AuditError
from otel_audit.instrument.capture import capture_result
from otel_audit.instrument.frameworks.act import Act, guardrail, handoff, tool_call
from otel_audit.instrument.frameworks.llama_index.request import Request, current_agent, taken
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction

TOOL_ERROR: Final = "tool_error"
HANDOFF_REFUSED: Final = "handoff_refused"
WAITING: Final = "waits for an event, and is called again when it has come"

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def instrument(auditor: Auditor, undo: ExitStack) -> Callable[[], None]:
    """Audit all tools; return what finds those that were made or changed unnoticed (`wrap_methods`).

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from llama_index.core.agent.workflow import multi_agent_workflow
    from llama_index.core.tools import BaseTool, FunctionTool
    from llama_index.core.tools.eval_query_engine import EvalQueryEngineTool
    from llama_index.core.tools.ondemand_loader_tool import OnDemandLoaderTool
    from llama_index.core.tools.query_engine import QueryEngineTool
    from llama_index.core.tools.retriever_tool import RetrieverTool
    from llama_index.core.tools.types import BaseToolAsyncAdapter

    tools = _Tools(
        auditor,
        handoff=multi_agent_workflow.handoff,
        runs_function=FunctionTool,
        hand_over=(FunctionTool, OnDemandLoaderTool, QueryEngineTool, RetrieverTool),
        datastores=(QueryEngineTool, RetrieverTool),
        pauses=_pauses(),
    )
    refresh = wrap_methods(
        (BaseTool,),
        {"__call__": tools.wrap_sync, "call": tools.wrap_sync, "acall": tools.wrap_async},
        undo,
        maker=(BaseTool, "__init_subclass__"),
        leave=BaseToolAsyncAdapter,  # calls another tool, which is audited
    )
    undo.callback(wrap(EvalQueryEngineTool, "_process_tool_output", tools.check))
    return refresh


@dataclass(frozen=True, slots=True)
class _Tools:
    """Writes what tools do.

    Attributes:
        auditor: Writes with it.
        handoff: The function of the tool by which one agent hands over to another.
        runs_function: The class of tools that run a function of the program's.
        hand_over: The classes whose ``call`` and ``acall`` run what is the program's, and none of each other.
        datastores: The classes of tools that look something up.
        pauses: Exceptions by which a tool is stopped, to be called again later.
    """

    auditor: Auditor
    handoff: object
    runs_function: type
    hand_over: tuple[type, ...]
    datastores: tuple[type, ...]
    pauses: tuple[type[BaseException], ...]

    def wrap_sync(self, method: Method) -> Wrapper:
        last = self._is_last(method)

        def wrapper(wrapped: Callable[..., Any], tool: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(tool, method, last=last) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                called = False

                def call() -> Any:
                    nonlocal called
                    called = True
                    return wrapped(*args, **kwargs)

                with taken() as request:
                    try:
                        act = self._act(tool, wrapped, args, kwargs, request)
                        return self.auditor.run(act, call, self._judge, excuse=self._excuse)
                    except AuditError as error:
                        if not called and request is not None:
                            request.refusal = error
                        raise

        return wrapper

    def wrap_async(self, method: Method) -> Wrapper:
        last = self._is_last(method)

        async def wrapper(wrapped: Callable[..., Any], tool: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(tool, method, last=last) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                called = False

                async def call() -> Any:
                    nonlocal called
                    called = True
                    return await wrapped(*args, **kwargs)

                judge: Callable[[AuditAction, Any], None] = self._judge
                with taken() as request:
                    if self._is_handoff(tool):
                        call, judge = self._handing_over(call, tool, kwargs)
                    try:
                        to_agent = await self._next_agent(tool, kwargs)
                        act = self._act(tool, wrapped, args, kwargs, request, to_agent)
                        return await self.auditor.arun(act, call, judge, excuse=self._excuse)
                    except AuditError as error:
                        if not called and request is not None:
                            request.refusal = error
                        raise

        return wrapper

    def check(self, wrapped: Callable[..., Any], tool: Any, args: Args, kwargs: Kwargs) -> Any:
        """Record whether an evaluation lets an answer through; it is on disk before it takes effect."""
        evaluation = args[1] if len(args) > 1 else kwargs.get("evaluation_result")
        act = guardrail(_name_of(tool), agent=current_agent.get())
        self.auditor.decide(act, "allow" if getattr(evaluation, "passing", None) else "block")
        return wrapped(*args, **kwargs)

    def _is_last(self, method: Method) -> bool:
        return method.cls in self.hand_over and method.name != "__call__" and method.layer == 0

    def _is_handoff(self, tool: Any) -> bool:
        return isinstance(tool, self.runs_function) and getattr(tool, "async_fn", None) is self.handoff

    async def _next_agent(self, tool: Any, kwargs: Kwargs) -> object:
        """Return whom a handoff names, where there is such an agent: the model can write any text."""
        store = getattr(kwargs.get(tool.ctx_param_name), "store", None) if self._is_handoff(tool) else None
        if store is None:
            return None
        to_agent = kwargs.get("to_agent")
        return to_agent if to_agent in await store.get("agents", default=()) else None

    def _act(
        self,
        tool: Any,
        wrapped: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        request: Request | None,
        to_agent: object = None,
    ) -> Act:
        call_id = None if request is None else request.call_id or None
        agent = current_agent.get()
        if self._is_handoff(tool):
            return handoff(to_agent, from_agent=agent, call_id=call_id)
        return tool_call(
            _name_of(tool),
            call_id=call_id,
            agent=agent,
            tool_type="datastore" if isinstance(tool, self.datastores) else "function",
            arguments=self._arguments(tool, wrapped, args, kwargs) if self.auditor.settings.capture else None,
        )

    def _arguments(self, tool: Any, wrapped: Callable[..., Any], args: Args, kwargs: Kwargs) -> Mapping[str, object]:
        function = wrapped
        if isinstance(tool, self.runs_function):
            function = getattr(tool, "real_fn", wrapped)
            kwargs = {**getattr(tool, "partial_params", {}), **kwargs}
        if args:
            try:
                named = inspect.signature(function).bind_partial(*args, **kwargs).arguments
            except (TypeError, ValueError):  # the tool raises its own
                named = {"args": args, **kwargs}
        else:
            named = kwargs
        context = getattr(tool, "ctx_param_name", None)
        return {name: value for name, value in named.items() if name != context}

    def _judge(self, action: AuditAction, output: Any) -> None:
        if getattr(output, "is_error", None) is True:
            cause = getattr(output, "exception", None)
            action.set_outcome("failure", error_type=TOOL_ERROR if cause is None else error_type_of(cause))
        if self.auditor.settings.capture_result:
            # Without `raw_input`, which repeats the arguments.
            result = getattr(output, "raw_output", output)
            action.set_result(capture_result(result, redact=self.auditor.logger.redact))

    def _excuse(self, action: AuditAction, raised: BaseException) -> None:
        if isinstance(raised, self.pauses):
            action.set_outcome("unknown", reason=WAITING)

    def _handing_over(
        self, call: Callable[[], Any], tool: Any, kwargs: Kwargs
    ) -> tuple[Callable[[], Any], Callable[[AuditAction, Any], None]]:
        """Return the call, and the judge of whether it took effect: the framework answers a refusal with text."""
        refused = False

        async def hand_over() -> Any:
            nonlocal refused
            output = await call()
            store = getattr(kwargs.get(tool.ctx_param_name), "store", None)
            if store is not None:
                refused = await store.get("next_agent", default=None) != kwargs.get("to_agent")
            return output

        def judge(action: AuditAction, _output: Any) -> None:
            if refused:
                action.set_outcome("failure", error_type=HANDOFF_REFUSED)

        return hand_over, judge


def _name_of(tool: Any) -> object:
    try:
        return tool.metadata.name
    except Exception:  # its own code; the call goes on without it
        return None


def _pauses() -> tuple[type[BaseException], ...]:
    """Return the exceptions by which the framework stops a step that waits for an event."""
    try:
        from workflows.runtime.types.results import WaitingForEvent
    except ImportError:  # llama-index-workflows before 2.9 waits in place
        return ()
    return (WaitingForEvent,)
