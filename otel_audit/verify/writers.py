"""Which writers had a log open, and closed it, or took entries back.

An entry names its process in ``resource`` and not its writer, whose ``audit.writer.id`` stands
only in the log's own entries. So both are brought together by what the resource says of the
process (docs/format.md, "Entries about the log itself").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from otel_audit import semconv

_PROCESS: Final = ("service.instance.id", semconv.PROCESS_PID, semconv.HOST_NAME)


@dataclass(slots=True)
class Writers:
    """Told of the log's own entries in their order; remembers who has it open.

    Attributes:
        whole: It is told of all of them, from the first on.
    """

    whole: bool = True

    _open: dict[str, tuple[int, Mapping[str, object]]] = field(default_factory=dict)
    _voided: list[tuple[int, int]] = field(default_factory=list)

    def note(self, event_name: str, seq: int, attributes: Mapping[str, object], resource: Mapping[str, object]) -> None:
        """Take an entry; others than ``opened``, ``closed`` and ``voided`` mean nothing here."""
        if event_name == semconv.LOG_VOIDED:
            first, last = attributes.get(semconv.AUDIT_VOIDED_FIRST), attributes.get(semconv.AUDIT_VOIDED_LAST)
            if type(first) is int and type(last) is int:
                self._voided.append((first, last))
            return
        writer_id = attributes.get(semconv.AUDIT_WRITER_ID)
        if not isinstance(writer_id, str):
            return
        if event_name == semconv.LOG_OPENED:
            # The same writer names itself again at the head of each segment that it begins.
            self._open.setdefault(writer_id, (seq, resource))
        elif event_name == semconv.LOG_CLOSED:
            self._open.pop(writer_id, None)

    def voided(self, seq: int) -> bool:
        """Return whether the caller of an entry was told that it could not be made durable."""
        return any(first <= seq <= last for first, last in self._voided)

    def closed(self, seq: int, resource: Mapping[str, object]) -> bool | None:
        """Return whether the writer of an entry closed the log after it.

        Args:
            seq: The entry's.
            resource: The entry's.

        Returns:
            None where the entry does not tell which process wrote it, and where that process may
            have opened the log before the part that is known.
        """
        process = {name: resource[name] for name in _PROCESS if name in resource}
        if not process.keys() & {"service.instance.id", semconv.PROCESS_PID}:
            return None
        if any(
            opened < seq and all(whole.get(name) == value for name, value in process.items())
            for opened, whole in self._open.values()
        ):
            return False
        return True if self.whole else None
