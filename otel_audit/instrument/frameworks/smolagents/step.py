"""smolagents: the steps of a run, and the checks of its final answer.

A step tells the model of most errors and goes on. Where an act in it was refused because it
could not be recorded, the step ends with that error instead: it goes up to whoever started the run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import guardrail
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.frameworks.smolagents.run import Run, answering, current_agent, current_run
from otel_audit.instrument.patch import Wrapper, wrap

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor

CODE: Final = "python_interpreter"
"""The framework's own name of the tool that code is given to."""

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Stop runs whose acts cannot be recorded, and audit the checks of final answers.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from smolagents.agents import MultiStepAgent

    wrap_methods(
        (MultiStepAgent,),
        {
            "_step_stream": _wrap_step,
            "provide_final_answer": _wrap_answer,
            "process_tool_calls": _wrap_requests,
            "execute_tool_call": _wrap_request,
        },
        undo,
        maker=(MultiStepAgent, "__init_subclass__"),
    )
    undo.callback(wrap(MultiStepAgent, "_validate_final_answer", _checks(auditor)))


def _wrap_step(_method: Method) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _agent: object, args: Args, kwargs: Kwargs) -> Any:
        return _step(wrapped(*args, **kwargs))

    return wrapper


def _step(parts: Iterable[Any]) -> Iterator[Any]:
    run = current_run()
    with closing(parts) if isinstance(parts, Generator) else nullcontext():
        try:
            for part in parts:
                if run is not None:
                    run.stop_if_refused()
                    if getattr(part, "name", None) == CODE:
                        run.write_code(getattr(part, "id", None))
                yield part
        except Exception:
            if run is not None:
                run.stop_if_refused()
            raise


def _wrap_answer(_method: Method) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _agent: object, args: Args, kwargs: Kwargs) -> Any:
        answer = wrapped(*args, **kwargs)
        run = current_run()
        if run is not None:
            run.stop_if_refused()  # the framework's answer would be the text of the error
        return answer

    return wrapper


def _wrap_requests(_method: Method) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _agent: object, args: Args, kwargs: Kwargs) -> Any:
        run = current_run()
        message = args[0] if args else kwargs.get("chat_message")
        if run is not None:
            run.ask(getattr(message, "tool_calls", None) or ())
        return wrapped(*args, **kwargs)

    return wrapper


def _wrap_request(_method: Method) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _agent: object, args: Args, kwargs: Kwargs) -> Any:
        run = current_run()
        if run is None:
            return wrapped(*args, **kwargs)
        tool = args[0] if args else kwargs.get("tool_name")
        arguments = args[1] if len(args) > 1 else kwargs.get("arguments")
        with answering(run.id_of(tool, arguments)):
            return wrapped(*args, **kwargs)

    return wrapper


def _checks(auditor: Auditor) -> Wrapper:
    def wrapper(wrapped: Any, agent: Any, args: Args, kwargs: Kwargs) -> Any:
        run = current_run() or Run(current_agent() or type(agent).__name__)
        checks = [_audited(auditor, run, agent, check) for check in agent.final_answer_checks]
        try:
            return wrapped.__func__(_Checked(agent, checks), *args, **kwargs)
        finally:
            run.stop_if_refused()

    return wrapper


@dataclass(frozen=True, slots=True)
class _Checked:
    """An agent with other checks of its final answer: its own are left alone, others may look at them."""

    agent: Any
    final_answer_checks: list[Callable[..., Any]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.agent, name)


def _audited(auditor: Auditor, run: Run, agent: Any, check: Callable[..., Any]) -> Callable[..., Any]:
    """Return a check whose decision is on disk before it takes effect."""
    act = guardrail(getattr(check, "__name__", None) or type(check).__name__, agent=run.agent)

    def decide(*, allows: bool) -> None:
        try:
            auditor.decide(act, "allow" if allows else "block")
        except AuditError as error:
            run.refuse(error)
            raise

    @functools.wraps(check)
    def audited(*args: Any, **kwargs: Any) -> Any:
        try:
            passes = check(*args, **{**kwargs, "agent": agent} if "agent" in kwargs else kwargs)
            allows = bool(passes)
        except Exception:
            decide(allows=False)
            raise
        decide(allows=allows)
        return passes

    return audited
