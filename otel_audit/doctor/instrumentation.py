"""What of a program would be audited: the start, the frameworks with their hooks, the functions that are named."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from otel_audit.doctor.check import Check, State
from otel_audit.doctor.child import ChildError, ask, starter
from otel_audit.doctor.program import Program
from otel_audit.environment import (
    OTEL_AUDIT_FILE,
    OTEL_AUDIT_FRAMEWORKS,
    OTEL_AUDIT_FUNCTIONS,
)
from otel_audit.instrument.frameworks.hook import load_hooks

_AT_ONCE: Final = 2
"""Importing a framework takes a second or more of a processor."""


def check_instrumentation(program: Program, environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield what a program would get that is run with this environment. The program is not run.

    Args:
        program: Whose interpreter, folder and modules are looked at.
        environ: Its environment.
    """
    try:
        found = ask(program, "survey", *program.arguments, environ=environ, start=True)
    except ChildError as error:
        yield Check("environment", "problem", program.interpreter, str(error))
        return
    versions = {name: found[name] for name in ("python", "otel_audit", "opentelemetry")}
    said = f"Python {found['python']}, otel-audit {found['otel_audit']}, OpenTelemetry {found['opentelemetry']}"
    yield Check("environment", "ok", program.interpreter, said, versions)
    if "lacks" in found:
        text = f"{found['lacks']} is not installed, so only what is written in code is audited: "
        state: State = "problem" if program.arguments or _is_asked(environ) else "note"
        yield Check("environment", state, "instrumentation", f"{text}pip install 'otel-audit[instrument]'")
        return
    script = program.script
    if script is not None and not os.path.exists(script):
        yield Check("environment", "problem", script, "expected the program's file, got a path where there is none")
    elif found["start_error"] is not None:
        yield Check("environment", "problem", program.name or program.interpreter, found["start_error"])
    yield check_start(program, environ, started=found["started"])
    yield from _frameworks(program, environ, found)
    yield from _functions(found["functions"])


def check_start(program: Program, environ: Mapping[str, str], *, started: bool) -> Check:
    """Say whether the program would be audited without a change to it."""
    asked = _is_asked(environ)
    wanted = asked or bool(program.arguments)
    subject = "opentelemetry-instrument"
    details = {"reached": started, "asked": asked}
    if starter(program) is None:
        text = "is not installed, so a program is audited only by its own code: pip install opentelemetry-distro"
        return Check("environment", "problem" if program.arguments else "note", subject, text, details)
    if program.ignores_environment:
        why = "with -E, -I or -S the interpreter does not look at the environment"
        if program.loses_path:
            why = "the program's first line takes PYTHONPATH out of the environment"
        text = f"cannot start the audit: {why}"
        return Check("environment", "problem", subject, text, details)
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        text = "OTEL_SDK_DISABLED=true switches the audit log off, too: unset it"
        return Check("environment", "problem", subject, text, details)
    if not started:
        text = (
            "does not reach the audit, and would run the program unaudited: where OpenTelemetry's own set-up fails, "
            "as without the exporters that it looks for, nothing else is called"
        )
        return Check("environment", "problem" if wanted else "note", subject, text, details)
    if not asked:
        text = f"starts the audit, but only where one of its variables is set: set {OTEL_AUDIT_FILE}"
        return Check("environment", "problem" if program.arguments else "note", subject, text, details)
    return Check("environment", "ok", subject, "starts the audit before the program", details)


def _is_asked(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in (OTEL_AUDIT_FILE, OTEL_AUDIT_FUNCTIONS, OTEL_AUDIT_FRAMEWORKS))


def _frameworks(program: Program, environ: Mapping[str, str], found: Mapping[str, Any]) -> Iterator[Check]:
    asked, frameworks = found["asked_frameworks"], found["frameworks"]
    names = sorted(frameworks) if asked == "all" else asked
    for name in [name for name in names if name not in frameworks]:
        known = ", ".join(sorted(frameworks))
        yield Check("frameworks", "problem", name, f"unknown framework: expected 'all', or names out of {known}")
    here = [name for name in sorted(frameworks) if frameworks[name]["installed"] is not None]
    tried = [name for name in here if name in names and frameworks[name]["supported"]]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(tried, pool.map(lambda name: _errors(program, name, environ), tried), strict=True))
    for name in sorted(frameworks):
        facts = frameworks[name]
        package, version = facts["package"], facts["installed"]
        details = {**facts, "asked": name in names}
        if version is None:
            if asked != "all" and name in names:
                yield Check("frameworks", "problem", name, f"{package} is not installed", details)
        elif name not in names:
            text = f"{package} {version} is installed, and {OTEL_AUDIT_FRAMEWORKS} does not name it"
            yield Check("frameworks", "note", name, text, details)
        elif not facts["supported"]:
            text = f"{package} {version} is not audited: expected {facts['versions']}"
            yield Check("frameworks", "problem", name, text, details)
        else:
            yield _framework(name, answers[name], details)
    if not here:
        yield Check("frameworks", "note", "none", "no framework that can be audited is installed")


def _errors(program: Program, name: str, environ: Mapping[str, str]) -> list[str]:
    try:
        return [str(error) for error in ask(program, "framework", name, environ=environ)["errors"]]
    except ChildError as error:
        return [f"{name} cannot be tried: {error}"]


def _framework(name: str, errors: list[str], details: dict[str, object]) -> Check:
    hooks = load_hooks(name)
    details = {
        **details,
        "errors": errors,
        "hooks": [
            {"event_name": hook.event_name, "act": hook.act, "hook": hook.hook, "stops": hook.stops, "note": hook.note}
            for hook in hooks
        ],
    }
    if errors:
        return Check("frameworks", "problem", name, "; ".join(errors), details)
    lines = []
    for hook in hooks:
        stops = {True: "can be stopped", False: "cannot be stopped", None: "nothing to stop"}[hook.stops]
        note = f"; {hook.note}" if hook.note else ""
        lines.append(f"{hook.act} ({stops}{note}): {hook.hook}".replace("`", ""))
    text = f"{details['package']} {details['installed']}, tried with {details['versions']}; audited:"
    return Check("frameworks", "ok", name, text, details, tuple(lines))


def _functions(functions: list[dict[str, str | None]]) -> Iterator[Check]:
    for function in functions:
        name, error = str(function["name"]), function["error"]
        if error is None:
            yield Check("functions", "ok", name, "exists, as far as its source tells", {"exists": True})
        else:
            yield Check("functions", "problem", name, error.removeprefix(f"{name}: "), {"exists": False})
