"""What is asked of the program's own interpreter, in a process of its own: ``python -m otel_audit.doctor.probe``.

``survey`` says what there is: versions, frameworks, functions. ``framework NAME`` imports one
framework and instruments it. Nothing is written to a log, and of the program nothing is run. It
ends when its stdin does, which whoever asks holds open.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from otel_audit import __version__
from otel_audit.environment import OTEL_AUDIT_FUNCTIONS
from otel_audit.errors import AuditConfigError

ANSWER: Final = "otel-audit-doctor:"
"""Before the answer, on a line of its own: what is imported may print, too."""


def survey(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what there is, as the program would find it; under ``opentelemetry-instrument``, whether it starts us.

    Args:
        arguments: The interpreter's for the program, as in ``sys.orig_argv``; empty: there is none.
    """
    from otel_audit.instrument.zero_code import STARTED, asked_frameworks, words

    try:
        from otel_audit.instrument import instrumentor
    except ModuleNotFoundError as error:
        return {**_versions(), "lacks": error.name}
    from otel_audit.doctor.startable import start_error
    from otel_audit.instrument.frameworks import FRAMEWORKS, load_framework

    sys.orig_argv[1:] = arguments or ["-m", "__main__"]  # where the program's folder is looked for
    frameworks = {}
    for name in sorted(FRAMEWORKS):
        module = load_framework(name)
        conflict = instrumentor.conflict_of(name)
        frameworks[name] = {
            "package": module.PACKAGE,
            "versions": module.VERSIONS,
            "installed": _version(module.PACKAGE),
            "supported": conflict is None,
        }
    return {
        **_versions(),
        "started": STARTED in os.environ,
        "asked_frameworks": asked_frameworks(),
        "frameworks": frameworks,
        "start_error": start_error(arguments),
        "functions": [{"name": name, "error": _function_error(name)} for name in words(OTEL_AUDIT_FUNCTIONS)],
    }


def framework(name: str) -> dict[str, Any]:
    """Import a framework, instrument it, and return what could not be."""
    from otel_audit.instrument.frameworks import FrameworkSettings, load_framework
    from otel_audit.instrument.frameworks.hook import later_modules
    from otel_audit.instrument.frameworks.missing import not_audited
    from otel_audit.pipeline.configuration import get_audit_logger

    module = load_framework(name)
    told: list[str] = []
    settings = FrameworkSettings(on_missing=lambda error: told.append(str(error)))
    try:
        importlib.import_module(module.MODULE)
        with ExitStack() as undo:
            module.instrument(get_audit_logger(f"otel_audit.{name}", __version__), settings, undo)
            for later in later_modules(name):
                if _exists(later):
                    importlib.import_module(later)
    except (AuditConfigError, ImportError, AttributeError) as error:
        told.append(str(not_audited(name, error)))
    except Exception as error:  # of the framework's own import
        told.append(f"{name} is not audited: importing {module.MODULE} raises {type(error).__name__}")
    return {"errors": told}


def _versions() -> dict[str, Any]:
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "otel_audit": __version__,
        "opentelemetry": _version("opentelemetry-sdk"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _function_error(text: str) -> str | None:
    from otel_audit.instrument.functions import function_name

    try:
        function_name(text).check()
    except AuditConfigError as error:
        return str(error)
    return None


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _end_with_stdin() -> None:
    """Watch stdin, and end at once where it ends; whatever else reads it finds nothing there."""
    watched = os.dup(0)
    with open(os.devnull, "rb") as null:
        os.dup2(null.fileno(), 0)

    def watch() -> None:
        while os.read(watched, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Answer on stdout, and end at once: exporters that others set up must not hold it up."""
    _end_with_stdin()
    kind, *rest = sys.argv[1:]
    answer = survey(rest) if kind == "survey" else framework(rest[0])
    sys.stdout.write(f"\n{ANSWER}{json.dumps(answer)}\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
