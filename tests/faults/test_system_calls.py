"""System calls that really fail, one at a time: strace makes the kernel say so."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ledgers import FULL, ROOT, draft, ledger, names, none_missing, receipts, sound

WRITER = """
import os, sys
from otel_audit.errors import AuditWriteError
from tests.ledgers import draft, ledger

one = ledger(sys.argv[1], durability="always")
os.write(2, b"begin\\n")
failed = 0
for number in range(8):
    try:
        t = one.append(draft(f"test.{number}"))
    except AuditWriteError as error:
        failed += 1
        os.write(2, f"{error}\\n".encode())
    else:
        os.write(1, b"%d:%s\\n" % (t.seq, t.hash.encode()))
try:
    one.close()
except AuditWriteError:
    failed += 1
os._exit(failed)
"""


@pytest.fixture(scope="module", autouse=True)
def strace() -> str:
    """Return the path of strace; skip where it cannot trace."""
    found = shutil.which("strace")
    if found is None or sys.platform != "linux":
        pytest.skip("strace is not installed")
    done = subprocess.run([found, "-e", "trace=none", "true"], capture_output=True, text=True, timeout=9)
    if done.returncode:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    return found


def traced(strace: str, path: Path, call: str, fault: str, when: str) -> subprocess.CompletedProcess[str]:
    """Run the writer with a fault in calls on the log; calls on other files are not touched."""
    path.touch()  # so that strace knows the file
    command = [strace, "-f", "-qq", "-o", "/dev/null", "-P", str(path), "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:{fault}:when={when}", sys.executable, "-c", WRITER, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)


def carried_on(path: Path, acknowledged: list[tuple[int, str]]) -> list[str]:
    """Assert that no acknowledged entry is missing and that the next writer goes on; return the events."""
    one = ledger(path, durability="always")
    ticket = one.append(draft("test.next"))
    one.close()
    lines = sound(path, [ticket])
    none_missing(lines, acknowledged)
    void = {
        seq
        for line in lines
        if line.name == "audit.log.voided"
        for seq in range(line.attributes["audit.voided.first"], line.attributes["audit.voided.last"] + 1)
    }
    assert not void & {seq for seq, _ in acknowledged}
    return names(lines)


@pytest.mark.parametrize("when", ["1", "2", "4", "2+3"] if FULL else ["2", "2+3"])
@pytest.mark.parametrize(
    ("call", "errors"),
    [
        ("fdatasync", ["EIO", "ENOSPC", "EDQUOT"]),
        ("write", ["ENOSPC", "EIO", "EDQUOT", "EROFS"]),
        ("flock", ["ENOLCK", "EINTR", "EIO"]),
        ("lseek", ["EIO"]),
        ("pread64", ["EIO"]),
        ("openat", ["EACCES", "EMFILE", "ESTALE"]),
        ("fadvise64", ["EIO"]),
    ],
)
def test_a_call_that_fails(tmp_path: Path, strace: str, call: str, errors: list[str], when: str) -> None:
    """A call that fails loses no acknowledged entry, and the writer and the next one go on."""
    for error in errors:
        path = tmp_path / f"{error}.jsonl"
        done = traced(strace, path, call, f"error={error}", when)
        assert "begin" in done.stderr
        assert "Traceback" not in done.stderr
        acknowledged = receipts(done.stdout)
        assert len(acknowledged) + done.returncode >= 8, done.stderr
        if error == "EINTR":
            assert len(acknowledged) == 8  # it is tried again
        elif call in ("write", "fdatasync"):
            assert done.returncode  # the fault was met
        events = carried_on(path, acknowledged)
        if call == "fdatasync" and when == "2":
            assert "voided" in events


@pytest.mark.parametrize("call", ["write", "fdatasync", "flock", "lseek", "openat"])
@pytest.mark.parametrize("when", ["1", "2", "5", "8"] if FULL else ["2", "5"])
def test_a_kill_at_a_call(tmp_path: Path, strace: str, call: str, when: str) -> None:
    """A process that is killed as it makes a call leaves a log that has all that was acknowledged."""
    path = tmp_path / "a.jsonl"
    done = traced(strace, path, call, "signal=SIGKILL", when)
    assert "begin" in done.stderr
    if call in ("write", "fdatasync", "flock", "lseek"):
        assert done.returncode == -signal.SIGKILL
    carried_on(path, receipts(done.stdout))
