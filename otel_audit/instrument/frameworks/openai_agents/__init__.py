"""openai-agents: runs, handoffs, tools, model calls, guardrails and approvals.

Its tracing can be switched off, and swallows what a processor raises, so nothing here hangs on
it. Each act is wrapped where the framework really does it: an intent that cannot be written
stops the act itself. Here are the runs; `handoff` knows which agent acts, `tool`, `native_tool`, `model`
and `decision` have the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit.instrument import under_way
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import Act, agent_run
from otel_audit.instrument.frameworks.auditor import Auditor, close
from otel_audit.instrument.frameworks.openai_agents import handoff
from otel_audit.instrument.frameworks.openai_agents.handoff import running
from otel_audit.instrument.frameworks.openai_agents.tool import WAITS, apart, note_run
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.instrument.span import in_span

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "openai-agents"
MODULE: Final = "agents"
VERSIONS: Final = ">=0.20,<0.25"


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit every run of this process, also of agents and tools that exist already.

    Raises:
        AuditConfigError: This version of openai-agents lacks a function that is wrapped.
    """
    from otel_audit.instrument.frameworks.openai_agents import decision, model, native_tool, tool

    auditor = Auditor(logger, settings)
    runner = import_module("agents.run").Runner
    undo.callback(wrap(runner, "run", _run(auditor)))
    undo.callback(wrap(runner, "run_sync", _run_sync(auditor)))
    undo.callback(wrap(runner, "run_streamed", _run_streamed(auditor)))
    handoff.instrument(auditor, undo)
    tool.instrument(auditor, undo)
    native_tool.instrument(auditor, undo)
    model.instrument(auditor, undo)
    decision.instrument(auditor, undo)


def _run(auditor: Auditor) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], _runner: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        agent, act = _act(args, kwargs)

        async def run() -> Any:
            with running(agent), apart():
                return await wrapped(*args, **kwargs)

        return await auditor.arun(act, run, _judge, agent=agent)

    return wrapper


def _run_sync(auditor: Auditor) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _runner: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        agent, act = _act(args, kwargs)

        def run() -> Any:
            with running(agent), apart():
                return wrapped(*args, **kwargs)

        return auditor.run(act, run, _judge, agent=agent)

    return wrapper


def _run_streamed(auditor: Auditor) -> Wrapper:
    """Return the wrapper of the call that starts a run in a task of its own.

    The call is no coroutine: it waits for the intent blocking.
    """

    def wrapper(wrapped: Callable[..., Any], _runner: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        agent, act = _act(args, kwargs)
        span = auditor.start_span(act)
        try:
            with in_span(span):
                action = auditor.start(act)
                try:
                    with auditor.acting(agent), under_way.inside(action), running(agent), apart():
                        result = wrapped(*args, **kwargs)
                except BaseException as raised:
                    action.fail(raised)
                    raise
        except BaseException:
            if span is not None:
                span.end()
            raise

        def end(task: asyncio.Task[Any] | None) -> None:
            try:
                _end(auditor, action, task, result)
            finally:
                if span is not None:
                    span.end()

        task = getattr(result, "run_loop_task", None)
        if task is None:  # of a runner of the program's own
            end(None)
        else:
            task.add_done_callback(end)
        return result

    return wrapper


def _act(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str | None, Act]:
    """Return the starting agent's name and the act of running it."""
    name = getattr(args[0] if args else kwargs.get("starting_agent"), "name", None)
    conversation = kwargs.get("conversation_id") or getattr(kwargs.get("session"), "session_id", None)
    return name, agent_run(name, conversation_id=conversation if isinstance(conversation, str) else None)


def _judge(action: AuditAction, result: Any) -> None:
    waits = bool(getattr(result, "interruptions", None))
    note_run(waits=waits)
    if waits:
        action.set_outcome("unknown", reason=WAITS)


def _end(auditor: Auditor, action: AuditAction, task: asyncio.Task[Any] | None, result: Any) -> None:
    """Write the outcome of a streamed run, whose errors are told in several places. Never raises."""
    error = getattr(result, "_stored_exception", None)
    if error is None and task is not None and not task.cancelled():
        error = _exception_of(task)
    if error is not None:
        action.fail(error)
    elif task is not None and task.cancelled():
        close(action)
    else:
        auditor.judge(action, result, _judge)
        action.end_quietly()


def _exception_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what a task raised, unretrieved: asyncio tells of what the program itself never retrieves."""
    try:
        error: BaseException | None = task._exception  # noqa: SLF001
    except AttributeError:  # of a class that is not asyncio's
        error = task.exception()
    return error
