"""Appends of coroutines: written in the calling task, synced for all who wait at once.

``seq`` follows the order of the calls. Only where another process holds the log's lock does an
append go to the worker thread, and those called after it follow it there.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from .ticket import Ticket


class AsyncAppender:
    """The coroutines' way into one ledger. Safe to use from several event loops.

    Args:
        write_now: Writes a ticket without waiting; False where another process holds the lock.
        write: Writes a ticket, waiting.
        sync: Makes tickets durable, or sets their ``error``.
    """

    def __init__(
        self,
        write_now: Callable[[Ticket], bool],
        write: Callable[[Ticket], None],
        sync: Callable[[Sequence[Ticket]], None],
    ) -> None:
        self._write_now = write_now
        self._write = write
        self._sync = sync
        self._lock = threading.Lock()
        self._waiting: list[tuple[Ticket, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._starter: asyncio.AbstractEventLoop | None = None
        self._behind = 0
        self._worker: ThreadPoolExecutor | None = None

    async def append(self, ticket: Ticket, *, durable: bool) -> None:
        """Return once the ticket is written and, if asked, durable.

        A cancelled caller leaves an entry that stands all the same.

        Raises:
            AuditError: It is not.
        """
        loop = asyncio.get_running_loop()
        if self._behind or not self._write_now(ticket):
            self._behind += 1
            try:
                await self._write_elsewhere(ticket, loop)
            finally:
                self._behind -= 1
        if durable:
            await self._synced(ticket, loop)

    async def _write_elsewhere(self, ticket: Ticket, loop: asyncio.AbstractEventLoop) -> None:
        try:
            written = loop.run_in_executor(self._executor(), self._write, ticket)
        except RuntimeError:  # the interpreter is shutting down: no thread can be had
            self._write(ticket)
        else:
            await written

    def close(self) -> None:
        """End the worker thread once it has nothing left to do."""
        if self._worker is not None:
            self._worker.shutdown(wait=False)
            self._worker = None

    async def _synced(self, ticket: Ticket, loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiting.append((ticket, loop, future))
            first = self._starter is None
            if first:
                self._starter = loop
        if first:
            # once around the loop: the tasks that are ready now append first, undisturbed by a
            # sync under way (the file system holds their writes up), and share this one
            loop.call_soon(self._start)
        elif self._starter is not loop:
            self._start()  # that other loop may be busy, stopped or closed before it comes to it
        await future

    def _start(self) -> None:
        try:
            self._executor().submit(self._sync_waiting)
        except RuntimeError:  # the interpreter is shutting down: no thread can be had
            self._sync_waiting()

    def _sync_waiting(self) -> None:
        """In the worker thread: sync for all who wait, until nobody does."""
        while True:
            with self._lock:
                batch, self._waiting = self._waiting, []
                if not batch:
                    self._starter = None
                    return
            tickets = [ticket for ticket, _, _ in batch]
            try:
                self._sync(tickets)
            except BaseException as error:
                # nobody may wait for ever, whatever went wrong
                for ticket in tickets:
                    ticket.error = ticket.error or error
            for owner in {loop for _, loop, _ in batch}:
                mine = [(ticket, future) for ticket, loop, future in batch if loop is owner]
                with contextlib.suppress(RuntimeError):  # that loop was closed: nobody awaits there any more
                    owner.call_soon_threadsafe(_resolve, mine)

    def _executor(self) -> ThreadPoolExecutor:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="otel-audit-aemit")
        return self._worker


def _resolve(waiting: list[tuple[Ticket, asyncio.Future[None]]]) -> None:
    for ticket, future in waiting:
        if future.done():  # its task was cancelled
            continue
        try:
            ticket.raise_error()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)
