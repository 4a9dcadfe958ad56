"""Auditing switched on for code that is not edited."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import replace
from types import ModuleType
from typing import Any, Literal

from otel_audit import __version__
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.capture import names_to_capture
from otel_audit.instrument.frameworks import FRAMEWORKS, FrameworkSettings, load_framework
from otel_audit.instrument.frameworks.missing import not_audited
from otel_audit.instrument.functions import FunctionName, NamedFunctions, OnMissing, function_name
from otel_audit.instrument.import_hooks import when_imported
from otel_audit.pipeline.configuration import get_audit_logger

try:
    from opentelemetry.instrumentation.dependencies import DependencyConflict, get_dependency_conflicts
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "AuditInstrumentor needs opentelemetry-instrumentation: pip install 'otel-audit[instrument]'",
        name=error.name,
    ) from error

_log = logging.getLogger(__name__)

_Names = tuple[str, ...] | Literal["all"]


class AuditInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the base is untyped
    """Audits what frameworks do, without a change to the program that uses them.

    ::

        otel_audit.configure("audit.jsonl")
        AuditInstrumentor().instrument(frameworks=["mcp"])

    There is one instance in a process. Not thread-safe: instrument at start, before servers
    and sessions are made.
    """

    _undo: ExitStack
    _settings: tuple[tuple[FunctionName, ...], _Names, FrameworkSettings, bool] | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return no requirement: each framework's is checked where it is instrumented.

        A conflict reported here is only logged, and the program would run on unaudited.
        """
        return ()

    def instrument(
        self,
        *,
        functions: Iterable[str] = (),
        frameworks: Iterable[str] | Literal["all"] = "all",
        capture: Collection[str] = (),
        capture_result: bool = False,
        on_failure: Literal["closed", "open"] | None = None,
        genai_spans: bool = False,
        check: bool = True,
        on_missing: OnMissing | None = None,
        **kwargs: Any,
    ) -> None:
        """Put the wrappers in place.

        Args:
            functions: ``pkg.mod:function``, ``pkg.mod:Class.method``, ``pkg.mod:Class`` for its public
                methods, ``pkg.mod:tool_*`` for those that match, ``pkg.mod.*`` for all public ones
                that the module itself defines. A module that is imported later is instrumented then.
            frameworks: Names out of `FRAMEWORKS`, each of which must be installed; ``"all"`` for
                those that are.
            capture: Names of arguments to record, ``"*"`` for all but those that look secret;
                nothing of the arguments is recorded by default.
            capture_result: Whether results are recorded.
            on_failure: ``"closed"`` keeps the action from running when its intent cannot be
                written, ``"open"`` lets it run; None leaves it to the provider.
            genai_spans: Whether the spans that other instrumentations for generative AI open in the
                global tracer provider are recorded, as by `GenAISpanProcessor`.
            check: Whether a function that is found nowhere, or a framework that is not installed, is an
                error now. Not in a process of which nobody knows whether it ever imports that module.
            on_missing: Told of a function or a framework that turns out, when it is imported later, to
                be one that cannot be audited; frameworks are not imported for it then. None: the import
                of a function raises `AuditConfigError`; a framework out of ``"all"``, or any with
                failures open, is a warning.
            **kwargs: What `BaseInstrumentor.instrument` takes.

        Raises:
            AuditConfigError: A function does not exist; a framework that is named is unknown, not installed, of
                a version that is not supported, or, with failures closed, without something that is wrapped; or the
                call comes a second time with other settings. Nothing is instrumented then.
        """
        names: _Names
        if isinstance(frameworks, str):
            names = "all" if frameworks == "all" else (frameworks,)
        else:
            names = tuple(frameworks)
        named = tuple(function_name(text) for text in functions)
        settings = FrameworkSettings(
            capture=names_to_capture(capture),
            capture_result=capture_result,
            on_failure=on_failure,
            on_missing=on_missing,
        )
        if self.is_instrumented_by_opentelemetry:
            # The base class only warns, and what was asked for second would go unaudited.
            if self._settings != (named, names, settings, genai_spans):
                raise AuditConfigError(
                    f"already instrumented: expected {self._settings}, got {(named, names, settings, genai_spans)}; "
                    "call uninstrument() first"
                )
            return
        super().instrument(
            functions=named,
            frameworks=names,
            settings=settings,
            genai_spans=genai_spans,
            check=check,
            on_missing=on_missing,
            **kwargs,
        )
        self._settings = (named, names, settings, genai_spans)

    def _instrument(self, **kwargs: Any) -> None:
        names: _Names = kwargs["frameworks"]
        settings: FrameworkSettings = kwargs["settings"]
        functions = NamedFunctions(
            kwargs["functions"],
            kwargs["on_missing"] or _raise,
            capture=settings.capture,
            capture_result=settings.capture_result,
            on_failure=settings.on_failure,
        )
        undo = self._undo = ExitStack()
        try:
            undo.callback(functions.uninstrument)
            functions.instrument(check=kwargs["check"])
            if kwargs["check"]:
                undo.callback(atexit.unregister, functions.report_pending)
                atexit.register(functions.report_pending)
            on_missing: OnMissing | None = kwargs["on_missing"]
            if kwargs["genai_spans"]:
                from otel_audit.instrument import genai_spans

                genai_spans.instrument(settings.on_failure, undo, on_missing)
            if on_missing is None:
                settings = replace(settings, on_missing=_warn if names == "all" else _refuse(settings))
            for name in sorted(FRAMEWORKS) if names == "all" else names:
                if names != "all":
                    _check_version(name, installed=kwargs["check"])
                if names == "all" or on_missing is not None:
                    _instrument_when_imported(name, settings, undo)
                else:
                    _instrument_framework(name, settings, undo)
        except BaseException:
            undo.close()
            raise

    def _uninstrument(self, **_kwargs: Any) -> None:
        self._undo.close()


def _instrument_when_imported(name: str, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Instrument a framework as soon as the program imports it: most programs use one of those installed."""

    def instrument(_module: ModuleType) -> None:
        conflict = conflict_of(name)
        if conflict is None:
            _instrument_framework(name, settings, undo)
        elif conflict.found:  # else a module of the program's own that has the same name
            _tell(settings, AuditConfigError(_unsupported(name, conflict)))

    undo.callback(when_imported(load_framework(name).MODULE, instrument))


def _instrument_framework(name: str, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Instrument a framework, or nothing of it: half of its acts in a log would pass for all of them."""
    try:
        with ExitStack() as own:
            load_framework(name).instrument(get_audit_logger(f"otel_audit.{name}", __version__), settings, own)
            undo.push(own.pop_all())
    except (AuditConfigError, ImportError, AttributeError) as error:
        told = not_audited(name, error)
        if told is not error:
            told.__cause__ = error
        _tell(settings, told)


def _raise(error: AuditConfigError) -> None:
    raise error


def _warn(error: AuditConfigError) -> None:
    _log.warning(str(error))


def _tell(settings: FrameworkSettings, error: AuditConfigError) -> None:
    assert settings.on_missing is not None
    settings.on_missing(error)


def _refuse(settings: FrameworkSettings) -> OnMissing:
    """Return what is told of a framework that was asked for by name: only with failures open the program goes on."""

    def refuse(error: AuditConfigError) -> None:
        channel = get_audit_logger(__name__, required=False).channel()
        set_for_all = "closed" if channel is None else channel.provider.on_failure
        (_warn if (settings.on_failure or set_for_all) == "open" else _raise)(error)

    return refuse


def _check_version(name: str, *, installed: bool) -> None:
    """Refuse a framework that was asked for by name, where it cannot be audited.

    Args:
        name: The framework's.
        installed: Whether it has to be there at all.
    """
    conflict = conflict_of(name)
    if conflict is not None and (installed or conflict.found):
        raise AuditConfigError(_unsupported(name, conflict))


def conflict_of(name: str) -> DependencyConflict | None:
    """Return what is wrong with the installed version of a framework; None where it can be audited."""
    framework = load_framework(name)
    return get_dependency_conflicts([f"{framework.PACKAGE} {framework.VERSIONS}"])


def _unsupported(name: str, conflict: DependencyConflict) -> str:
    return f"{name} is not audited: expected {conflict.required}, got {conflict.found or 'none installed'}"
