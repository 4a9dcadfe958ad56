"""What earlier failures leave to be said: entries in doubt, and losses, until the log declares them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .active import ActiveFile, Written, stands
from .drops import Drops, DropSummary, more


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


class Losses:
    """Losses that one write declares: those this process remembers, and those that stand beside the log."""

    __slots__ = ("own", "shared")

    def __init__(self, own: DropSummary | None, shared: DropSummary | None) -> None:
        self.own = own
        self.shared = shared

    @property
    def together(self) -> DropSummary | None:
        """What ``audit.log.dropped`` says, None where nothing was lost."""
        return more(self.shared, self.own) if self.own is not None else self.shared


class Unsettled:
    """What one writer still has to declare. Under the ledger's write lock, but for ``drops``.

    Attributes:
        drops: Records that were lost.
        doubtful: Entries whose callers were told of a failure, and which may stand in the log.
        doubt: Why; None once they were looked at.
    """

    def __init__(self, drops: Drops) -> None:
        self.drops = drops
        self.doubtful: list[Written] = []
        self.doubt: BaseException | None = None
        self._declared: list[Declaration] = []
        """What was declared by a write that no sync has covered yet."""

    @property
    def waits(self) -> bool:
        """Whether there is anything that the log should be opened for."""
        return bool(self.doubtful or self.drops.waiting)

    def losses(self) -> Losses:
        """Return what is to be declared now. Under the file's lock: no two writers declare the same."""
        self.drops.waiting = False  # first: a loss that comes meanwhile is seen by the next write
        shared = None if self.drops.shared is None else self.drops.shared.read()
        return Losses(self.drops.pending, shared)

    def declare(self, path: str, end: int, last_bytes: bytes, own: DropSummary | None) -> Declaration | None:
        """Note what the next write declares, None where that is nothing."""
        if not self.doubtful and own is None:
            return None
        declaration = Declaration(path, end, last_bytes, self.doubtful, self.doubt, own)
        self._declared.append(declaration)
        return declaration

    def take(self, declaration: Declaration) -> None:
        """Take what was declared off what is to be declared."""
        if not declaration.taken:
            declaration.taken = True
            self.doubtful = [entry for entry in self.doubtful if entry not in declaration.doubtful]
            if declaration.drops is not None:
                self.drops.declared(declaration.drops)

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
            self.drops.restore(declaration.drops)


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
