"""smolagents: agents, their tools, the code that they write, models and the checks of final answers.

Its step callbacks come after the act, and an agent hands most exceptions to the model as a
text and goes on: the methods themselves are wrapped, and an act that could not be recorded ends the run.
Tools, models and executors are classes to derive from, each with methods of its own; how
all of them are reached stands in `frameworks.methods`. Everything here is synchronous, as smolagents is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, get_current

from otel_audit.errors import AuditError
from otel_audit.instrument import under_way
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import Act, agent_run
from otel_audit.instrument.frameworks.auditor import Auditor, Judge, close
from otel_audit.instrument.frameworks.methods import Inside, Method, entered, stepping, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.frameworks.smolagents.run import Run, current_run, taken_call_id
from otel_audit.instrument.patch import Wrapper
from otel_audit.instrument.span import end_span, in_span
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.resume import OwnContext, resumed
from otel_audit.semconv import GEN_AI_TOOL_CALL_ID

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "smolagents"
MODULE: Final = "smolagents"
VERSIONS: Final = ">=1.23,<1.27"


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit agents, tools and models of this process, those that exist and those made later.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from otel_audit.instrument.frameworks.smolagents import model, step, tool

    auditor = Auditor(logger, settings)
    find_tools = tool.instrument(auditor, undo)
    find_models = model.instrument(auditor, undo)

    def refresh() -> None:
        find_tools()
        find_models()

    step.instrument(auditor, undo)
    _instrument_runs(auditor, refresh, undo)


def _instrument_runs(auditor: Auditor, refresh: Callable[[], None], undo: ExitStack) -> None:
    from smolagents.agents import MultiStepAgent
    from smolagents.utils import AgentMaxStepsError

    runs = _Runs(auditor, refresh, AgentMaxStepsError)
    wrap_methods((MultiStepAgent,), {"run": runs.wrap}, undo, maker=(MultiStepAgent, "__init_subclass__"))


@dataclass(frozen=True, slots=True)
class _Runs:
    """Writes the runs of agents.

    Attributes:
        auditor: Writes with it.
        refresh: Called before a run, to find tools and models that are not wrapped.
        max_steps: What the framework notes as the error of a run's last step where it ran out of steps.
    """

    auditor: Auditor
    refresh: Callable[[], None]
    max_steps: type[BaseException]

    def wrap(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            streams = bool(kwargs.get("stream", args[1] if len(args) > 1 else False))
            name = read(agent, "name") or type(agent).__name__
            self.refresh()
            if streams:
                stream = _Stream(self.auditor, agent, method, name, get_current(), self._judge(agent))
                steps = wrapped(*args, **kwargs)
                # Without steps to take, it was done by what the method called.
                return stream.over(steps) if isinstance(steps, Generator) else steps
            with entered(agent, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                return self._run(lambda: wrapped(*args, **kwargs), agent, name)

        return wrapper

    def _run(self, call: Callable[[], Any], agent: Any, name: str) -> Any:
        outer = current_run()
        run = Run(name)
        called = False

        def inside() -> Any:
            nonlocal called
            called = True
            with run.inside():
                return call()

        with taken_call_id() as call_id:
            try:
                return self.auditor.run(_act(name, call_id), inside, self._judge(agent), agent=name)
            except AuditError as error:
                # A managed agent's run that ends for this ends the run of its manager too.
                if outer is not None and (not called or run.refusal is error):
                    outer.refuse(error)
                raise

    def _judge(self, agent: Any) -> Judge:
        def judge(action: AuditAction, _result: object) -> None:
            steps = agent.memory.steps
            error = getattr(steps[-1], "error", None) if steps else None
            if isinstance(error, self.max_steps):
                action.set_outcome("failure", error_type=error_type_of(error))

        return judge


class _Stream:
    """A run whose steps somebody takes one by one. Used by one reader: no lock.

    A stream that is read within another one of the same agent is a part of it: a class may have its own
    ``run`` read what its parent's gives.

    Args:
        auditor: Writes the entries.
        agent: Whose run it is.
        method: That made the stream.
        name: The agent's.
        context: Of OpenTelemetry, that the run is asked for in: its reader has its own at each step.
        judge: Told when the stream has ended by itself.
    """

    __slots__ = ("_action", "_agent", "_auditor", "_context", "_judge", "_method", "_name", "_span")

    def __init__(
        self, auditor: Auditor, agent: object, method: Method, name: str, context: Context, judge: Judge
    ) -> None:
        self._action: AuditAction | None = None
        self._span: Span | None = None
        self._auditor = auditor
        self._agent = agent
        self._method = method
        self._name = name
        self._context = context
        self._judge = judge

    def over(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Return the stream, audited: the intent is written at the first step, which raises where it cannot be."""
        stepped: Any = _Stepped(steps, Inside(self._agent, self._method))
        return resumed(stepped, self._enter, self._finish, self._fail)

    def _enter(self) -> Context | None:
        with entered(self._agent, self._method) as begins:
            if not begins:
                return None
        act = _act(self._name)
        with OwnContext(self._context):
            self._span = self._auditor.start_span(act)
            with in_span(self._span):
                try:
                    self._action = self._auditor.start(act)
                except BaseException as error:
                    self._end(error)
                    raise
                run = Run(self._name)
                with self._auditor.acting(self._name), under_way.inside(self._action), run.inside():
                    return get_current()

    def _finish(self, _returned: object) -> None:
        if self._action is not None:
            self._auditor.judge(self._action, None, self._judge)
            self._action.end_quietly()
        self._end()

    def _fail(self, error: BaseException, closed: bool) -> None:
        if self._action is not None:
            if closed:
                close(self._action)
            else:
                self._action.fail(error)
        self._end(None if closed else error)

    def _end(self, error: BaseException | None = None) -> None:
        if self._span is not None:
            end_span(self._span, None if error is None else error_type_of(error))


class _Stepped:
    """A generator each of whose steps is a part of the act that it was made in."""

    __slots__ = ("_inner", "_inside")

    def __init__(self, inner: Generator[Any, Any, Any], inside: Inside) -> None:
        self._inner = inner
        self._inside = inside

    def send(self, given: Any) -> Any:
        with stepping(self._inside):
            return self._inner.send(given)

    def throw(self, error: BaseException) -> Any:
        with stepping(self._inside):
            return self._inner.throw(error)


def _act(name: str, call_id: object = None) -> Act:
    """Return the act of a run; a managed agent's has the id of the call by which its manager asks for it."""
    return agent_run(name, **{GEN_AI_TOOL_CALL_ID: call_id})
