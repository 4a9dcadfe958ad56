"""What every test runs under: no settings from outside, nothing left behind, no silent skip."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from opentelemetry.context import Context, attach, get_current

from otel_audit import set_audit_provider
from tests.disk import mounted
from tests.optional import left_out

STRICT = os.environ.get("OTEL_AUDIT_TEST_STRICT") == "1"
"""Where set, a test that is skipped fails: continuous integration has all that the tests need."""

NOBODY = 65534

settings.register_profile("dev", deadline=None, max_examples=50)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=200,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure() -> None:
    """Drop the settings of the machine: each test makes its own. Only the service has a name."""
    for name in tuple(os.environ):
        if name.startswith("OTEL_") and not name.startswith("OTEL_AUDIT_TEST_"):
            del os.environ[name]
    os.environ["OTEL_SERVICE_NAME"] = "test"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what a run of all tests leaves out."""
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and (names := left_out()):
        terminalreporter.section("left out")
        for name in names:
            terminalreporter.line(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that does not state its fact."""
    silent = [item.nodeid for item in items if isinstance(item, pytest.Function) and not item.function.__doc__]
    if silent:
        raise pytest.UsageError("expected a docstring that states the fact, got none: " + ", ".join(silent))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Give each test an environment of its own, and fail it if it leaves a provider or an actor behind."""
    environ = dict(os.environ)
    yield
    provider = set_audit_provider(None)
    context = get_current()
    attach(Context())
    os.environ.clear()
    os.environ.update(environ)
    if provider is not None and not provider.is_shut_down:
        provider.shutdown()
        pytest.fail("the test left an audit provider open")
    assert not context, f"the test left an OpenTelemetry context attached: {context}"


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """Run the test without root's rights, which no permission stops; return a folder that is its own."""
    with tempfile.TemporaryDirectory(prefix="otel-audit-") as name:
        root = os.geteuid() == 0
        if root:
            os.chown(name, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a disk of 1 MiB; skip the test where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder):
        yield folder


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not STRICT or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: skipped where nothing may be: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skips itself."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that skips itself."""
    report = yield
    _fail_if_skipped(report)
    return report
