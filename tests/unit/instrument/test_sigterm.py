"""A program that leaves SIGTERM alone, and one that does not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_audit import read_log, verify_log

HEAD = """
import os, signal, sys, threading
from otel_audit.instrument.sigterm import close_at_sigterm
def say(word):
    os.write(1, word.encode() + b"\\n")
def close():
    say(f"closed by {os.getpid() == pid}")
pid = os.getpid()
"""
KILL = "os.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()\n"


def run(program: str, *arguments: str) -> tuple[int, list[str], str]:
    """Run a program to its end; return its status, what it said, and its errors."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_closes_and_dies_of_it() -> None:
    """The log is closed, and the process has still died of SIGTERM, without exit hooks."""
    program = "import atexit; atexit.register(say, 'exit')\nclose_at_sigterm(close)\n" + KILL
    assert run(program) == (-signal.SIGTERM, ["closed by True"], "")


def test_dies_where_closing_fails() -> None:
    """An error while the log is closed does not keep the process alive."""
    status, _, _ = run("close_at_sigterm(lambda: 1 / 0)\n" + KILL)
    assert status == -signal.SIGTERM


def test_waits_for_what_it_interrupts() -> None:
    """A main thread that holds what closing needs goes on until it lets go, and nothing hangs."""
    program = """
lock = threading.Lock()
def close():
    with lock:
        say("closed")
close_at_sigterm(close)
with lock:
    os.kill(os.getpid(), signal.SIGTERM)
    say("goes on")
signal.pause()
"""
    assert run(program) == (-signal.SIGTERM, ["goes on", "closed"], "")


def test_the_second_signal_ends_it_at_once() -> None:
    """A second SIGTERM does not wait for a log that cannot be closed."""
    program = """
def close():
    say("closing")
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
close_at_sigterm(close)
"""
    assert run(program + KILL) == (-signal.SIGTERM, ["closing"], "")


@pytest.mark.parametrize("handler", ["lambda *_: say('own') or os._exit(3)", "signal.SIG_IGN"])
def test_leaves_a_handler_alone(handler: str) -> None:
    """Who handles or ignores SIGTERM already goes on doing so."""
    program = f"own = {handler}\nsignal.signal(signal.SIGTERM, own)\nclose_at_sigterm(close)\n"
    program += "assert signal.getsignal(signal.SIGTERM) is own\n"
    assert run(program) == (0, [], "")


def test_a_handler_that_comes_later() -> None:
    """A program that sets its own handler has it; what was there before it can be put back, as servers do."""
    program = """
close_at_sigterm(close)
before = signal.signal(signal.SIGTERM, lambda *_: say("own"))
os.kill(os.getpid(), signal.SIGTERM)
signal.signal(signal.SIGTERM, before)
"""
    assert run(program + KILL) == (-signal.SIGTERM, ["own", "closed by True"], "")


def test_not_outside_of_the_main_thread() -> None:
    """In another thread, which may set no handler, nothing happens."""
    program = """
thread = threading.Thread(target=close_at_sigterm, args=(close,))
thread.start()
thread.join()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
"""
    assert run(program) == (0, [], "")


def test_forked_children() -> None:
    """A forked child closes what is its own."""
    program = """
close_at_sigterm(close)
child = os.fork()
if not child:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
    assert run(program) == (0, ["closed by False", str(-signal.SIGTERM)], "")


def test_in_the_middle_of_an_append(tmp_path: Path) -> None:
    """Signals at any moment of a loop of appends leave an intact log whose last entry says that it was closed."""
    program = """
import otel_audit
from otel_audit.pipeline.configuration import shut_down_at_exit
otel_audit.configure(sys.argv[1])
close_at_sigterm(shut_down_at_exit)
audit = otel_audit.get_audit_logger("test")
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2]))
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
while True:
    try:
        audit.emit("step")
    except otel_audit.AuditWriteError:
        signal.pause()
"""
    for number in range(8):
        path = tmp_path / f"audit-{number}.jsonl"
        status, said, errors = run(program, str(path), str(0.02 + number * 0.0013))
        assert (status, said) == (-signal.SIGTERM, []), errors
        assert verify_log(path).intact
        *_, last = read_log(path)
        assert last.event_name == "audit.log.closed"
