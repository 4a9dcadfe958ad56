"""LangGraph: runs of compiled graphs, and who runs inside them.

`create_agent`, `StateGraph` and `entrypoint` all make a `Pregel`, whose `stream` and `astream` are
what `invoke`, `ainvoke`, `batch` and the event streams go through.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import create_key, get_value

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.frameworks.act import agent_run
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.langchain.stream import Setting, StreamedAct
from otel_audit.instrument.patch import wrap

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

INTERRUPTED: Final = "interrupted, and waits to be resumed"

_PARENT: Final = "__parent__"
_INTERRUPT: Final = "__interrupt__"
_STREAM_PART: Final = frozenset({"type", "ns", "data", "interrupts"})
_RUN: Final = create_key("otel-audit-langgraph-run")


class AgentRun:
    """One run of a compiled graph under way.

    Args:
        agent: The graph's name.

    Attributes:
        agent: The graph's name.
        callers: The agents that handed over one to the other, down to this one, in the run that this
            one is part of.
        handed: Those that handed over to a node of this run, by its name, until it runs.
        interrupted: Whether it stopped to wait for somebody.
    """

    __slots__ = ("_parent", "agent", "callers", "handed", "interrupted")

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.callers: tuple[str, ...] = ()
        self.handed: dict[str, tuple[str, ...]] = {}
        self.interrupted = False
        self._parent: AgentRun | None = None

    def enter(self, parent: AgentRun | None, node: object) -> None:
        """Begin, at a node of another run.

        Where the work comes back to an agent, the chain of callers ends with it, rather than going round.
        """
        self._parent = parent
        if parent is not None and isinstance(node, str):
            callers = parent.handed.pop(node, ())
            self.callers = callers[: callers.index(self.agent)] if self.agent in callers else callers

    def hand_over(self, command: Any, node: str) -> None:
        """Remember who sent the work to a node of the parent."""
        if self._parent is not None and command.graph == _PARENT:
            self._parent.handed[node] = (*self.callers, self.agent)

    def see(self, item: Any) -> None:
        """Note an interrupt among the items of a stream, in any of the forms that it has there."""
        if isinstance(item, tuple) and item:
            item = item[-1]
        if isinstance(item, Mapping) and (
            _INTERRUPT in item or ("type" in item and item.keys() <= _STREAM_PART and _interrupts(item))
        ):
            self.interrupted = True

    def judge(self, action: AuditAction, _result: object) -> None:
        """Say of a run that waits for somebody that it is neither a success nor a failure."""
        if self.interrupted:
            action.set_outcome("unknown", reason=INTERRUPTED)


def current_run() -> AgentRun | None:
    """Return the innermost run under way."""
    run = get_value(_RUN)
    return run if isinstance(run, AgentRun) else None


def current_agent() -> str | None:
    """Return the name of the agent that runs."""
    run = current_run()
    return None if run is None else run.agent


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit each run of a compiled graph as that of an agent.

    Raises:
        AuditConfigError: This version of langgraph lacks a function that is wrapped.
    """

    def stream(wrapped: Callable[..., Any], graph: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _streamed(auditor, graph, args, kwargs).over(wrapped(*args, **kwargs))

    def astream(wrapped: Callable[..., Any], graph: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _streamed(auditor, graph, args, kwargs).aover(wrapped(*args, **kwargs))

    pregel = named("langgraph.pregel", "Pregel")
    undo.callback(wrap(pregel, "stream", stream))
    undo.callback(wrap(pregel, "astream", astream))


def interrupted() -> None:
    """Note that the run under way stops to wait for somebody; not every form of its stream tells."""
    run = current_run()
    if run is not None:
        run.interrupted = True


def excuse(action: AuditAction, error: BaseException) -> None:
    """Say of what LangGraph raises to leave a node that it is no failure."""
    errors: Any = sys.modules.get("langgraph.errors")
    if errors is None or not isinstance(error, errors.GraphBubbleUp):
        return
    if isinstance(error, errors.ParentCommand):
        action.set_outcome("success")
    else:
        action.set_outcome("unknown", reason=INTERRUPTED)
        interrupted()


def destinations(command: Any) -> Iterator[str]:
    """Yield the nodes that a tool's result sends the work to."""
    types: Any = sys.modules.get("langgraph.types")
    if types is None or not isinstance(command, types.Command):
        return
    goto = command.goto
    for node in goto if isinstance(goto, (list, tuple)) else (goto,):
        name = getattr(node, "node", node)
        if isinstance(name, str) and name and not name.startswith("__"):
            yield name


def named(module: str, name: str) -> Any:
    """Return what a module has by that name.

    Raises:
        AuditConfigError: It has no such thing.
        ImportError: There is no such module.
    """
    found = getattr(import_module(module), name, None)
    if found is None:
        raise AuditConfigError(f"nothing to audit: expected {module} to have {name!r}, got a version without it")
    return found


def _streamed(auditor: Auditor, graph: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> StreamedAct:
    name = graph.name if isinstance(graph.name, str) and graph.name else type(graph).__name__
    run = AgentRun(name)

    def prepare() -> Setting:
        configs = _configs(graph, args[1] if len(args) > 1 else kwargs.get("config"))
        run.enter(current_run(), _lookup(configs[:2], "metadata", "langgraph_node"))
        thread = _lookup(configs, "configurable", "thread_id")
        act = agent_run(name, conversation_id=None if thread is None else str(thread))
        return Setting(act=act, callers=run.callers, agent=name, mark=(_RUN, run))

    return StreamedAct(auditor, prepare, run.see, run.judge, excuse)


def _configs(graph: Any, given: object) -> tuple[Any, ...]:
    """Return the configurations that a run has, the nearest first."""
    from langchain_core.runnables import ensure_config

    return given, ensure_config(), graph.config


def _lookup(configs: tuple[Any, ...], part: str, key: str) -> object:
    for config in configs:
        values = config.get(part) if isinstance(config, Mapping) else None
        if isinstance(values, Mapping) and values.get(key) is not None:
            return values[key]
    return None


def _interrupts(part: Mapping[str, Any]) -> bool:
    data = part.get("data")
    return bool(part.get("interrupts")) or (isinstance(data, Mapping) and _INTERRUPT in data)
