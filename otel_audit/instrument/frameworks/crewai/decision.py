"""crewai: what guardrails, hooks and people decide; on disk before it takes effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from importlib import import_module
from typing import Any, Final

from opentelemetry.context import get_current

from otel_audit.instrument.frameworks.act import Act, approval, guardrail
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.crewai.tool import current_role, role_of
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.context import current_actors, made_current, with_actors
from otel_audit.record import Actor, Decision

BY_HOOK: Final = "hook"
HUMAN_INPUT: Final = "human_input"
"""What a person's check of an agent's answer is called."""

_caller: ContextVar[tuple[Actor, ...] | None] = ContextVar("otel-audit-crewai-caller", default=None)
"""The actors of whoever started the outermost run."""


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit what is decided.

    Raises:
        AuditConfigError: This version lacks a function that is wrapped.
    """
    # Each has a name of its own for it.
    for module in ("crewai.task", "crewai.agent.core", "crewai.lite_agent"):
        undo.callback(wrap(import_module(module), "process_guardrail", _check(auditor)))
    for module in ("crewai.utilities.tool_utils", "crewai.agents.agent_executor", "crewai.hooks.tool_hooks"):
        undo.callback(wrap(import_module(module), "run_before_tool_call_hooks", _refuse(auditor)))
    provider = import_module("crewai.core.providers.human_input").SyncHumanInputProvider
    undo.callback(wrap(provider, "_prompt_input", _ask(auditor)))
    undo.callback(wrap(provider, "_prompt_input_async", _aask(auditor)))


@contextmanager
def called() -> Iterator[None]:
    """Note who starts a run, if it is in no other."""
    caller = _caller.get()
    with having(_caller, current_actors() if caller is None else caller):
        yield


def _check(auditor: Auditor) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _module: object, args: Any, kwargs: Any) -> Any:
        check = args[1] if len(args) > 1 else kwargs.get("guardrail")
        agent = role_of(kwargs.get("from_agent")) or current_role.get()
        act = guardrail(getattr(check, "__name__", None) or type(check).__name__, agent=agent)
        try:
            result = wrapped(*args, **kwargs)
        except Exception as raised:
            auditor.decide(act, "error", reason=error_type_of(raised))
            raise
        auditor.decide(act, "allow" if result.success else "block")
        return result

    return wrapper


def _refuse(auditor: Auditor) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _module: object, args: Any, kwargs: Any) -> Any:
        refused = wrapped(*args, **kwargs)
        if refused:
            context = args[0] if args else kwargs["context"]
            agent = role_of(context.agent) or current_role.get()
            auditor.decide(approval(context.tool_name, agent=agent), "block", reason=BY_HOOK)
        return refused

    return wrapper


def _ask(auditor: Auditor) -> Wrapper:
    """Return the wrapper of what asks a person for feedback; none is an approval."""

    def wrapper(wrapped: Callable[..., str], _provider: object, args: Any, kwargs: Any) -> str:
        feedback = wrapped(*args, **kwargs)
        with _by_caller():
            auditor.decide(*_answer(feedback))
        return feedback

    return wrapper


def _aask(auditor: Auditor) -> Wrapper:
    async def wrapper(wrapped: Callable[..., Awaitable[str]], _provider: object, args: Any, kwargs: Any) -> str:
        feedback = await wrapped(*args, **kwargs)
        with _by_caller():
            await auditor.adecide(*_answer(feedback))
        return feedback

    return wrapper


def _answer(feedback: str) -> tuple[Act, Decision]:
    return guardrail(HUMAN_INPUT, agent=current_role.get()), "block" if feedback.strip() else "allow"


def _by_caller() -> AbstractContextManager[object]:
    actors = _caller.get()
    return nullcontext() if actors is None else made_current(with_actors(actors, get_current()))
