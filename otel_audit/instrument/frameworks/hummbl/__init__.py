"""hummbl-governance: kill switches, circuit breakers, delegation tokens.

Each engagement, trip, recovery, issuance, use and revocation becomes one entry, which
`otel_audit.compat.hummbl.BusWriter` reads as a message to all. Here are the kill switch and what
the others share; they stand in `breaker` and `token`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit import semconv
from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.assemble import assemble
from otel_audit.record import Target

if TYPE_CHECKING:
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "hummbl-governance"
MODULE: Final = "hummbl_governance"
VERSIONS: Final = ">=1.5.1,<2"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_CHARS: Final = 2000
"""Of ids and reasons, which have a limit in the log that would refuse the entry."""

_KILL_SWITCH: Final = Target("KillSwitch", "kill_switch")


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes the entries of all three primitives."""

    logger: AuditLogger
    settings: FrameworkSettings

    def record(
        self, event_name: str, message_type: str, body: str, attributes: Mapping[str, object], **members: Any
    ) -> None:
        """Write one entry; durable on return.

        Raises:
            AuditError: It is not in the log, and failures are closed.
        """
        channel = self.logger.channel()
        if channel is not None:
            attributes = {semconv.HUMMBL_MESSAGE_TYPE: message_type, **attributes}
            record = assemble(channel, event_name, None, attributes=attributes, body=body, **members)
            self.logger.send(channel, record, self.settings.on_failure)

    def lost(self, time_ns: int, error: AuditError) -> None:
        """Count an entry that could not be written, where nobody can be told of it."""
        with suppress(AuditError):
            channel = self.logger.channel()
            if channel is not None:
                channel.provider.exporter.ledger.drops.add(time_ns, error)


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit every kill switch and token manager, and the circuit breakers made from now on.

    Raises:
        AuditConfigError: This version of hummbl-governance lacks a function that is wrapped.
    """
    from otel_audit.instrument.frameworks.hummbl import breaker, token

    kill_switch = import_module("hummbl_governance.kill_switch").KillSwitch
    recorder = Recorder(logger, settings)
    undo.callback(wrap(kill_switch, "engage", _engage(recorder)))
    undo.callback(wrap(kill_switch, "disengage", _disengage(recorder)))
    undo.callback(wrap(kill_switch, "check_task_allowed", _check(recorder)))
    breaker.instrument(recorder, undo)
    token.instrument(recorder, undo)


def short(value: object) -> str | None:
    """Return a text that fits into an id or a reason; None where there is none."""
    return value[:_MAX_CHARS] if isinstance(value, str) and value.strip() else None


def name_of(member: object) -> str:
    """Return the name of an enum's member; of anything else its text, as hummbl-governance takes it."""
    return str(getattr(member, "name", member))


def _engage(recorder: Recorder) -> Wrapper:
    """Engage first: a full disk must not keep anybody from stopping an agent. Then record, or raise."""

    def wrapper(wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        event = wrapped(*args, **kwargs)
        attributes: dict[str, object] = {
            semconv.HUMMBL_KILL_SWITCH_MODE: name_of(event.mode),
            semconv.HUMMBL_KILL_SWITCH_AFFECTED_TASKS: event.affected_tasks,
        }
        if event.failure_class is not None:
            attributes[semconv.HUMMBL_KILL_SWITCH_FAILURE_CLASS] = name_of(event.failure_class)
        recorder.record(
            semconv.EVENT_HUMMBL_KILL_SWITCH_ENGAGE,
            "KILL_SWITCH",
            f"engaged ({name_of(event.mode)}): {event.reason}",
            attributes,
            action="ENGAGE",
            actor=short(event.triggered_by),
            target=_KILL_SWITCH,
            reason=short(event.reason),
            timestamp_ns=_nanoseconds(event.timestamp),
        )
        return event

    return wrapper


def _disengage(recorder: Recorder) -> Wrapper:
    """Record first: what nobody recorded is not lifted."""

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        triggered_by = args[0] if args else kwargs.get("triggered_by")
        reason = args[1] if len(args) > 1 else kwargs.get("reason")
        if triggered_by is not None:
            mode = name_of(instance.mode)
            recorder.record(
                semconv.EVENT_HUMMBL_KILL_SWITCH_DISENGAGE,
                "KILL_SWITCH",
                f"disengaged from {mode}" + (f": {reason}" if reason else ""),
                {semconv.HUMMBL_KILL_SWITCH_MODE: mode},
                action="DISENGAGE",
                actor=short(triggered_by),
                target=_KILL_SWITCH,
                reason=short(reason),
            )
        return wrapped(*args, **kwargs)

    return wrapper


def _check(recorder: Recorder) -> Wrapper:
    """Record the decision before it is acted on. While nothing is engaged there is none to make."""

    def wrapper(wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        answer = wrapped(*args, **kwargs)
        allowed, mode = answer["allowed"], answer.get("mode", "unknown")
        if not allowed or mode != "DISENGAGED":
            task_type = short(args[0] if args else kwargs.get("task_type"))
            reason = answer.get("reason") or answer.get("note")
            recorder.record(
                semconv.EVENT_HUMMBL_KILL_SWITCH_CHECK,
                "KILL_SWITCH",
                f"task {'allowed' if allowed else 'refused'}: {reason}",
                {semconv.HUMMBL_KILL_SWITCH_MODE: mode},
                target=None if task_type is None else Target(task_type, "task"),
                decision="allow" if allowed else "block",
                reason=short(reason),
            )
        return answer

    return wrapper


def _nanoseconds(timestamp: str) -> int:
    return (datetime.fromisoformat(timestamp) - _EPOCH) // timedelta(microseconds=1) * 1000
