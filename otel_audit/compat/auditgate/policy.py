"""What is asked of a trail: the words of AuditGate, a trail's name, its policy."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from opentelemetry._logs import SeverityNumber


class Mode(enum.Enum):
    """How a caller hears that an entry could not be recorded: by an exception, or by the decision."""

    HARD = 1
    SOFT = 2


class StoreErrorMode(enum.Enum):
    """What becomes of the action whose entry could not be recorded: it waits, or it runs."""

    FAIL_CLOSED = 1
    FAIL_OPEN = 2


class Status(enum.Enum):
    """Whether there is an entry."""

    RECORDED = 1
    DROPPED = 2


class Severity(enum.Enum):
    """How grave a decision is.

    Attributes:
        number: OpenTelemetry's, from 5 for DEBUG to 21 for CRITICAL.
    """

    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4
    CRITICAL = 5

    def __init__(self, value: int) -> None:
        # members of its members: a dict by member would call Enum.__hash__ at each record
        self.number = SeverityNumber(4 * value + 1)


class Verdict(enum.Enum):
    """What a gate decided.

    Attributes:
        word: ``audit.decision`` of it.
    """

    ALLOW = 1
    BLOCK = 2
    ERROR = 3
    OVERRIDE = 4

    def __init__(self, _: int) -> None:
        self.word = self._name_.lower()


class IntegrityMode(enum.Enum):
    """What an entry shows of its hashes: none, its own, or its own and that of the one before.

    Attributes:
        word: In lower case.
    """

    NONE = 1
    HASH = 2
    CHAIN = 3

    def __init__(self, _: int) -> None:
        self.word = self._name_.lower()


@dataclass(frozen=True, slots=True)
class Trail:
    """What entries belong together.

    Attributes:
        text: ``namespace:source@principal``, also what ``str()`` gives.
        parts: The three, where the text could be read in another way; else None.
    """

    namespace: str
    source: str
    principal: str = "global"
    text: str = field(init=False, repr=False, compare=False)
    parts: tuple[str, str, str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        clear = ":" not in self.namespace and "@" not in self.source
        object.__setattr__(self, "text", f"{self.namespace}:{self.source}@{self.principal}")
        object.__setattr__(self, "parts", None if clear else (self.namespace, self.source, self.principal))

    @property
    def key(self) -> str:
        """A name for stores that keep entries under one."""
        return f"aud:{self.namespace}:{self.source}:{self.principal}"

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)  # a str remembers its hash; three would be hashed anew each time


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """What is asked of one trail.

    Attributes:
        mode: How a failure is told.
        on_store_error: Whether the action may run unaudited.
        min_severity: Less grave decisions are not recorded, which is no failure.
        retention_seconds: Older entries are left out of queries; None for none. A `MemoryStore`
            forgets them; a log keeps every line.
        integrity: What an entry shows of its hashes. It does not change the log, which has one
            mode for all of its lines.

    Raises:
        ValueError: ``retention_seconds`` is not positive.
    """

    mode: Mode = Mode.HARD
    on_store_error: StoreErrorMode = StoreErrorMode.FAIL_CLOSED
    min_severity: Severity = Severity.DEBUG
    retention_seconds: float | None = None
    integrity: IntegrityMode = IntegrityMode.HASH

    def __post_init__(self) -> None:
        # not `<= 0`: that lets NaN through
        if self.retention_seconds is not None and not self.retention_seconds > 0:
            raise ValueError(f"retention_seconds: expected more than 0, or None, got {self.retention_seconds!r}")
