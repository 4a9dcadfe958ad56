"""A record on its way into the log, and what became of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from otel_audit.errors import AuditWriteError
from otel_audit.line import Draft

if TYPE_CHECKING:
    from .active import ActiveFile


class Ticket:
    """One append: its draft, then its place in the chain.

    Attributes:
        seq: 0 until it is written.
        file: The open file that it was written to; ``end`` is the offset behind its LF there.
        error: Why it is not in the log, or not as durable as promised.
        wake: Held while its thread waits for the leader of its group.
        lead: Its thread is to lead the next group.
        gone: Its thread was interrupted and waits no more.
    """

    __slots__ = (
        "draft",
        "end",
        "error",
        "file",
        "gone",
        "hash",
        "lead",
        "next",
        "observed_ns",
        "prev_hash",
        "seq",
        "stream_id",
        "wake",
        "woken",
    )

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.seq = 0
        self.hash = ""
        self.prev_hash = ""
        self.stream_id = ""
        self.observed_ns = 0
        self.end = 0
        self.file: ActiveFile | None = None
        self.error: BaseException | None = None
        self.wake: threading.Lock | None = None
        self.next: Ticket | None = None
        self.lead = self.gone = self.woken = False

    def raise_error(self) -> None:
        """Raise what went wrong, if anything did: an exception of this thread's own.

        Raises:
            AuditError: Of the kind that the append ended with.
        """
        error = self.error
        if error is None:
            return
        if isinstance(error, AuditWriteError):
            raise type(error)(*error.args) from error.__cause__
        raise error
