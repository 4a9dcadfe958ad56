"""Auditing switched on for code that is not edited."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from typing import Any, Literal

from otel_audit import __version__
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.capture import names_to_capture
from otel_audit.instrument.frameworks import FRAMEWORKS, FrameworkSettings, load_framework
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
    _settings: tuple[_Names, FrameworkSettings] | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return no requirement: each framework's is checked where it is instrumented.

        A conflict reported here is only logged, and the program would run on unaudited.
        """
        return ()

    def instrument(
        self,
        *,
        frameworks: Iterable[str] | Literal["all"] = "all",
        capture: Collection[str] = (),
        capture_result: bool = False,
        on_failure: Literal["closed", "open"] | None = None,
        **kwargs: Any,
    ) -> None:
        """Put the wrappers in place.

        Args:
            frameworks: Names out of `FRAMEWORKS`, each of which must be installed; ``"all"`` for
                those that are.
            capture: Names of arguments to record, ``"*"`` for all but those that look secret;
                nothing of the arguments is recorded by default.
            capture_result: Whether results are recorded.
            on_failure: ``"closed"`` keeps the action from running when its intent cannot be
                written, ``"open"`` lets it run; None leaves it to the provider.
            **kwargs: What `BaseInstrumentor.instrument` takes.

        Raises:
            AuditConfigError: A framework is unknown, not installed, or of a version that is not
                supported; or the call comes a second time with other settings. Nothing is
                instrumented then.
        """
        names: _Names
        if isinstance(frameworks, str):
            names = "all" if frameworks == "all" else (frameworks,)
        else:
            names = tuple(frameworks)
        settings = FrameworkSettings(
            capture=names_to_capture(capture), capture_result=capture_result, on_failure=on_failure
        )
        if self.is_instrumented_by_opentelemetry:
            # The base class only warns, and what was asked for second would go unaudited.
            if self._settings != (names, settings):
                raise AuditConfigError(
                    f"already instrumented: expected {self._settings}, got {(names, settings)}; "
                    "call uninstrument() first"
                )
            return
        super().instrument(frameworks=names, settings=settings, **kwargs)
        self._settings = (names, settings)

    def _instrument(self, **kwargs: Any) -> None:
        names: _Names = kwargs["frameworks"]
        settings: FrameworkSettings = kwargs["settings"]
        with ExitStack() as undo:
            for name in sorted(FRAMEWORKS) if names == "all" else names:
                _instrument_framework(name, settings, undo, required=names != "all")
            self._undo = undo.pop_all()

    def _uninstrument(self, **_kwargs: Any) -> None:
        self._undo.close()


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
