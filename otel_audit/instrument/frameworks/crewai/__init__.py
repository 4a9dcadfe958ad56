"""crewai: crews, agents and delegation; tools, models and decisions stand in modules beside.

The framework's event bus hands its events to threads, out of order, and its hooks may only refuse: the
calls themselves are wrapped. What the framework runs in threads of its own has a copy of its caller's
context, so who acts is told by the context throughout.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import Act, agent_run, handoff
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.crewai import decision, model, tool
from otel_audit.instrument.frameworks.crewai.loop import run_in_loop
from otel_audit.instrument.frameworks.crewai.tool import current_role, role_of, unstopped
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import carry

if TYPE_CHECKING:
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "crewai"
MODULE: Final = "crewai"
VERSIONS: Final = ">=1.15.30,<2"


@dataclass(slots=True)
class _Delegation:
    """One agent having another do a task, by a tool.

    Attributes:
        error: What could not be recorded of it. The tool would make a text for the model of it.
    """

    error: AuditError | None = None


_task: ContextVar[tuple[object, object] | None] = ContextVar("otel-audit-crewai-task", default=None)
"""The agent and the task that it does: to try again is not another run."""
_delegation: ContextVar[_Delegation | None] = ContextVar("otel-audit-crewai-delegation", default=None)


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit all crews, agents, tools and models of this process, those that exist already too.

    Raises:
        AuditConfigError: This version of crewai lacks something that is wrapped.
    """
    auditor = Auditor(logger, settings)
    runs = _Runs(auditor, (tool.instrument(auditor, undo), model.instrument(auditor, undo)))
    crew = import_module("crewai.crew")
    undo.callback(wrap(crew.Crew, "kickoff", runs.crew))
    undo.callback(wrap(crew.Crew, "akickoff", runs.acrew))
    for name in ("create_chunk_generator", "create_async_chunk_generator"):
        undo.callback(wrap(crew, name, _carried))
    import_module("crewai.agent.core")
    base = import_module("crewai.agents.agent_builder.base_agent").BaseAgent
    wrap_methods(
        (base,),
        {
            "execute_task": runs.task,
            "aexecute_task": runs.atask,
            "kickoff": runs.kickoff,
            "kickoff_async": runs.akickoff,
        },
        undo,
        maker=(base, "__init_subclass__"),
    )
    undo.callback(wrap(import_module("crewai.lite_agent").LiteAgent, "kickoff", runs.lite))
    tools = import_module("crewai.tools.agent_tools.base_agent_tools")
    undo.callback(wrap(tools.BaseAgentTool, "_execute", _delegate))
    decision.instrument(auditor, undo)


class _Runs:
    """The wrappers around runs. Thread-safe.

    Args:
        auditor: Writes with it.
        finding: Each called before a run, to find tools and models that are not wrapped.
    """

    def __init__(self, auditor: Auditor, finding: tuple[Callable[[], None], ...]) -> None:
        self._auditor = auditor
        self._finding = finding

    def _refresh(self) -> None:
        for find in self._finding:
            find()

    def crew(self, wrapped: Callable[..., Any], crew: Any, args: Any, kwargs: Any) -> Any:
        """Run a crew; one that streams does so when its stream is read, by calling this again."""
        if crew.stream or _restores(args, kwargs):
            return wrapped(*args, **kwargs)
        return self._run(agent_run(crew.name), crew.name, lambda: wrapped(*args, **kwargs))

    async def acrew(self, wrapped: Callable[..., Awaitable[Any]], crew: Any, args: Any, kwargs: Any) -> Any:
        if crew.stream or _restores(args, kwargs):
            return await wrapped(*args, **kwargs)
        return await self._arun(agent_run(crew.name), crew.name, lambda: wrapped(*args, **kwargs))

    def task(self, _method: Method) -> Wrapper:
        """Return the wrapper of an agent's work on a task."""

        def wrapper(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
            with _doing(agent, args, kwargs) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                return self._delegated(agent, lambda: self._of_agent(agent, lambda: wrapped(*args, **kwargs)))

        return wrapper

    def atask(self, _method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Awaitable[Any]], agent: Any, args: Any, kwargs: Any) -> Any:
            with _doing(agent, args, kwargs) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                return await self._aof_agent(agent, lambda: wrapped(*args, **kwargs))

        return wrapper

    def kickoff(self, method: Method) -> Wrapper:
        """Return the wrapper of an agent's run without a crew; crewai's own, in an event loop, is ``kickoff_async``."""
        core = import_module("crewai.agent.core")
        in_loop = core.is_inside_event_loop
        last = method.cls is core.Agent

        def wrapper(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
            if last and (in_loop() or _restores(args, kwargs)):
                return wrapped(*args, **kwargs)
            with entered(agent, method, last=last) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                if in_loop():
                    return run_in_loop(self._auditor, agent, method, lambda: wrapped(*args, **kwargs))
                return self._of_agent(agent, lambda: wrapped(*args, **kwargs))

        return wrapper

    def akickoff(self, method: Method) -> Wrapper:
        last = method.cls is import_module("crewai.agent.core").Agent

        async def wrapper(wrapped: Callable[..., Awaitable[Any]], agent: Any, args: Any, kwargs: Any) -> Any:
            if last and _restores(args, kwargs):
                return await wrapped(*args, **kwargs)
            with entered(agent, method, last=last) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                return await self._aof_agent(agent, lambda: wrapped(*args, **kwargs))

        return wrapper

    def lite(self, wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
        return self._of_agent(agent, lambda: wrapped(*args, **kwargs))

    def _delegated(self, agent: object, call: Callable[[], Any]) -> Any:
        """Run an agent, inside of a handoff where another agent has it do so."""
        delegation = _delegation.get()
        if delegation is None:
            return call()
        act = handoff(role_of(agent), from_agent=current_role.get())
        try:
            with having(_delegation, None):
                return self._auditor.run(act, call)
        except AuditError as error:
            delegation.error = error
            raise

    def _of_agent(self, agent: object, call: Callable[[], Any]) -> Any:
        role = role_of(agent)
        with having(current_role, role):
            return self._run(agent_run(role), role, call)

    async def _aof_agent(self, agent: object, call: Callable[[], Awaitable[Any]]) -> Any:
        role = role_of(agent)
        with having(current_role, role):
            return await self._arun(agent_run(role), role, call)

    def _run(self, act: Act, name: object, call: Callable[[], Any]) -> Any:
        self._refresh()
        with unstopped(), decision.called():
            return self._auditor.run(act, call, agent=name)

    async def _arun(self, act: Act, name: object, call: Callable[[], Awaitable[Any]]) -> Any:
        self._refresh()
        with unstopped(), decision.called():
            return await self._auditor.arun(act, call, agent=name)


@contextmanager
def _doing(agent: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[bool]:
    """Note what an agent does; yield whether it begins here, rather than is tried once more."""
    task = args[0] if args else kwargs.get("task")
    before = _task.get()
    with having(_task, (agent, task)):
        yield before is None or before[0] is not agent or before[1] is not task


def _restores(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a run goes on from a checkpoint: by another call, of the agent or the crew that is restored."""
    configs = (*args[2:], kwargs.get("from_checkpoint"))
    return any(getattr(config, "restore_from", None) is not None for config in configs)


def _carried(wrapped: Callable[..., Any], _module: object, args: Any, kwargs: Any) -> Any:
    """Have a streamed crew run in the context of whoever asked for it, rather than of the stream's reader."""
    state, run, *others = args
    return wrapped(state, carry(run), *others, **kwargs)


def _delegate(wrapped: Callable[..., Any], _tool: object, args: Any, kwargs: Any) -> Any:
    """Let the agent that this tool runs be one that is handed to."""
    delegation = _Delegation()
    with having(_delegation, delegation):
        result = wrapped(*args, **kwargs)
    if delegation.error is not None:
        raise delegation.error
    return result
