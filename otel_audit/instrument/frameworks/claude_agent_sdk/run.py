"""Claude Agent SDK: runs, from a prompt to its result.

A stream by `query` is one run, whatever it is prompted with. A client's run begins
with its prompt and ends with the next result; what is asked meanwhile waits its turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, create_key, get_current, set_value

from otel_audit import semconv
from otel_audit.instrument import under_way
from otel_audit.instrument.frameworks.act import Act, agent_run
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted
from otel_audit.instrument.frameworks.auditor import Auditor, close
from otel_audit.instrument.span import end_span, in_span
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.context import current_actors, made_current
from otel_audit.record import Actor

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_audit.instrument.frameworks.claude_agent_sdk.session import Session
    from otel_audit.pipeline.action import AuditAction

AGENT: Final = "claude"
"""The agent of a session that is started without the name of one (``extra_args={"agent": name}``)."""

_BEGINNING = create_key("otel-audit-claude-agent-sdk-beginning")


@dataclass(slots=True)
class Run:
    """One run under way.

    Attributes:
        caller: Who acted when it began.
        context: In which its acts happen.
        action: Of a client's run; None of a stream's.
    """

    caller: tuple[Actor, ...]
    context: Context
    action: AuditAction | None = None
    span: Span | None = None

    def end(self, result: dict[str, Any]) -> None:
        """Write the outcome that a result tells. Never raises."""
        if self.action is not None:
            judge(self.action, result)
            self.action.end_quietly()
        self._end_span()

    def fail(self, raised: BaseException) -> None:
        """Write that it failed. Never raises."""
        if self.action is not None:
            self.action.fail(raised)
        self._end_span(raised)

    def close(self) -> None:
        """Write that it was left before its end. Never raises."""
        if self.action is not None:
            close(self.action)
        self._end_span()

    def _end_span(self, raised: BaseException | None = None) -> None:
        if self.span is not None:
            end_span(self.span, None if raised is None else error_type_of(raised))


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a session begins with.

    Attributes:
        agent: Name of its agent.
        run: The run that it was made for; None of a client that is not prompted yet.
    """

    agent: str = AGENT
    caller: tuple[Actor, ...] = field(default_factory=current_actors)
    run: Run | None = None


def beginning() -> Beginning:
    """Return what the session that is made here begins with."""
    begun = get_current().get(_BEGINNING)
    return begun if isinstance(begun, Beginning) else Beginning()


def judge(action: AuditAction, result: dict[str, Any]) -> None:
    """Let the outcome say what a result tells: of its members, those that have no content."""
    if isinstance(session := result.get("session_id"), str):
        action.set_attribute(semconv.GEN_AI_CONVERSATION_ID, session)
    if result.get("is_error"):
        subtype, status = result.get("subtype"), result.get("api_error_status")
        kind = f"api_error_{status}" if subtype == "success" and isinstance(status, int) else subtype
        action.set_outcome("failure", error_type=kind if isinstance(kind, str) else "error")


class Runs:
    """The wrappers around what begins a run."""

    def __init__(self, auditor: Auditor, session_of: Callable[[object], Session | None]) -> None:
        self._auditor = auditor
        self._session_of = session_of

    def stream(
        self, wrapped: Callable[..., AsyncIterator[Any]], _client: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncIterator[Any]:
        """Return the messages of a run, which begins at the first step."""
        agent = _agent(args[1] if len(args) > 1 else kwargs.get("options"))
        values = {_BEGINNING: Beginning(agent)}
        return acted(
            self._auditor, _act(agent), lambda: wrapped(*args, **kwargs), _Result(), agent=agent, values=values
        )

    async def connect(
        self, wrapped: Callable[..., Awaitable[Any]], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Connect a client, which may have a prompt already."""
        agent = _agent(client.options)
        prompted = (args[0] if args else kwargs.get("prompt")) is not None
        run = await self._begin(agent) if prompted else None
        try:
            with made_current(set_value(_BEGINNING, Beginning(agent, run=run))):
                return await wrapped(*args, **kwargs)
        except BaseException as raised:
            if run is not None:
                run.fail(raised)
            raise

    async def ask(
        self, wrapped: Callable[..., Awaitable[Any]], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Prompt a client's session."""
        session = self._session_of(getattr(client, "_query", None))
        if session is None or not session.is_audited:
            return await wrapped(*args, **kwargs)
        run = await self._begin(session.agent)
        session.runs.append(run)
        try:
            return await wrapped(*args, **kwargs)
        except BaseException as raised:
            if run in session.runs:
                session.runs.remove(run)
            run.fail(raised)
            raise

    async def _begin(self, agent: str) -> Run:
        act = _act(agent)
        caller = current_actors()
        span = self._auditor.start_span(act)
        try:
            with in_span(span):
                action = await self._auditor.astart(act)
                with self._auditor.acting(agent), under_way.inside(action):
                    return Run(caller, get_current(), action, span)
        except BaseException as raised:
            if span is not None:
                end_span(span, error_type_of(raised))
            raise


class _Result(Watcher):
    """Tells of the last result of a stream."""

    _last: Any = None

    def see(self, item: Any) -> None:
        """Keep a result."""
        if hasattr(item, "num_turns"):
            self._last = item

    def judge(self, action: AuditAction) -> None:
        """Let the outcome say it; a stream that is left with its result was not left early."""
        if self._last is not None:
            action.set_outcome("success")
            judge(action, vars(self._last))


def _agent(options: Any) -> str:
    extra = getattr(options, "extra_args", None)
    name = extra.get("agent") if isinstance(extra, dict) else None
    return name if isinstance(name, str) and name else AGENT


def _act(agent: str) -> Act:
    return agent_run(agent)
