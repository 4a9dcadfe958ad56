"""What one write declared of earlier failures, until it is known to stand in the log."""

from __future__ import annotations

from collections.abc import Sequence

from .active import Written
from .drops import DropSummary


class Declaration:
    """Voided entries and dropped records, declared by one write that can yet be lost itself.

    Attributes:
        path: The segment; ``end`` is the offset behind the declaring lines there, and ``last_bytes``
            stand before it.
        doubtful: The entries whose standing was looked at, for ``audit.log.voided``.
        doubt: Why they were in doubt.
        drops: What ``audit.log.dropped`` says, None where nothing was dropped.
        taken: It was written, and so nothing of it is pending any more.
    """

    __slots__ = ("doubt", "doubtful", "drops", "end", "last_bytes", "path", "taken")

    def __init__(
        self,
        path: str,
        end: int,
        last_bytes: bytes,
        doubtful: Sequence[Written],
        doubt: BaseException | None,
        drops: DropSummary | None,
    ) -> None:
        self.path = path
        self.end = end
        self.last_bytes = last_bytes
        self.doubtful = tuple(doubtful)
        self.doubt = doubt
        self.drops = drops
        self.taken = False
