"""strands-agents: agents, swarms and graphs; tools, models and decisions stand in modules beside.

Everything here is an async generator, and each way to run an agent ends in `Agent.stream_async`,
blocking ones in a thread of their own that has the caller's context. The framework's hooks are
callbacks that can be told to retry, and its own spans are only there where tracing is set up: the generators
themselves are wrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, get_current, get_value

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import agent_run, handoff
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted, asking
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.delegation import shortened
from otel_audit.instrument.frameworks.strands import decision, model, tool
from otel_audit.instrument.frameworks.strands.model import AGENT, CALLER
from otel_audit.instrument.frameworks.strands.tool import WAITS, Stop, current_stop
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.context import current_actors
from otel_audit.pipeline.resume import aresumed

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "strands-agents"
MODULE: Final = "strands"
VERSIONS: Final = ">=1.62,<2"

IGNORED: Final = "the swarm has ended already"
_UNFINISHED: Final = {
    "cancelled": "cancelled by the program",
    "checkpoint": "paused at a checkpoint",
    "interrupt": WAITS,
    "interrupted": WAITS,
}
"""What a result says of a run that did not come to its end, to the reason."""


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit all agents, tools and models of this process, those that exist already too.

    Raises:
        AuditConfigError: This version of strands-agents lacks something that is wrapped.
    """
    auditor = Auditor(logger, settings)
    find_models = model.instrument(auditor, undo)
    tool.instrument(auditor, undo)
    decision.instrument(auditor, undo)
    agent = import_module("strands.agent.agent").Agent
    undo.callback(wrap(agent, "stream_async", _run_agent(auditor, find_models)))
    undo.callback(wrap(agent, "structured_output_async", _ask_model(auditor, find_models)))
    swarm = import_module("strands.multiagent.swarm").Swarm
    undo.callback(wrap(swarm, "stream_async", _run_several(auditor)))
    undo.callback(wrap(swarm, "_execute_node", _execute_node(auditor)))
    undo.callback(wrap(swarm, "_handle_handoff", _hand_off(auditor)))
    undo.callback(wrap(import_module("strands.multiagent.graph").Graph, "stream_async", _run_several(auditor)))


class _RunWatcher(Watcher):
    """Learns from its last event how a run ended.

    Args:
        stop: Of the tool call that the run is in.
    """

    def __init__(self, stop: Stop | None) -> None:
        self._stop = stop
        self._result: Any = None

    def see(self, item: Any) -> None:
        if isinstance(item, Mapping) and "result" in item:
            self._result = item["result"]

    def judge(self, action: AuditAction) -> None:
        if self._result is None:
            return
        status = getattr(self._result, "stop_reason", None) or getattr(self._result, "status", None)
        word = getattr(status, "value", status)  # of a swarm or a graph, a member of an enumeration
        if word in _UNFINISHED:
            action.set_outcome("unknown", reason=_UNFINISHED[word])
        elif word == "failed":
            results = getattr(self._result, "results", {}).values()
            errors = [result.result for result in results if isinstance(result.result, BaseException)]
            action.set_outcome("failure", error_type=error_type_of(errors[-1]) if errors else word)
        else:
            action.set_outcome("success")

    def excuse(self, action: AuditAction, raised: BaseException) -> None:
        if isinstance(raised, AuditError):
            self.unrecorded(raised)

    def unrecorded(self, error: AuditError) -> None:
        if self._stop is not None and self._stop.of_an_agent:
            self._stop.error = error

    def own(self, raised: Exception) -> Exception:
        """Return the `AuditError` itself where the framework made one of its exceptions of it."""
        original = getattr(raised, "original_exception", None)
        return original if isinstance(original, AuditError) else raised


def _caller() -> object:
    return get_value(CALLER) or current_actors()


def _run_agent(auditor: Auditor, find_models: Callable[[], None]) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        find_models()
        name, agent_id = agent.name, agent.agent_id
        session = getattr(getattr(agent, "_session_manager", None), "session_id", None)
        act = agent_run(
            name,
            agent_id=None if agent_id == "default" else agent_id,
            conversation_id=session if isinstance(session, str) else None,
        )
        watcher = _RunWatcher(current_stop())
        return acted(
            auditor, act, asking(wrapped, args, kwargs), watcher, agent=name, values={AGENT: name, CALLER: _caller()}
        )

    return wrapper


def _ask_model(auditor: Auditor, find_models: Callable[[], None]) -> Wrapper:
    """Return the wrapper of the old way to structured output: one model call, and no run."""

    async def wrapper(wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        find_models()
        with auditor.acting(agent.name):
            return await wrapped(*args, **kwargs)

    return wrapper


def _run_several(auditor: Auditor) -> Wrapper:
    """Return the wrapper of the run of a swarm or a graph."""

    def wrapper(wrapped: Callable[..., Any], several: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        act = agent_run(several.id)
        return acted(
            auditor,
            act,
            asking(wrapped, args, kwargs),
            _RunWatcher(current_stop()),
            agent=several.id,
            values={CALLER: _caller()},
        )

    return wrapper


def _execute_node(auditor: Auditor) -> Wrapper:
    """Return the wrapper of an agent's turn in a swarm, which is on behalf of those before it."""

    def wrapper(wrapped: Callable[..., Any], swarm: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before = [node.node_id for node in swarm.state.node_history]

        async def enter() -> Context:
            with ExitStack() as actors:
                for name in shortened(before):
                    actors.enter_context(auditor.acting(name))
                return get_current()

        return aresumed(wrapped(*args, **kwargs), enter)

    return wrapper


def _hand_off(auditor: Auditor) -> Wrapper:
    """Return the wrapper of what a swarm's tool for handoffs calls, in a thread."""

    def wrapper(wrapped: Callable[..., Any], swarm: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        target = args[0] if args else kwargs["target_node"]
        act = handoff(target.node_id, from_agent=getattr(swarm.state.current_node, "node_id", None))

        def judge(action: AuditAction, _result: object) -> None:
            if swarm.state.handoff_node is not target:
                action.set_outcome("unknown", reason=IGNORED)

        try:
            return auditor.run(act, lambda: wrapped(*args, **kwargs), judge)
        except AuditError as error:
            stop = current_stop()
            if stop is not None:
                stop.error = error
            raise

    return wrapper
