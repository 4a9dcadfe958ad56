"""What earlier failures leave to be said: entries in doubt, and losses, until the log declares them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .active import ActiveFile, Written, stands
from .drops import Drops, DropSummary, more
from .shared_drops import Claim


class Declaration:
    """Voided entries and dropped records, declared by one write that can yet be lost itself.

    Attributes:
        path: The segment; ``end`` is the offset behind the declaring lines there, and ``last_bytes``
            stand before it.
        doubtful: The entries whose standing was looked at, for ``audit.log.voided``.
        doubt: Why they were in doubt.
        drops: Of what ``audit.log.dropped`` says the part that this process remembers alone.
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


class Unsettled:
    """What one writer still has to declare. Under the ledger's write lock, but for ``drops``.

    Attributes:
        drops: Records that were lost. ``own`` of them were taken over to be declared.
        claim: Losses beside the log, which the write that is under way declares.
        doubtful: Entries whose callers were told of a failure, and which may stand in the log.
        doubt: Why; None once they were looked at.
    """

    def __init__(self, drops: Drops) -> None:
        self.drops = drops
        self.own: DropSummary | None = None
        self.claim: Claim | None = None
        self.doubtful: list[Written] = []
        self.doubt: BaseException | None = None
        self._declared: list[Declaration] = []
        """What was declared by a write that no sync has covered yet."""

    @property
    def waits(self) -> bool:
        """Whether there is anything that the log should be opened for."""
        return bool(self.doubt is not None or self.doubtful or self.own or self.drops.waiting)

    def look(self) -> None:
        """Take over what there is to be declared. Under the file's lock: no two writers declare the same."""
        self.drops.waiting = False  # first: a loss that comes meanwhile is seen by the next write
        remembered = self.drops.take_pending()
        if remembered is not None:
            self.own = more(self.own, remembered)
        if self.claim is None and self.drops.shared is not None:
            self.claim = self.drops.shared.claim()

    def losses(self) -> DropSummary | None:
        """Return what ``audit.log.dropped`` says in the next write, None where nothing was lost."""
        if self.claim is None:
            return self.own
        return self.claim.summary if self.own is None else more(self.claim.summary, self.own)

    def declare(self, path: str, end: int, last_bytes: bytes) -> Declaration | None:
        """Note what the next write declares, None where that is nothing."""
        if not self.doubtful and self.own is None:
            return None
        declaration = Declaration(path, end, last_bytes, self.doubtful, self.doubt, self.own)
        self._declared.append(declaration)
        return declaration

    def take(self, declaration: Declaration) -> None:
        """Take what was declared off what is to be declared."""
        if not declaration.taken:
            declaration.taken = True
            self.doubtful = [entry for entry in self.doubtful if entry not in declaration.doubtful]
            if declaration.drops is not None:
                self.own = None

    def give_back(self) -> None:
        """Leave losses beside the log to whoever looks next: this write failed, or waits."""
        claim, self.claim = self.claim, None
        if claim is not None:
            claim.give_back()
            self.drops.waiting = True

    def close(self) -> None:
        """Put what was not declared where another process finds it."""
        self.give_back()
        own, self.own = self.own, None
        remembered = self.drops.take_pending()
        for losses in (own, remembered):
            if losses is not None:
                self.drops.restore(losses)

    def abandon(self) -> None:
        """Let go of the parent's claim, in a forked child."""
        if self.claim is not None:
            self.claim.abandon()

    def forget(self, synced_end: int) -> None:
        """Forget declarations that nothing can take back any more."""
        self._declared = [earlier for earlier in self._declared if earlier.end > synced_end]

    def standing(self, file: ActiveFile) -> list[tuple[int, int]]:
        """Look into the file that was opened anew: first and last ``seq`` of the entries to be voided."""
        for declaration in self._declared:
            if stands(file, declaration.path, declaration.end, declaration.last_bytes):
                self.take(declaration)
            elif declaration.taken:
                self._restore(declaration)
        self._declared = []
        standing = (entry for entry in self.doubtful if stands(file, entry.path, entry.end, entry.last_bytes))
        return list(_runs(entry.seq for entry in standing))

    def _restore(self, declaration: Declaration) -> None:
        """Put back what was declared: the failed sync lost the declaration too."""
        self.doubtful = [*declaration.doubtful, *self.doubtful]
        self.doubt = self.doubt or declaration.doubt
        if declaration.drops is not None:
            self.own = more(self.own, declaration.drops)


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of consecutive numbers."""
    first = last = None
    for number in sorted(set(numbers)):
        if first is None or last is None:
            first = last = number
        elif number == last + 1:
            last = number
        else:
            yield first, last
            first = last = number
    if first is not None and last is not None:
        yield first, last
