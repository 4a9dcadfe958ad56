from __future__ import annotations

import sys

import pytest

from otel_audit.errors import AuditConfigError
from otel_audit.interpreter import refuse_unsupported
from tests.ledgers import run

SUBINTERPRETER = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = '''
import sys
sys.path[:] = {path!r}
try:
    import otel_audit
except Exception as error:
    print(type(error).__name__, error, flush=True)
'''
child = interpreters.create()
run = getattr(interpreters, "exec", None) or interpreters.run_string
print(run(child, code.format(path=sys.path)))
interpreters.destroy(child)
"""


def test_a_subinterpreter_is_refused() -> None:
    """Importing the package in a real subinterpreter fails with a sentence that says what to do instead."""
    done = run(SUBINTERPRETER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("AuditConfigError otel_audit was imported in a subinterpreter")
    assert "main interpreter" in done.stdout


def test_the_main_interpreter_is_not() -> None:
    """An ordinary interpreter is accepted."""
    refuse_unsupported()


def test_no_global_interpreter_lock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the interpreter says that its lock is off, the package refuses to be imported."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(AuditConfigError, match="PYTHON_GIL=1"):
        refuse_unsupported()
