"""Auditing switched on for code that is not edited."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from types import ModuleType
from typing import Any, Literal

import wrapt

from otel_audit import __version__
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.capture import names_to_capture
from otel_audit.instrument.frameworks import FRAMEWORKS, FrameworkSettings, load_framework
from otel_audit.instrument.functions import FunctionName, NamedFunctions, OnMissing, function_name
from otel_audit.pipeline.configuration import get_audit_logger

try:
    from opentelemetry.instrumentation.dependencies import get_dependency_conflicts
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
    _settings: tuple[tuple[FunctionName, ...], _Names, FrameworkSettings] | None = None

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
            check: Whether a function that is found nowhere is an error now, before its module is
                imported. Not in a process of which nobody knows whether it ever imports that module.
            on_missing: Told of a function that its module turns out not to have when it is imported
                later; None: the import raises `AuditConfigError`.
            **kwargs: What `BaseInstrumentor.instrument` takes.

        Raises:
            AuditConfigError: A function does not exist; a framework is unknown, not installed, or of
                a version that is not supported; or the call comes a second time with other settings. Nothing is
                instrumented then.
        """
        names: _Names
        if isinstance(frameworks, str):
            names = "all" if frameworks == "all" else (frameworks,)
        else:
            names = tuple(frameworks)
        named = tuple(function_name(text) for text in functions)
        settings = FrameworkSettings(
            capture=names_to_capture(capture), capture_result=capture_result, on_failure=on_failure
        )
        if self.is_instrumented_by_opentelemetry:
            # The base class only warns, and what was asked for second would go unaudited.
            if self._settings != (named, names, settings):
                raise AuditConfigError(
                    f"already instrumented: expected {self._settings}, got {(named, names, settings)}; "
                    "call uninstrument() first"
                )
            return
        super().instrument(
            functions=named, frameworks=names, settings=settings, check=check, on_missing=on_missing, **kwargs
        )
        self._settings = (named, names, settings)

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
            if names == "all":
                for name in sorted(FRAMEWORKS):
                    _instrument_when_imported(name, settings, undo, kwargs["on_missing"] or _raise)
            else:
                for name in names:
                    _instrument_framework(name, settings, undo, required=True)
        except BaseException:
            undo.close()
            raise

    def _uninstrument(self, **_kwargs: Any) -> None:
        self._undo.close()


def _instrument_when_imported(name: str, settings: FrameworkSettings, undo: ExitStack, on_missing: OnMissing) -> None:
    """Instrument a framework as soon as the program imports it: most programs use one of those installed."""
    enabled = True

    def stop() -> None:
        nonlocal enabled
        enabled = False

    def instrument(_module: ModuleType) -> None:
        if not enabled:
            return
        try:
            with ExitStack() as own:
                _instrument_framework(name, settings, own, required=False)
                undo.push(own.pop_all())
        except AuditConfigError as error:
            on_missing(error)

    undo.callback(stop)
    wrapt.register_post_import_hook(instrument, load_framework(name).MODULE)


def _raise(error: AuditConfigError) -> None:
    raise error


def _instrument_framework(name: str, settings: FrameworkSettings, undo: ExitStack, *, required: bool) -> None:
    framework = load_framework(name)
    conflict = get_dependency_conflicts([f"{framework.PACKAGE} {framework.VERSIONS}"])
    if conflict is not None:
        reason = f"{name} is not audited: expected {conflict.required}, got {conflict.found or 'none installed'}"
        if required:
            raise AuditConfigError(reason)
        if conflict.found:
            _log.warning(reason)
        return
    framework.instrument(get_audit_logger(f"otel_audit.{name}", __version__), settings, undo)
