"""smolagents: what its wrappers tell each other of a run under way.

It travels in OpenTelemetry's context, so that it goes where the actor goes: into the threads of
parallel tool calls and of generated code, and not to who reads a stream.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry.context import create_key, get_current, set_value

from otel_audit.errors import AuditError
from otel_audit.pipeline.context import made_current

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.act import Act
    from otel_audit.instrument.frameworks.auditor import Auditor, Judge

T = TypeVar("T")

_RUN = create_key("otel-audit-smolagents-run")
_CALL_ID = create_key("otel-audit-smolagents-call-id")


class Run:
    """One run of an agent. Thread-safe.

    Attributes:
        agent: The agent's name.
        refusal: Why an act in it was not done: its intent, or what was decided of it, could not be written.
    """

    __slots__ = ("_calls", "_code_id", "_lock", "agent", "refusal")

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.refusal: AuditError | None = None
        self._calls: list[Any] = []
        self._code_id: object = None
        self._lock = threading.Lock()

    def inside(self) -> AbstractContextManager[None]:
        """Return the context in which the run goes on."""
        return made_current(set_value(_CALL_ID, None, set_value(_RUN, self)))

    def refuse(self, error: AuditError) -> None:
        """Note why an act was not done: the agent would take it for an error of the model's."""
        self.refusal = error

    def stop_if_refused(self) -> None:
        """Raise what kept an act from being done, whoever caught it.

        Raises:
            AuditError: It could not be recorded.
        """
        if self.refusal is not None:
            raise self.refusal

    def ask(self, calls: Iterable[Any]) -> None:
        """Note the tool calls that the model asks for now."""
        with self._lock:
            self._calls = list(calls)

    def id_of(self, tool: object, arguments: object) -> object:
        """Return the model's id of a tool call; once for each.

        The framework calls the tool with the arguments that the model gave, the very object, and
        with an empty dict where there were none.
        """
        with self._lock:
            for index, call in enumerate(self._calls):
                given = call.function.arguments
                if given is arguments or (not given and not arguments and call.function.name == tool):
                    return self._calls.pop(index).id
        return None

    def write_code(self, call_id: object) -> None:
        """Note the id of the code that is executed next."""
        self._code_id = call_id

    def take_code_id(self) -> object:
        """Return the id of the code that is executed now."""
        call_id, self._code_id = self._code_id, None
        return call_id


def current_run() -> Run | None:
    """Return the run that goes on in the current context."""
    run = get_current().get(_RUN)
    return run if isinstance(run, Run) else None


def current_agent() -> str | None:
    """Return the name of the agent that acts."""
    run = current_run()
    return None if run is None else run.agent


def answering(call_id: object) -> AbstractContextManager[None]:
    """Return the context in which a call that a model asked for is made."""
    return nullcontext() if call_id is None else made_current(set_value(_CALL_ID, call_id))


@contextmanager
def taken_call_id() -> Iterator[object]:
    """Take the id of the call that is made: calls inside of it are not what the model asked for."""
    call_id = get_current().get(_CALL_ID)
    if call_id is None:
        yield None
        return
    with made_current(set_value(_CALL_ID, None)):
        yield call_id


def audited(auditor: Auditor, act: Act, call: Callable[[], T], judge: Judge | None = None) -> T:
    """Run a call between its two entries; where it could not be made, the run under way ends.

    Raises:
        AuditError: The intent could not be written; the call was not made.
    """
    called = False

    def make() -> T:
        nonlocal called
        called = True
        return call()

    try:
        return auditor.run(act, make, judge)
    except AuditError as error:
        run = current_run()
        if not called and run is not None:
            run.refuse(error)
        raise
