"""crewai: an agent's run that is asked for in an event loop, by a method that is no coroutine.

crewai's own answers with a coroutine there, which is the run. What overrides it can do so, too, or answer at once:
which of both is only known when it has, so the intent is written before, and the coroutine goes on with that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from otel_audit.instrument import under_way
from otel_audit.instrument.frameworks.act import Act, agent_run
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.crewai import decision
from otel_audit.instrument.frameworks.crewai.tool import current_role, role_of, unstopped
from otel_audit.instrument.frameworks.methods import Inside, Method, stepping
from otel_audit.instrument.having import having
from otel_audit.instrument.span import end_span, in_span
from otel_audit.pipeline.action import error_type_of

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction


def run_in_loop(auditor: Auditor, agent: object, method: Method, call: Callable[[], Any]) -> Any:
    """Run an agent between the two entries; where that gives an awaitable, return one that ends with it.

    It is no coroutine: it waits for the intent blocking.

    Args:
        auditor: Writes the entries.
        agent: Who is run.
        method: By which of its methods.
        call: Does it.

    Raises:
        AuditError: The intent could not be written; the call was not made.
    """
    run = _Run(auditor, role_of(agent))
    with run.going_on():
        answer = call()
    return run.awaited(answer, agent, method) if isawaitable(answer) else run.ended(answer)


class _Run:
    """A run, in one piece or two. Used by one caller at a time: no lock."""

    def __init__(self, auditor: Auditor, role: str | None) -> None:
        self._auditor = auditor
        self._role = role
        self._act: Act = agent_run(role)
        self._span = auditor.start_span(self._act)
        self._action: AuditAction | None = None

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Be inside of the run; write the intent, where that was not done, and how it failed."""
        try:
            with unstopped(), decision.called(), in_span(self._span), having(current_role, self._role):
                self._action = self._action or self._auditor.start(self._act)
                with self._auditor.acting(self._role), under_way.inside(self._action):
                    yield
        except BaseException as raised:
            if self._action is not None:
                self._action.fail(raised)
            if self._span is not None:
                end_span(self._span, error_type_of(raised))
            raise

    async def awaited(self, answer: Awaitable[Any], agent: object, method: Method) -> Any:
        """Have what was given run to its end, as a part of this run."""
        inside = Inside(agent, method)
        try:
            with stepping(inside), self.going_on():
                result = await answer
        finally:
            inside.is_over = True
        if self._action is not None:
            await self._action.aend_quietly()
        return self._ended(result)

    def ended(self, result: Any) -> Any:
        """Write the outcome, and return the result. Never raises."""
        if self._action is not None:
            self._action.end_quietly()
        return self._ended(result)

    def _ended(self, result: Any) -> Any:
        if self._span is not None:
            self._span.end()
        return result
