"""`BusWriter`: the interface of hummbl-governance's bus, on an audit log."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from otel_audit import __version__, semconv
from otel_audit.errors import AuditRecordError
from otel_audit.pipeline.assemble import assemble
from otel_audit.pipeline.logger import AuditLogger
from otel_audit.reader import read_log
from otel_audit.record import Actor, Target

from .bus_file import is_bus_file, read_bus_file
from .log import SCOPE, BusLog, log_exists
from .message import BROADCAST, RECIPIENT, Message, message_of, time_of
from .policy import BusPolicyError, PolicyLevel, policy_level, problem_of

_logger = logging.getLogger(__name__)

_WARN: Final = 13
_MAX_ACTOR: Final = 1024


# agents are few, and post often
_sender = functools.lru_cache(256)(Actor)


@functools.lru_cache(256)
def _recipient(to_id: str) -> Target:
    return Target(to_id, RECIPIENT)


class BusWriter:
    """An append-only bus of messages between agents: one sealed line each.

    Opens nothing until the first `post`. Safe to use from any number of threads and processes,
    and after a fork; it can be pickled. A bus file that hummbl-governance wrote is read as it
    is and never written to.

    Args:
        bus_path: The log: a name that ends in ``.jsonl``. Folders that are missing are made.
        policy: What is refused, see `PolicyLevel`.
        hmac_key_file: Signs each line with the key in this file; None: as
            ``OTEL_AUDIT_HMAC_KEY_FILE`` says. All other settings are those of `configure` where
            that has this very path, else those of the environment (docs/api.md, "Settings").

    Raises:
        AuditConfigError: The policy is none.
    """

    def __init__(
        self,
        bus_path: str | os.PathLike[str],
        *,
        policy: PolicyLevel = PolicyLevel.PERMISSIVE,
        hmac_key_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._bus_path = Path(bus_path)
        self._policy = policy_level(policy)
        self._key_file = None if hmac_key_file is None else os.path.abspath(hmac_key_file)
        self._log = BusLog(os.path.abspath(bus_path), self._policy, self._key_file)
        self._logger = AuditLogger(SCOPE, __version__, self._log.provider)

    @property
    def bus_path(self) -> Path:
        """The path, as given."""
        return self._bus_path

    @property
    def policy(self) -> PolicyLevel:
        """The policy level."""
        return self._policy

    def post(
        self,
        from_id: str,
        to_id: str,
        msg_type: str,
        message: str,
        *,
        timestamp: str | None = None,
        validate: bool = True,
    ) -> None:
        """Post one message; return once its line is as durable as the durability setting promises.

        By default that is after ``fdatasync``. The line carries the current span, and
        ``from_id`` as its actor.

        Args:
            from_id: Who sends.
            to_id: Who is to receive it; ``all`` for everybody.
            msg_type: ``STATUS``, ``SITREP``, ``DECISION``, …
            message: At most 64 KiB of text; kept as it is, line feeds and tabs included.
            timestamp: When it happened, in ISO 8601, UTC where it names no zone; now if None.
                When the line was written stands in it besides.
            validate: False takes empty fields, other types, and messages of any size, but for
                ``from_id`` and ``timestamp``: each line says who and when.

        Raises:
            AuditRecordError: A field is wrong; nothing was written. A `ValueError`, too.
            BusPolicyError: Likewise, with policy STRICT; the refusal was recorded.
            AuditWriteError: The message is not in the log.
            AuditConfigError: The log cannot be used as it is set up; nothing was written.
        """
        rare: dict[str, Any] = {}
        if validate or self._policy is not PolicyLevel.PERMISSIVE:
            problem = problem_of(from_id, to_id, msg_type, message)
            if problem is not None:
                rare = self._deal_with(problem, from_id, validate=validate)
        if not validate and (not isinstance(from_id, str) or not from_id.strip()):
            raise AuditRecordError(f"from_id: expected who sends, got {type(from_id).__name__} without a text")
        if timestamp is not None:
            rare["timestamp_ns"] = time_of(timestamp)
        channel = self._log.channel()
        target = _recipient(to_id) if type(to_id) is str else Target(to_id, RECIPIENT)
        # as `AuditLogger.emit` does: half the time of a post is Python's, and this one is called the most
        record = assemble(
            channel,
            semconv.EVENT_HUMMBL_MESSAGE,
            None,
            "SEND",
            "success",
            _sender(from_id),
            target,
            {semconv.HUMMBL_MESSAGE_TYPE: msg_type},
            body=message,
            **rare,
        )
        self._logger.send(channel, record)

    def append(self, agent: str, action: str, resource: str, *, to_id: str = BROADCAST) -> None:
        """Post ``action:resource`` as a message of type LOG. Raises what `post` raises."""
        self.post(agent, to_id, "LOG", f"{action}:{resource}")

    def write(self, actor: str, action: str, scope: str, *, to_id: str = BROADCAST) -> None:
        """Post ``action:scope`` as a message of type LOG. Raises what `post` raises."""
        self.post(actor, to_id, "LOG", f"{action}:{scope}")

    def read_all(self) -> list[Message]:
        """Return all messages, in the order of the log; none where there is no file yet.

        Reads, and does not verify: ``otel-audit verify`` does.

        Raises:
            AuditVerifyError: The file cannot be read.
        """
        return list(self._messages())

    def read_since(self, timestamp: str | None = None, *, since: str | None = None) -> list[Message]:
        """Return the messages of this time and later, in the order of the log.

        The log is read lazily: memory is needed for what is returned only.

        Args:
            timestamp: ISO 8601, UTC where it names no zone.
            since: The same, under the name that hummbl-governance has for it.

        Raises:
            AuditRecordError: It is no such time. A `ValueError`, too.
            AuditVerifyError: The file cannot be read.
        """
        if (timestamp is None) == (since is None):
            raise TypeError("read_since: expected one of timestamp and since")
        first_ns = time_of(timestamp or since or "")
        return [message for message in self._messages() if message.time_ns >= first_ns]

    def message_count(self) -> int:
        """Return how many messages there are.

        Raises:
            AuditVerifyError: The file cannot be read.
        """
        return sum(1 for _ in self._messages())

    def close(self) -> None:
        """Close the log; a later post opens it again. At exit this is done of itself.

        Not while another thread posts to the same path. A log that `configure` opened stays open.
        """
        self._log.close()

    def __reduce__(self) -> Any:
        again = functools.partial(type(self), policy=self._policy, hmac_key_file=self._key_file)
        return again, (str(self._bus_path),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._bus_path)!r}, policy={self._policy})"

    def _messages(self) -> Iterator[Message]:
        path = self._log.path
        if is_bus_file(path):
            yield from read_bus_file(path)
        elif log_exists(path):
            for entry in read_log(path):
                message = message_of(entry)
                if message is not None:
                    yield message

    def _deal_with(self, problem: str, from_id: object, *, validate: bool) -> dict[str, Any]:
        """Raise for a message whose fields are wrong, or return how to mark it."""
        if self._policy is PolicyLevel.STRICT:
            self._logger.emit(
                semconv.EVENT_HUMMBL_REFUSE,
                action="SEND",
                actor=from_id if isinstance(from_id, str) and 0 < len(from_id) <= _MAX_ACTOR else None,
                decision="block",
                reason=problem,
            )
            raise BusPolicyError(f"{problem}; refused by policy STRICT")
        if validate:
            raise AuditRecordError(problem)
        _logger.warning("%s: %s", self._log.path, problem)
        return {"reason": problem, "severity_number": _WARN, "severity_text": "WARN"}
