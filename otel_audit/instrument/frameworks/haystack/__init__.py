"""Haystack: agents, tools, chat generators and confirmations, in a pipeline or without one.

Its tracing is for looking only, and its agent makes a text for the model of any error that a
tool raises: the methods themselves are wrapped. Components need no common base class, so a chat
generator is known by what it takes and gives. An agent has no name of its own: it goes by
that of its pipeline's component or of the tool that it is, else by its class.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_current

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import agent_run, approval
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.haystack.model import Models
from otel_audit.instrument.frameworks.haystack.run import Run, current_run, name_of
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import with_actors
from otel_audit.pipeline.resume import OwnContext

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "haystack-ai"
MODULE: Final = "haystack"
VERSIONS: Final = ">=3.2,<3.5"

MAX_STEPS: Final = "max_agent_steps"
"""The framework's own word for a run that is out of steps."""

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit agents, tools and chat generators of this process, those that exist and those made later.

    Raises:
        AuditConfigError: This version lacks a function that is wrapped.
    """
    from haystack.components.agents.agent import Agent

    from otel_audit.instrument.frameworks.haystack import tool

    auditor = Auditor(logger, settings)
    models = Models(auditor)
    models.instrument(undo)
    agents = _Agents(auditor, models, tool.instrument(auditor, undo))
    wrap_methods(
        (Agent,), {"run": agents.wrap, "run_async": agents.wrap_async}, undo, maker=(Agent, "__init_subclass__")
    )
    strategies = import_module("haystack.hooks.human_in_the_loop.strategies")
    undo.callback(wrap(strategies, "_run_confirmation_strategies", _confirmed(auditor)))
    undo.callback(wrap(strategies, "_run_confirmation_strategies_async", _confirmed_async(auditor)))


@dataclass(frozen=True, slots=True)
class _Agents:
    """Writes the runs of agents.

    Attributes:
        auditor: Writes with it.
        models: Told of the chat generator that an agent is about to use.
        find_tools: Called before a run, to find tools that are not wrapped.
    """

    auditor: Auditor
    models: Models
    find_tools: Callable[[], None]

    def wrap(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], agent: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(agent, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                run = self._begin(agent)

                def inside() -> Any:
                    with run.inside():
                        return wrapped(*args, **kwargs)

                try:
                    return self.auditor.run(agent_run(run.agent), inside, _judge, agent=run.agent)
                except AuditError as error:
                    run.refused(error)
                    raise

        return wrapper

    def wrap_async(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Awaitable[Any]], agent: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(agent, method) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                run = self._begin(agent)

                async def inside() -> Any:
                    with run.inside():
                        return await wrapped(*args, **kwargs)

                try:
                    return await self.auditor.arun(agent_run(run.agent), inside, _judge, agent=run.agent)
                except AuditError as error:
                    run.refused(error)
                    raise

        return wrapper

    def _begin(self, agent: Any) -> Run:
        self.find_tools()
        generator = getattr(agent, "chat_generator", None)
        if generator is not None:
            self.models.find(type(generator), asked=True)
        return Run(name_of(agent))


def _judge(action: AuditAction, result: Any) -> None:
    if isinstance(result, dict) and result.get("exit_reason") == MAX_STEPS:
        action.set_outcome("failure", error_type=MAX_STEPS)


def _confirmed(auditor: Auditor) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _module: object, args: Args, kwargs: Kwargs) -> Any:
        decisions = wrapped(*args, **kwargs)
        run = current_run()
        with _as_callers(run):
            for decision in _of_strategies(decisions, args, kwargs):
                act, verdict = _approval(decision, run)
                auditor.decide(act, verdict)
        return decisions

    return wrapper


def _confirmed_async(auditor: Auditor) -> Wrapper:
    async def wrapper(wrapped: Callable[..., Awaitable[Any]], _module: object, args: Args, kwargs: Kwargs) -> Any:
        decisions = await wrapped(*args, **kwargs)
        run = current_run()
        with _as_callers(run):
            for decision in _of_strategies(decisions, args, kwargs):
                act, verdict = _approval(decision, run)
                await auditor.adecide(act, verdict)
        return decisions

    return wrapper


def _as_callers(run: Run | None) -> AbstractContextManager[None]:
    """Return the context in which a person who is asked during a run decides."""
    return nullcontext() if run is None else OwnContext(with_actors(run.callers, get_current()))


def _of_strategies(decisions: Any, args: Args, kwargs: Kwargs) -> list[Any]:
    """Return the decisions that a strategy took: a tool without one runs without being asked about."""
    strategies = args[0] if args else kwargs["confirmation_strategies"]
    named = {name for key in strategies for name in (key if isinstance(key, tuple) else (key,))}
    return [decision for decision in decisions if "*" in named or decision.tool_name in named]


def _approval(decision: Any, run: Run | None) -> tuple[Any, Any]:
    act = approval(decision.tool_name, call_id=decision.tool_call_id, agent=None if run is None else run.agent)
    return act, "allow" if decision.execute is True else "block"
