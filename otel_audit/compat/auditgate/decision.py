"""What became of a record: the decision, the result of a guarded call, the error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, cast

from otel_audit import errors

from .entry import AuditEntry
from .policy import AuditPolicy, Status, Trail

T = TypeVar("T")


@dataclass(frozen=True)
class Decision:
    """Whether there is an entry. True where there is.

    Attributes:
        reason: Why there is none.
        error: What kept the entry from being recorded, where something failed.
        below_min_severity: There is none because the policy asks for none; no failure.
    """

    status: Status
    trail: Trail
    policy: AuditPolicy
    entry: AuditEntry | None = None
    reason: str | None = None
    error: Exception | None = field(default=None, repr=False, compare=False, kw_only=True)
    below_min_severity: bool = field(default=False, repr=False, compare=False, kw_only=True)

    @property
    def recorded(self) -> bool:
        """Whether there is an entry."""
        return self.status is Status.RECORDED

    @property
    def dropped(self) -> bool:
        """Whether there is none."""
        return self.status is Status.DROPPED

    @property
    def failed(self) -> bool:
        """Whether there should be one."""
        return self.status is Status.DROPPED and not self.below_min_severity

    def __bool__(self) -> bool:
        return self.status is Status.RECORDED


def recorded(trail: Trail, policy: AuditPolicy, entry: AuditEntry) -> Decision:
    """Return the decision that has an entry; a frozen dataclass sets its members one by one."""
    decision = object.__new__(Decision)
    members = {
        "status": Status.RECORDED,
        "trail": trail,
        "policy": policy,
        "entry": entry,
        "reason": None,
        "error": None,
        "below_min_severity": False,
    }
    object.__setattr__(decision, "__dict__", members)
    return decision


class _Missing:
    """The value of a call that did not run: None is one that did."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<MISSING>"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True)
class Result(Generic[T]):
    """What a guarded call returned, with the decision that let it run or did not.

    Its ``repr`` does not show the value: it may be a secret.
    """

    decision: Decision
    _value: T | _Missing = field(default=MISSING, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the function ran. ``decision.recorded`` tells whether it is on record."""
        return self._value is not MISSING

    def unwrap(self) -> T:
        """Return what the function returned.

        Raises:
            RuntimeError: It did not run.
        """
        if self._value is MISSING:
            raise RuntimeError(f"expected a result, got none: the function did not run: {self.decision.reason}")
        return cast("T", self._value)

    def unwrap_or(self, default: T) -> T:
        """Return what the function returned, else the default."""
        return default if self._value is MISSING else cast("T", self._value)


class AuditError(errors.AuditError, RuntimeError):
    """An entry could not be recorded, and the policy's mode is HARD.

    Attributes:
        decision: The dropped decision; ``__cause__`` is what failed.
        result: Of a guarded function that ran all the same (``FAIL_OPEN``): ``result.unwrap()`` is
            what it returned, so that nobody has to run it again. Without a value where it did not.
    """

    def __init__(self, decision: Decision, result: Result[Any] | None = None) -> None:
        super().__init__(decision.reason)
        self.decision = decision
        self.result: Result[Any] = Result(decision) if result is None else result

    def __reduce__(self) -> Any:
        return type(self), (self.decision, self.result)
