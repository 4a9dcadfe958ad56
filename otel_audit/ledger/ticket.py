"""A record on its way into the log, and what became of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
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
        wake: Held while its thread waits for the leader of its group; ``next`` is whom it wakes.
        durable: It is in the log, and as durable as was promised.
        gone: Its thread was interrupted and waits no more.
        batch: What its thread commits as the leader of its group.
    """

    # class attributes are the defaults: an append that nothing happens to sets few of them
    seq: int = 0
    hash: str = ""
    prev_hash: str = ""
    stream_id: str = ""
    observed_ns: int = 0
    end: int = 0
    file: ActiveFile | None = None
    error: BaseException | None = None
    wake: threading.Lock | None = None
    next: Ticket | None = None
    gone: bool = False
    durable: bool = False
    batch: Sequence[Ticket] = ()

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

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
