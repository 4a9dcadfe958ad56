"""An action that began and never ended, for people."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from otel_audit.cli.entry_text import MAX_VALUE_CHARACTERS
from otel_audit.cli.text import visible
from otel_audit.verify.unfinished import UnfinishedAction


def as_text(action: UnfinishedAction) -> Iterator[str]:
    """Yield the lines that tell who began what, upon what, when, in which trace."""
    told = [f"#{action.seq}", action.time, action.event_name, action.action or ""]
    if action.actor_id:
        told.append(f"by {_named(action.actor_id, action.actor_type)}")
    if len(action.delegation) > 1:
        told.append(f"for {' > '.join(action.delegation)}")
    if action.target_id:
        told.append(f"on {_named(action.target_id, action.target_type)}")
    if action.trace_id:
        told.append(f"trace {action.trace_id}")
    text = visible("  ".join(part for part in told if part))
    yield text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}…"
    yield from (f"  {line}" for line in state(action))


def state(action: UnfinishedAction) -> Iterator[str]:
    """Yield what is known of the process, and of the intent itself."""
    if action.voided:
        yield "voided: its caller was told that it could not be recorded"
    if action.writer_closed:
        yield "writer closed: the process ended in order, without a word on this action"
    elif action.writer_closed is False:
        yield visible(f"writer not closed: {_process(action)}")


def _process(action: UnfinishedAction) -> str:
    pid, host = action.process_pid, action.host_name
    if pid is None:
        return "its process is at work still, or was killed"
    running = _runs_here(pid) if host == socket.gethostname() else None
    if running is None:
        return f"process {pid}{f' on {host}' if host else ''} is at work still, or was killed"
    # Another process may have the number by now: only that none has it is certain.
    return f"a process {pid} runs on this host" if running else f"no process {pid} runs on this host"


def _runs_here(pid: int) -> bool | None:
    """Return whether there is a process of this number; None where that cannot be asked."""
    if os.name != "posix":
        return None  # on Windows the same call would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return None
    return True


def _named(identity: str, kind: str | None) -> str:
    return f"{identity} ({kind})" if kind else identity
