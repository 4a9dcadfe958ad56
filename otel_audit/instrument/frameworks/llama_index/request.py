"""llama-index's tool calls that a model asked for: their ids, and the agent that makes them.

The framework hands an exception that a tool raises to the model, as text. Where it is ours,
because an intent could not be written, the agent would go on unaudited, and the model would
be told where the log lies: it is raised again, where the model's request is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from otel_audit.errors import AuditError
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import wrap


@dataclass(slots=True)
class Request:
    """A tool call that a model asked for.

    Attributes:
        call_id: The model's id of it.
        refusal: Why it was not made: its intent could not be written.
    """

    call_id: object
    refusal: AuditError | None = field(default=None, init=False)


current_agent: ContextVar[str | None] = ContextVar("otel-audit-llama-index-agent", default=None)
"""Name of the agent that acts."""
_request: ContextVar[Request | None] = ContextVar("otel-audit-llama-index-request", default=None)


def instrument(refresh: Callable[[], None], undo: ExitStack) -> None:
    """Give the tool calls that a model makes without an agent (``predict_and_call``) their ids.

    Args:
        refresh: Called before each, to find tools that are not wrapped.
        undo: Takes the way back.

    Raises:
        AuditConfigError: This version lacks a function that is wrapped.
    """
    from llama_index.core.tools import calling

    def call_selected(wrapped: Callable[..., Any], _module: object, args: Any, kwargs: Any) -> Any:
        refresh()
        with requested(_selected(args, kwargs)):
            return wrapped(*args, **kwargs)

    async def acall_selected(wrapped: Callable[..., Any], _module: object, args: Any, kwargs: Any) -> Any:
        refresh()
        with requested(_selected(args, kwargs)):
            return await wrapped(*args, **kwargs)

    undo.callback(wrap(calling, "call_tool_with_selection", call_selected))
    undo.callback(wrap(calling, "acall_tool_with_selection", acall_selected))


@contextmanager
def requested(call_id: object) -> Iterator[None]:
    """Give the tool call inside its id; raise what kept it from being made, whoever caught it.

    Raises:
        AuditError: The intent of the call could not be written.
    """
    request = Request(call_id)
    with having(_request, request):
        yield
    if request.refusal is not None:
        raise request.refusal


@contextmanager
def taken() -> Iterator[Request | None]:
    """Take the request that a tool call answers: calls inside of it are not what the model asked for."""
    request = _request.get()
    with having(_request, None):
        yield request


def _selected(args: Any, kwargs: Any) -> object:
    return getattr(args[0] if args else kwargs.get("tool_call"), "tool_id", None)
