"""The tree of errors."""

from __future__ import annotations

import inspect
import pickle

import pytest

from otel_audit import errors
from otel_audit.errors import (
    AuditBlockedError,
    AuditConfigError,
    AuditError,
    AuditLogPoisonedError,
    AuditRecordError,
    AuditVerifyError,
    AuditWriteError,
)

TREE = {
    AuditError: Exception,
    AuditConfigError: AuditError,
    AuditRecordError: AuditError,
    AuditBlockedError: AuditError,
    AuditWriteError: AuditError,
    AuditLogPoisonedError: AuditWriteError,
    AuditVerifyError: AuditError,
}


def test_tree() -> None:
    """Whoever catches `AuditError` catches all of them, and nothing else is in the module."""
    found = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    assert found == set(TREE)
    for kind, base in TREE.items():
        assert kind.__bases__[0] is base


def test_record_error_is_a_value_error() -> None:
    """A record that breaks the schema is a wrong value to those who know nothing of auditing."""
    assert issubclass(AuditRecordError, ValueError)


def test_drawn() -> None:
    """The tree is drawn at the top of the module, with each error in it."""
    assert errors.__doc__ is not None
    for kind in TREE:
        assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", TREE)
def test_pickle(kind: type[AuditError]) -> None:
    """Each error comes back from a worker process as it was."""
    error = pickle.loads(pickle.dumps(kind("a message")))
    assert type(error) is kind
    assert error.args == ("a message",)
