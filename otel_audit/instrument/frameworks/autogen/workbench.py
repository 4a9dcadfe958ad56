"""autogen: the framework's own workbenches, which run tools and make a text for the model of what those raise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from otel_audit.errors import AuditError
from otel_audit.instrument.having import having


@dataclass(slots=True)
class Stop:
    """What could not be recorded of a call by a workbench."""

    error: AuditError | None = None


current_stop: ContextVar[Stop | None] = ContextVar("otel-audit-autogen-stop", default=None)


async def run(
    wrapped: Callable[..., Awaitable[Any]], _workbench: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Wrap ``call_tool``: raise what could not be recorded, rather than return a text of it."""
    stop = Stop()
    with having(current_stop, stop):
        result = await wrapped(*args, **kwargs)
    if stop.error is not None:
        raise stop.error
    return result


async def run_stream(
    wrapped: Callable[..., Any], _workbench: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncIterator[Any]:
    """Wrap ``call_tool_stream``, in the same way."""
    stop = Stop()
    events = wrapped(*args, **kwargs)
    try:
        while True:
            with having(current_stop, stop):
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
            if stop.error is not None:
                raise stop.error
            yield event
    finally:
        await events.aclose()
