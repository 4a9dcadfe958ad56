"""Agent runs: every way to run an agent goes through `Agent.iter`.

What the program does itself inside of ``async with agent.iter(…)`` or ``run_stream(…)`` is not
done by the agent: the agent is the actor of its tool calls, output functions and model calls, each of which
says so itself, and not of the whole block.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import Act, agent_run
from otel_audit.instrument.frameworks.auditor import close
from otel_audit.instrument.frameworks.pydantic_ai.approval import called_tools, record_approvals
from otel_audit.instrument.frameworks.pydantic_ai.context import part
from otel_audit.instrument.patch import wrap
from otel_audit.instrument.span import current_tracer, end_span

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the runs of all agents.

    Raises:
        AuditConfigError: This version has no `Agent.iter`.
    """

    def wrapper(wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _run(auditor, agent, wrapped(*args, **kwargs), kwargs)

    undo.callback(wrap(part("pydantic_ai", "Agent"), "iter", wrapper))


@asynccontextmanager
async def _run(
    auditor: Auditor, agent: Any, opened: AbstractAsyncContextManager[Any], options: Mapping[str, Any]
) -> AsyncIterator[Any]:
    act = agent_run(agent.name)
    with _span(act):
        action = await auditor.astart(act)
        try:
            await _record_answers(auditor, agent, options)
            async with opened as run:
                # Only now is it known: the run takes it from its history, or makes one.
                action.set_attribute(semconv.GEN_AI_CONVERSATION_ID, run.conversation_id)
                yield run
        except GeneratorExit:
            close(action)
            raise
        except BaseException as raised:
            action.fail(raised)
            raise
        if run.result is None:
            close(action)
        else:
            await action.aend_quietly()


async def _record_answers(auditor: Auditor, agent: Any, options: Mapping[str, Any]) -> None:
    """Write what who resumes a run answers to the approvals that it ended with."""
    results = options.get("deferred_tool_results")
    if results is not None:
        conversation = options.get("conversation")
        messages = options.get("message_history") or getattr(conversation, "messages", None)
        await record_approvals(auditor, results, called_tools(messages), agent.name)


@contextmanager
def _span(act: Act) -> Iterator[None]:
    """Make a span current where there is none, so that the entries of a run are of one trace.

    A block can be left in another context than it was entered in (a generator that is collected):
    there is nothing to undo there, and to detach by token would make OpenTelemetry log an error.
    """
    tracer = current_tracer()
    if tracer is None or trace.get_current_span().get_span_context().is_valid:
        yield
        return
    name = act.event_name if act.target is None else f"{act.event_name} {act.target.id}"
    span = tracer.start_span(name, record_exception=False, set_status_on_exception=False)
    before = otel_context.get_current()
    inside = trace.set_span_in_context(span, before)
    otel_context.attach(inside)
    try:
        yield
    finally:
        end_span(span)
        if otel_context.get_current() is inside:
            otel_context.attach(before)
