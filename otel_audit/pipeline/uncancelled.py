"""A coroutine that ends though nobody awaits it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


async def uncancelled(coroutine: Coroutine[Any, None, T]) -> T:
    """Await a coroutine; where the awaiting task is cancelled, it goes on to its end without it.

    It runs in the calling task, so what it does comes in the order of the calls. What it raises
    when nobody awaits it reaches nobody, and a loop that is closed meanwhile ends it.

    Args:
        coroutine: Waits for asyncio's futures only.
    """
    while True:
        try:
            waiting: asyncio.Future[Any] = coroutine.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if not waiting.cancelled():  # it is the caller that was cancelled
                _go_on(coroutine, waiting)
                raise
        except Exception:  # noqa: S110 - the coroutine meets it itself
            pass


def _go_on(coroutine: Coroutine[Any, None, Any], waiting: asyncio.Future[Any]) -> None:
    """Have the loop take a coroutine's next step once what it waits for is done."""

    def step(_: asyncio.Future[Any]) -> None:
        try:
            following = coroutine.send(None)
        except (Exception, asyncio.CancelledError):  # StopIteration, too: it has ended
            return
        _go_on(coroutine, following)

    waiting.add_done_callback(step, context=copy_context())
