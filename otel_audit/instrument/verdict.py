"""What a policy's answer means: whether an action may run, and why."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple, cast

from otel_audit.attributes import MAX_ID_BYTES
from otel_audit.instrument.capture import TRUNCATED
from otel_audit.instrument.secrets import redact_text
from otel_audit.pipeline.action import error_type_of
from otel_audit.record import Decision
from otel_audit.semconv import DECISIONS

_ANSWERS: Final = (
    "True, False, 'allow', 'block', a reason to block, a (decision, reason) pair, "
    "or an object whose allowed or blocked is True or False"
)
_MAX_REASON_BYTES: Final = MAX_ID_BYTES - len(TRUNCATED)
_ABSENT: Final = object()


class UnclearAnswerError(TypeError):
    """An answer that does not say whether the action may run. Names types, and no values."""


class Verdict(NamedTuple):
    """What was decided.

    Attributes:
        decision: ``allow``, ``block``, ``error`` or ``override``.
        reason: Why; without what looks like a credential, and no longer than the format takes.
        error_type: Of the exception that the policy raised.
    """

    decision: Decision
    reason: str | None = None
    error_type: str | None = None

    @property
    def allows(self) -> bool:
        """Whether the action may run."""
        return self.decision in ("allow", "override")


def verdict_of(answer: object) -> Verdict:
    """Return what an answer means.

    Only what says so clearly allows. None, numbers and other values that are merely true or
    false are refused: a policy that forgot to answer must not let anything pass.

    Args:
        answer: True or False; a decision's name; another text: the reason to block; a pair of
            decision and reason; an object with ``allowed`` or ``blocked``, and perhaps ``reason``
            and ``message``.

    Raises:
        UnclearAnswerError: It is none of these, or contradicts itself.
    """
    decision = _decision(answer)
    if decision is not None:
        return Verdict(decision)
    if isinstance(answer, str) and answer.strip():
        return Verdict("block", _fit(answer))
    allowed = _allowed(answer)
    if allowed is not None:
        return Verdict("allow" if allowed else "block", _reason_of(answer))
    if isinstance(answer, tuple) and len(answer) == 2:
        decision = _decision(answer[0])
        if decision is not None:
            return Verdict(decision, _text(answer[1]))
    raise UnclearAnswerError(f"expected {_ANSWERS}, got {_named(answer)}")


def undecided(error: BaseException) -> Verdict:
    """Return the verdict of a policy that failed, or whose answer is not clear."""
    kind = error_type_of(error)
    reason = str(error) if type(error) is UnclearAnswerError else f"the policy raised {kind}"
    return Verdict("error", reason, kind)


def _decision(answer: object) -> Decision | None:
    if answer is True:
        return "allow"
    if answer is False:
        return "block"
    if isinstance(answer, str) and answer.lower() in DECISIONS:
        return cast("Decision", answer.lower())
    return None


def _allowed(answer: object) -> bool | None:
    """Return what ``allowed`` and ``blocked`` of an object say; None where it has neither."""
    given = {name: value for name in ("allowed", "blocked") if (value := getattr(answer, name, _ABSENT)) is not _ABSENT}
    for name, value in given.items():
        if value is not True and value is not False:
            raise UnclearAnswerError(f"expected {name} of {_named(answer)} to be True or False, got {_named(value)}")
    if len(given) == 2 and given["allowed"] is given["blocked"]:
        raise UnclearAnswerError(f"expected {_named(answer)} to be allowed or blocked, got {given['allowed']} for both")
    if "allowed" in given:
        return cast("bool", given["allowed"])
    return not given["blocked"] if given else None


def _reason_of(answer: object) -> str | None:
    reason, message = (_text(getattr(answer, name, None)) for name in ("reason", "message"))
    if reason and message and reason != message:
        return _fit(f"{reason}: {message}")
    return reason or message


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return _fit(str.__str__(value)) or None
    if isinstance(value, enum.Enum):
        return _fit(value.value if isinstance(value.value, str) else value.name)
    # Anything else would be told by its repr, which can hold what must not be recorded.
    return None if value is None else f"<{_named(value)}>"


def _fit(reason: str) -> str:
    reason = redact_text(reason[: 2 * MAX_ID_BYTES])
    data = reason.encode("utf-8", "replace")
    if len(data) <= MAX_ID_BYTES:
        return reason
    return data[:_MAX_REASON_BYTES].decode("utf-8", "ignore") + TRUNCATED


def _named(value: object) -> str:
    return "None" if value is None else type(value).__qualname__
