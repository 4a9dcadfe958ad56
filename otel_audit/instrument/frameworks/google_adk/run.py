"""Google ADK: turns, and the runs of agents in them.

A run is an async generator, whose steps are each made in a context in which the agent acts: its
reader never does. Whoever has seen an agent's answer, or its handing the work over, may close it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, get_current

from otel_audit.errors import AuditError
from otel_audit.instrument import under_way
from otel_audit.instrument.frameworks.act import Act, agent_run
from otel_audit.instrument.frameworks.auditor import Auditor, close
from otel_audit.instrument.frameworks.google_adk.turn import (
    AgentRun,
    Turn,
    closed,
    current_turn,
    in_run,
    in_turn,
    refuse,
)
from otel_audit.instrument.frameworks.methods import Inside, Method, entered, stepping, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.instrument.span import end_span, in_span
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.context import current_actors
from otel_audit.pipeline.resume import OwnContext, aresumed

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_audit.pipeline.action import AuditAction

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the runs of all agents.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from google.adk.agents.base_agent import BaseAgent
    from google.adk.runners import Runner

    runs = _Runs(auditor)
    undo.callback(wrap(Runner, "run_async", _turn))
    undo.callback(wrap(Runner, "run_live", _turn))
    wrap_methods(
        (BaseAgent,),
        {"run_async": runs.wrap, "run_live": runs.wrap},
        undo,
        maker=(BaseAgent, "__init_subclass__"),
    )


def _turn(wrapped: Callable[..., Any], _runner: object, args: Args, kwargs: Kwargs) -> Any:
    async def enter() -> Context:
        context = get_current()
        return in_turn(Turn(context), context)

    return aresumed(wrapped(*args, **kwargs), enter)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Writes the runs of agents."""

    auditor: Auditor

    def wrap(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], agent: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(agent, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
            context = args[0] if args else kwargs.get("parent_context")
            return _Run(self.auditor, agent, context).over(lambda: wrapped(*args, **kwargs), Inside(agent, method))

        return wrapper


class _Run:
    """A run whose events somebody reads. Used by one reader: no lock.

    Args:
        auditor: Writes the entries.
        agent: The agent.
        invocation: The framework's context of the run.
    """

    __slots__ = ("_act", "_action", "_auditor", "_name", "_run", "_span")
    _action: AuditAction
    _span: Span | None

    def __init__(self, auditor: Auditor, agent: Any, invocation: Any) -> None:
        self._auditor = auditor
        self._name = read(agent, "name")
        self._run = AgentRun(self._name)
        session = getattr(getattr(invocation, "session", None), "id", None)
        self._act: Act = agent_run(self._name, conversation_id=session if isinstance(session, str) else None)

    def over(self, ask: Callable[[], Any], inside: Inside) -> AsyncGenerator[Any, Any]:
        """Return the events, audited: the intent is written at the first step, which raises where it cannot be."""
        return aresumed(self._events(ask, inside), self._enter, self._finish, self._fail)

    async def _events(self, ask: Callable[[], Any], inside: Inside) -> AsyncGenerator[Any, Any]:
        with stepping(inside):
            events = aiter(ask())
        try:
            while True:
                with stepping(inside):
                    try:
                        event = await anext(events)
                    except StopAsyncIteration:
                        return
                self._run.see(event)
                yield event
        finally:
            inside.is_over = True
            await closed(events)

    async def _enter(self) -> Context:
        turn = current_turn()
        outside = get_current() if turn is None else turn.context_of(self._name)
        with OwnContext(outside):
            self._span = self._auditor.start_span(self._act)
            with in_span(self._span):
                try:
                    self._action = await self._auditor.astart(self._act)
                except BaseException as error:
                    if isinstance(error, AuditError):
                        refuse(error)
                    self._end(error)
                    raise
                with self._auditor.acting(self._name), under_way.inside(self._action):
                    if turn is not None:
                        turn.runs[self._name] = self._run, current_actors()
                    return in_run(self._run, get_current())

    async def _finish(self) -> None:
        await self._action.aend_quietly()
        self._end()

    def _fail(self, error: BaseException, closed: bool) -> None:
        if not closed:
            self._action.fail(error)
        elif self._run.has_ended:
            self._action.end_quietly()
        else:
            close(self._action)
        self._end(None if closed else error)

    def _end(self, error: BaseException | None = None) -> None:
        if self._span is not None:
            end_span(self._span, None if error is None else error_type_of(error))
