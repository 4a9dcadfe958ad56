"""What tests/conftest.py promises of every test, tried on small suites of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SKIPPED = '''
import pytest

def test_that_skips():
    """It skips."""
    pytest.skip("no strace here")
'''
SKIPPED_MODULE = """
import pytest

pytest.importorskip("no_such_module")
"""
SILENT = """
def test_without_a_word():
    assert True
"""
OPEN_PROVIDER = '''
import otel_audit

def test_that_configures(tmp_path):
    """It leaves a provider."""
    otel_audit.configure(tmp_path / "audit.jsonl")
'''
ATTACHED = '''
from opentelemetry import context

def test_that_attaches():
    """It leaves a context."""
    context.attach(context.set_value("actor", "ada"))
'''
ENVIRONMENT = '''
import os

def test_that_sets():
    """It sets a variable."""
    os.environ["OTEL_AUDIT_FILE"] = "left.jsonl"

def test_that_comes_after():
    """It does not see it, nor the settings of the machine."""
    assert not [name for name in os.environ if name.startswith("OTEL_AUDIT_")]
'''


def run_suite(folder: Path, suite: str, **environ: str) -> tuple[int, str]:
    """Run one module under our conftest; return exit status and output."""
    shutil.copy(CONFTEST, folder)
    (folder / "test_suite.py").write_text(suite, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTEST_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--rootdir", folder, folder],
        cwd=folder,
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("suite", "reason"), [(SKIPPED, "no strace here"), (SKIPPED_MODULE, "could not import 'no_such_module'")]
)
@pytest.mark.parametrize("strict", ["0", "1"])
def test_a_skip_fails_where_it_must_not_be(tmp_path: Path, suite: str, reason: str, strict: str) -> None:
    """With OTEL_AUDIT_TEST_STRICT=1 a test or module that skips itself fails; else its reason is shown."""
    status, output = run_suite(tmp_path, suite, OTEL_AUDIT_TEST_STRICT=strict)
    assert reason in output
    assert (status not in (0, 5)) == (strict == "1")
    assert ("skipped where nothing may be" in output) == (strict == "1")


@pytest.mark.parametrize(
    ("suite", "reason"),
    [
        (SILENT, "expected a docstring that states the fact"),
        (OPEN_PROVIDER, "the test left an audit provider open"),
        (ATTACHED, "the test left an OpenTelemetry context attached"),
    ],
)
def test_a_suite_that_breaks_a_rule_fails(tmp_path: Path, suite: str, reason: str) -> None:
    """A test without a docstring, or that leaves a provider or a context behind, fails with the reason."""
    status, output = run_suite(tmp_path, suite)
    assert status != 0
    assert reason in output


def test_variables_do_not_go_from_test_to_test(tmp_path: Path) -> None:
    """A variable that a test sets, or that the machine has, is not there in the next."""
    status, output = run_suite(tmp_path, ENVIRONMENT, OTEL_AUDIT_DURABILITY="os")
    assert status == 0, output
