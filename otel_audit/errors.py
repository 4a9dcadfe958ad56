"""The errors of this package.

::

    AuditError
    ├── AuditConfigError        a setting, or a log that does not fit it
    ├── AuditRecordError        a record that breaks the schema (ValueError, too)
    ├── AuditBlockedError       a policy said no; the action did not run
    ├── AuditWriteError         the entry is not as durable as was promised
    │   └── AuditLogPoisonedError   the log under this writer was cut or replaced
    └── AuditVerifyError        a log or a line that cannot be read
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .record import AuditReceipt, Decision


class AuditError(Exception):
    """Base of every error that this package raises."""


class AuditConfigError(AuditError):
    """A setting is wrong, or does not fit the log that exists. Nothing was written."""


class AuditRecordError(AuditError, ValueError):
    """A record breaks the schema (docs/format.md, "Values"). Nothing was written."""


class AuditBlockedError(AuditError):
    """A policy blocked the action. The decision is recorded; the action did not run.

    Attributes:
        decision: ``block``; ``error`` where the policy failed or gave no clear answer.
        reason: Why, as it is recorded; None where the policy gave none.
        receipt: Of the decision's entry; ``.recorded`` is False where it could not be written and
            failures are open.
    """

    def __init__(
        self,
        *args: object,
        decision: Decision = "block",
        reason: str | None = None,
        receipt: AuditReceipt | None = None,
    ) -> None:
        super().__init__(*args)
        self.decision = decision
        self.reason = reason
        self.receipt = receipt


class AuditWriteError(AuditError):
    """The entry is not as durable as the durability setting promises.

    The audited action has not run, and must not: nothing proves that it was recorded.
    """


class AuditLogPoisonedError(AuditWriteError):
    """The log was cut, replaced or overwritten while this process had it open.

    To go on would hide the change, so this writer refuses for the rest of its life.
    """


class AuditVerifyError(AuditError):
    """A log, or a line of it, cannot be read as one."""
