"""What of a program would be audited, asked of its own interpreter."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.instrumentation", reason="needs the extra 'instrument'")

from otel_audit.doctor.check import Check
from otel_audit.doctor.instrumentation import check_instrumentation, check_start
from otel_audit.doctor.program import Program

ORDERS = """
open('ran', 'w')
const = const_of = 5
made = print
class Till:
    limit: int = None
    pay = print
"""
OLD = "Metadata-Version: 2.1\nName: mcp\nVersion: 0.1\n"


@pytest.fixture(scope="module")
def program_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program, which would say that it runs, and its modules."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "agent.py").write_text("open('ran', 'w').close()\n")
    (folder / "tools.py").write_text("def refund(order): return order\n")
    return folder


def found(program: Program, **variables: str) -> list[Check]:
    """Return what is found of a program, with no framework unless asked for."""
    environ = {**os.environ, "OTEL_AUDIT_FRAMEWORKS": "none", "OTEL_TRACES_EXPORTER": "none", **variables}
    environ |= {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    return list(check_instrumentation(program, environ))


def told(checks: list[Check], topic: str) -> list[tuple[str, str, str]]:
    """Return state, subject and text of each check of a topic."""
    return [(check.state, check.subject, check.text) for check in checks if check.topic == topic]


@pytest.fixture(scope="module")
def checks(program_folder: Path) -> list[Check]:
    """What is found of the program, from another folder."""
    program = Program(sys.executable, (str(program_folder / "agent.py"),))
    return found(
        program,
        OTEL_AUDIT_FILE="audit.jsonl",
        OTEL_AUDIT_FRAMEWORKS="mcp, llama_index, nonsense",
        OTEL_AUDIT_FUNCTIONS="tools:refund,tools:refnd,agent:main,no.such.module:x,tools",
    )


def test_program(checks: list[Check], program_folder: Path) -> None:
    """A program under ``opentelemetry-instrument`` is started with the audit; it is not run."""
    assert [(state, subject) for state, subject, _ in told(checks, "environment")] == [
        ("ok", sys.executable),
        ("ok", "opentelemetry-instrument"),
    ]
    assert sorted(path.name for path in program_folder.iterdir()) == ["agent.py", "tools.py"]


def test_functions(checks: list[Check]) -> None:
    """Functions are looked for where the program would find them; one that is not there is a problem."""
    assert [(state, subject) for state, subject, _ in told(checks, "functions")] == [
        ("ok", "tools:refund"),
        ("problem", "tools:refnd"),
        ("problem", "agent:main"),
        ("problem", "no.such.module:x"),
        ("problem", "tools"),
    ]
    assert told(checks, "functions")[1][2] == "the module 'tools' has no 'refnd'"
    assert "is run as __main__" in told(checks, "functions")[2][2]


@pytest.mark.parametrize(
    ("name", "state", "text"),
    [
        ("const", "problem", "expected a function, got an object of type int"),
        ("Till.limit", "problem", "expected a function, got an object of type NoneType"),
        ("const_*", "problem", "the module 'shop.orders' has no 'const_*'"),
        ("made", "ok", "exists, as far as its source tells"),
        ("Till.pay", "ok", "exists, as far as its source tells"),
    ],
)
def test_no_function(folder: Path, name: str, state: str, text: str) -> None:
    """A name that is given a literal is a problem, as it is at the start; what the source does not tell is none."""
    (folder / "shop").mkdir()
    (folder / "shop" / "orders.py").write_text(ORDERS)
    checks = found(PROGRAM, OTEL_AUDIT_FILE="audit.jsonl", OTEL_AUDIT_FUNCTIONS=f"shop.orders:{name}")
    assert told(checks, "functions") == [(state, f"shop.orders:{name}", text)]
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "subject", "states"),
    [
        (("-m", "nosuchmodule"), "nosuchmodule", ["problem"]),
        (("-m", "nosuch.module"), "nosuch.module", ["problem"]),
        (("-m", "shop"), "shop", ["problem"]),
        (("-m", "shop.nosuch"), "shop.nosuch", ["problem"]),
        (("-m", "shop.orders"), "shop.orders", []),
        (("-m", "json.tool"), "json.tool", []),
        (("shop",), "shop", ["problem"]),
        (("nosuch.py",), "nosuch.py", ["problem"]),
        (("shop/orders.py",), "shop/orders.py", []),
    ],
)
def test_program_that_cannot_start(folder: Path, arguments: tuple[str, ...], subject: str, states: list[str]) -> None:
    """A file, folder or module that Python cannot start is a problem; no package is imported for that."""
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").write_text("open('ran', 'w')")
    (folder / "shop" / "orders.py").write_text("open('ran', 'w')")
    checks = found(Program(sys.executable, (*arguments, "argument")), OTEL_AUDIT_FILE="audit.jsonl")
    assert [state for state, about, _ in told(checks, "environment") if about == subject] == states
    assert not (folder / "ran").exists()


def test_module_is_looked_at_as_such(folder: Path) -> None:
    """A module that is run is found in its package, and no function can be named in it: it is not imported."""
    (folder / "shop" / "till").mkdir(parents=True)
    for name in ("orders.py", "till/__init__.py", "till/__main__.py"):
        (folder / "shop" / name).write_text("def pay(): ...")
    names = ("shop.orders", "shop.till", "shop.till.__main__")
    variables = {"OTEL_AUDIT_FILE": "a.jsonl", "OTEL_AUDIT_FUNCTIONS": ",".join(f"{name}:pay" for name in names)}
    for run, expected in (
        ("shop.orders", ["problem", "ok", "ok"]),
        ("shop.till", ["ok", "ok", "problem"]),
        ("shop.till.__main__", ["ok", "ok", "problem"]),
    ):
        checks = found(Program(sys.executable, ("-m", run)), **variables)
        assert [state for state, _, _ in told(checks, "functions")] == expected
        assert "problem" not in [state for state, _, _ in told(checks, "environment")]


def test_framework(checks: list[Check]) -> None:
    """A framework that is installed and named is instrumented, and told hook by hook; another one is a note."""
    [check] = [check for check in checks if check.subject == "mcp"]
    assert (check.state, check.details["asked"], check.details["errors"]) == ("ok", True, [])
    hooks = check.details["hooks"]
    assert isinstance(hooks, list)
    assert len(hooks) == len(check.lines)
    assert hooks[0]["event_name"] == "gen_ai.tool.execute"
    assert hooks[0]["stops"] is True
    assert "`" not in "".join(check.lines)
    assert [state for state, subject, _ in told(checks, "frameworks") if subject == "hummbl"] == ["note"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("llama_index", "llama-index-core is not installed"), ("nonsense", "unknown framework: expected 'all', or names")],
)
def test_named_and_not_there(checks: list[Check], name: str, text: str) -> None:
    """A framework that is named and not installed, or unknown, is a problem."""
    [(state, said)] = [(state, said) for state, subject, said in told(checks, "frameworks") if subject == name]
    assert state == "problem"
    assert said.startswith(text)


@pytest.mark.parametrize(
    ("arguments", "variables", "started", "text"),
    [
        (("-I", "agent.py"), {"OTEL_AUDIT_FILE": "a.jsonl"}, True, "cannot start the audit: with -E, -I or -S"),
        (("agent.py",), {}, True, "starts the audit, but only where one of its variables is set"),
        (("agent.py",), {"OTEL_AUDIT_FILE": "a.jsonl", "OTEL_SDK_DISABLED": "true"}, True, "OTEL_SDK_DISABLED=true"),
        (("agent.py",), {"OTEL_AUDIT_FILE": "a.jsonl"}, False, "does not reach the audit, and would run the program"),
        ((), {"OTEL_AUDIT_FILE": "a.jsonl"}, False, "does not reach the audit, and would run the program"),
    ],
)
def test_not_started(arguments: tuple[str, ...], variables: dict[str, str], started: bool, text: str) -> None:
    """What keeps the audit from being started is a problem."""
    check = check_start(Program(sys.executable, arguments), variables, started=started)
    assert (check.state, check.subject) == ("problem", "opentelemetry-instrument")
    assert check.text.startswith(text)


def test_nothing_asked() -> None:
    """Where neither a program nor a setting asks for it, it is a note."""
    for started in (True, False):
        assert check_start(Program(sys.executable), {}, started=started).state == "note"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


PROGRAM = Program(sys.executable, ("agent.py",))


def test_start_fails(folder: Path) -> None:
    """Where OpenTelemetry's own set-up fails, the start is not reached."""
    checks = found(PROGRAM, OTEL_AUDIT_FILE="audit.jsonl", OTEL_TRACES_EXPORTER="absent")
    assert told(checks, "environment")[1][0] == "problem"


def test_start_fails_by_option(folder: Path) -> None:
    """What an option of ``opentelemetry-instrument`` sets counts: its start is asked with it."""
    program = Program(sys.executable, PROGRAM.arguments, (("traces_exporter", "absent"),))
    assert "does not reach the audit" in told(found(program, OTEL_AUDIT_FILE="audit.jsonl"), "environment")[-1][2]


def test_no_such_option(folder: Path) -> None:
    """An option that ``opentelemetry-instrument`` does not have is a problem: it runs nothing."""
    [check] = found(Program(sys.executable, PROGRAM.arguments, (("no_such_option", "x"),)))
    assert (check.state, check.text) == ("problem", "it ended with status 2 and without an answer")


def test_path_taken_away() -> None:
    """A first line that takes ``PYTHONPATH`` out of the environment is told as what it is."""
    program = Program(sys.executable, ("agent.py",), loses_path=True)
    check = check_start(program, {"OTEL_AUDIT_FILE": "a.jsonl"}, started=True)
    assert (check.state, check.text) == (
        "problem",
        "cannot start the audit: the program's first line takes PYTHONPATH out of the environment",
    )


def test_old_version(folder: Path) -> None:
    """A version outside of the range is a problem, though it was not named."""
    (folder / "mcp-0.1.dist-info").mkdir()
    (folder / "mcp-0.1.dist-info" / "METADATA").write_text(OLD)
    checks = found(PROGRAM, OTEL_AUDIT_FRAMEWORKS="all", PYTHONPATH=str(folder))
    [check] = [check for check in checks if check.subject == "mcp"]
    assert (check.state, check.text) == ("problem", "mcp 0.1 is not audited: expected >=1.20,<3")


def test_target_gone(folder: Path) -> None:
    """A version without something that is wrapped is a problem that names it."""
    (folder / "mcp").mkdir()
    (folder / "mcp" / "__init__.py").touch()
    checks = found(PROGRAM, OTEL_AUDIT_FRAMEWORKS="mcp", PYTHONPATH=str(folder))
    [check] = [check for check in checks if check.subject == "mcp"]
    assert check.state == "problem"
    assert check.text.startswith("mcp is not audited: mcp.client cannot be imported (mcp 2")


def test_import_fails(folder: Path) -> None:
    """A framework that cannot even be imported is a problem; what its error says is not shown."""
    (folder / "mcp.py").write_text("raise RuntimeError('canary')\n")
    checks = found(PROGRAM, OTEL_AUDIT_FRAMEWORKS="mcp", PYTHONPATH=str(folder))
    assert told(checks, "frameworks")[-1] == (
        "problem",
        "mcp",
        "mcp is not audited: importing mcp raises RuntimeError",
    )


def test_interpreter_without_us(folder: Path) -> None:
    """An interpreter that has no otel-audit is the one problem."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    [check] = found(Program(str(python), ("agent.py",)))
    assert (check.state, check.text) == ("problem", "it has no otel-audit, so nothing is audited there")


def test_no_interpreter(folder: Path) -> None:
    """One that does not answer is a problem, with its status."""
    python = folder / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    [check] = found(Program(str(python), ("agent.py",)))
    assert (check.state, check.text) == ("problem", "it ended with status 3 and without an answer")
