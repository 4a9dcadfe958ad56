"""Asks `probe` in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from otel_audit.doctor.probe import ANSWER
from otel_audit.doctor.program import Program

_TIMEOUT_SECONDS: Final = 60
_QUIET: Final = {
    "ANONYMIZED_TELEMETRY": "False",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "PYTHONWARNINGS": "ignore",
}
"""Importing a framework here tells nobody of it."""


class ChildError(Exception):
    """The interpreter did not answer; the text says why."""


def starter(program: Program) -> str | None:
    """Return the path of ``opentelemetry-instrument``, beside the interpreter or on the path; None without it."""
    beside = os.path.dirname(program.interpreter)
    return shutil.which("opentelemetry-instrument", path=beside) or shutil.which("opentelemetry-instrument")


def ask(program: Program, *question: str, environ: Mapping[str, str], start: bool = False) -> dict[str, Any]:
    """Return the answer of the program's interpreter.

    Args:
        program: Whose interpreter is asked.
        question: The arguments of `otel_audit.doctor.probe`.
        environ: The environment that the program would have.
        start: Whether to ask under ``opentelemetry-instrument``, as the program would run.

    Raises:
        ChildError: There was no answer.
    """
    command = [program.interpreter, "-m", "otel_audit.doctor.probe", *question]
    if start and (found := starter(program)) is not None:
        command = [found, *(f"--{name}={value}" for name, value in program.settings), *command]
    stdin, held = os.pipe()  # it ends with this process, however that ends
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that was asked about
            command,
            env={**environ, **_QUIET},
            stdin=stdin,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ChildError(f"no answer within {_TIMEOUT_SECONDS} s") from None
    except OSError as error:
        raise ChildError(f"cannot be started: {error.strerror}") from error
    finally:
        os.close(stdin)
        os.close(held)
    for line in reversed(done.stdout.decode("utf-8", "replace").splitlines()):
        if line.startswith(ANSWER):
            answer: dict[str, Any] = json.loads(line.removeprefix(ANSWER))
            return answer
    if b"No module named 'otel_audit'" in done.stderr:
        raise ChildError("it has no otel-audit, so nothing is audited there")
    raise ChildError(f"it ended with status {done.returncode} and without an answer")
