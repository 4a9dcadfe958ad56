"""Ledgers for the tests: made with few words, and checked against the file's bytes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from otel_audit.attributes import audit_attributes
from otel_audit.environment import file_settings
from otel_audit.ledger import Ledger, Ticket
from otel_audit.line import Draft, encode
from otel_audit.record import Actor
from tests.chain import Line, check

ROOT = Path(__file__).parent.parent
FULL = os.environ.get("OTEL_AUDIT_TEST_FULL") == "1"
"""Where set, the tests with many processes write ten times as much."""

_ACTOR = Actor("agent", "service")


def ledger(path: str | Path, **settings: Any) -> Ledger:
    """Return a ledger that nothing was written to yet; durability is ``os`` unless given."""
    settings.setdefault("durability", "os")

    def describe() -> tuple[str, dict[str, object], dict[str, object]]:
        process: dict[str, object] = {"process.pid": os.getpid()}
        return "test", {"service.name": "test", **process}, process

    return Ledger(file_settings({}, path, **settings), describe, "0.0.0")


def draft(name: str = "test.event", size_bytes: int = 0) -> Draft:
    """Return the draft of an ordinary entry with its own id."""
    attributes = audit_attributes(str(uuid.uuid4()), _ACTOR, "EXECUTE", "success")
    if size_bytes:
        attributes["filler"] = "x" * size_bytes
    return encode(b'"%b"' % name.encode(), time.time_ns(), attributes, b"")


def sound(path: str | Path, tickets: Iterable[Ticket] = (), **how: Any) -> list[Line]:
    """Assert that a log is sound, by its bytes and by the verifier, and holds these tickets."""
    from otel_audit.reader import verify_log  # not in processes that only write

    lines = check(path, **how)
    by_seq = {line.seq: line for line in lines}
    for ticket in tickets:
        line = by_seq[ticket.seq]
        assert line.hash == ticket.hash
        assert line.end == ticket.end
        assert line.attributes["audit.record.id"] == ticket.draft.record_id
        assert line.attributes["audit.record.id"] != ""
    if how.get("mode", "chain") == "chain":
        report = verify_log(path)
        assert report.errors == ()
        assert report.entries == len(lines)
    return lines


def names(lines: Iterable[Line]) -> list[str]:
    """Return the event names, those of the log without ``audit.log.``."""
    return [line.name.removeprefix("audit.log.") for line in lines]


@contextlib.contextmanager
def closing(*ledgers: Ledger) -> Iterator[None]:
    """Close ledgers at the end, whatever they say to it."""
    try:
        yield
    finally:
        for one in ledgers:
            with contextlib.suppress(Exception):
                one.close()


def in_child(run: Callable[[], object], timeout_seconds: float = 8) -> str:
    """Fork, run a function in the child, and return what it returned or raised, as text.

    A child that hangs is killed, and fails the test.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            text = str(run())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            os.write(writer, text.encode()[:60_000])
        os._exit(0)
    os.close(writer)
    wait_for(pid, timeout_seconds)
    with os.fdopen(reader, "rb") as pipe:
        return pipe.read().decode()


def wait_for(pid: int, timeout_seconds: float = 8) -> int:
    """Reap a child and return its exit code; kill it and fail where it hangs."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"the child was still running after {timeout_seconds} s")


def spawn(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a Python process on code that can import the tests; its stdout is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def run(code: str, *arguments: object, timeout_seconds: float = 9, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a Python process to its end, as `spawn`."""
    process = spawn(code, *arguments, stderr=subprocess.PIPE, **options)
    try:
        out, error = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, error = process.communicate()
        raise AssertionError(f"still running after {timeout_seconds} s: {error}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def receipts(text: str) -> list[tuple[int, str]]:
    """Return the ``seq:hash`` lines that a process printed."""
    pairs = (line.split(":") for line in text.splitlines())
    return [(int(seq), digest) for seq, digest in pairs]


def none_missing(lines: Sequence[Line], acknowledged: Iterable[tuple[int, str]]) -> None:
    """Assert that each acknowledged entry stands in the log."""
    standing = {(line.seq, line.hash) for line in lines}
    missing = [receipt for receipt in acknowledged if receipt not in standing]
    assert missing == []
