from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otel_audit.errors import AuditConfigError, AuditWriteError
from otel_audit.ledger import files


class TestOpenAppend:
    @pytest.mark.parametrize("mode", [0o600, 0o640])
    def test_a_new_file_has_the_mode_asked_for(self, tmp_path: Path, mode: int) -> None:
        """A new log has exactly the permissions of the setting."""
        before = os.umask(0o022)
        try:
            fd = files.open_append(str(tmp_path / "a.jsonl"), mode)
        finally:
            os.umask(before)
        assert stat.S_IMODE(os.fstat(fd).st_mode) == mode
        os.close(fd)

    def test_descriptors_append_and_are_not_inherited(self, tmp_path: Path) -> None:
        """The descriptor appends at the end always, and no program that is started inherits it."""
        fd = files.open_append(str(tmp_path / "a.jsonl"), 0o600)
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
        assert not os.get_inheritable(fd)
        os.close(fd)

    def test_an_existing_file_keeps_its_mode(self, tmp_path: Path) -> None:
        """Opening a log that exists changes nothing about it."""
        path = tmp_path / "a.jsonl"
        path.write_bytes(b"x")
        path.chmod(0o644)
        os.close(files.open_append(str(path), 0o600))
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert path.read_bytes() == b"x"

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        """A path that is a folder is a setting that is wrong."""
        with pytest.raises(AuditConfigError, match="expected a file, got a folder"):
            files.open_append(str(tmp_path), 0o600)

    def test_a_missing_folder_is_refused(self, tmp_path: Path) -> None:
        """A folder that does not exist is named, and not made."""
        with pytest.raises(AuditConfigError, match=r"the folder .*absent does not exist"):
            files.open_append(str(tmp_path / "absent" / "a.jsonl"), 0o600)
        assert list(tmp_path.iterdir()) == []

    def test_a_fifo_is_refused_at_once(self, tmp_path: Path) -> None:
        """A FIFO without a reader does not make the program hang."""
        path = str(tmp_path / "a.jsonl")
        os.mkfifo(path)
        with pytest.raises(AuditConfigError, match="expected a regular file"):
            files.open_append(path, 0o600)

    def test_a_socket_is_refused(self, tmp_path: Path) -> None:
        """A socket is no log."""
        path = str(tmp_path / "a.jsonl")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            with pytest.raises(AuditConfigError, match="expected a regular file"):
                files.open_append(path, 0o600)

    @pytest.mark.parametrize("device", ["/dev/full", "/dev/null"])
    def test_a_device_behind_a_link_is_refused(self, tmp_path: Path, device: str) -> None:
        """What a device swallows is no log, and no descriptor is left open."""
        path = tmp_path / "a.jsonl"
        path.symlink_to(device)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(AuditConfigError, match="expected a regular file"):
            files.open_append(str(path), 0o600)
        assert len(os.listdir("/proc/self/fd")) == before


class TestLock:
    def test_the_holder_is_named(self, tmp_path: Path) -> None:
        """A lock that another process holds too long is reported with that process's id."""
        path = tmp_path / "a.jsonl"
        code = (
            "import fcntl,sys; f = open(sys.argv[1], 'ab'); fcntl.flock(f, 2); print(1, flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline()
            fd = files.open_append(str(path), 0o600)
            started = time.monotonic()
            with pytest.raises(AuditWriteError, match=rf"locked by process {holder.pid} for more than 50 ms"):
                files.lock(fd, str(path), 50)
            assert 0.05 <= time.monotonic() - started < 2
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait(5)
            files.lock(fd, str(path), 50)
            other = os.open(path, os.O_RDWR)
            assert not files.try_lock(other)
            files.close(fd)
            os.close(other)

    def test_closing_unlocks_though_a_child_holds_the_same_file(self, tmp_path: Path) -> None:
        """A lock does not outlive its owner's close where a fork copied the open file."""
        path = str(tmp_path / "a.jsonl")
        fd = files.open_append(path, 0o600)
        assert files.try_lock(fd)
        copy = os.dup(fd)  # what a fork does
        files.close(fd)
        other = files.open_append(path, 0o600)
        assert files.try_lock(other)
        os.close(copy)
        os.close(other)


class TestWrite:
    def test_short_writes_are_continued(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write of which the system takes one byte at a time ends with all bytes in their order."""
        path = tmp_path / "a.jsonl"
        fd = files.open_append(str(path), 0o600)
        write = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:1]))
        files.write(fd, b"abcdef\n")
        assert path.read_bytes() == b"abcdef\n"
        os.close(fd)

    def test_no_byte_taken_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write that takes nothing ends with an error, never in a loop."""
        fd = files.open_append(str(tmp_path / "a.jsonl"), 0o600)
        monkeypatch.setattr(os, "write", lambda fd, data: 0)
        with pytest.raises(OSError, match="accepted no bytes"):
            files.write(fd, b"abc")
        os.close(fd)

    def test_a_file_size_limit_is_an_error(self, tmp_path: Path) -> None:
        """Over the limit of the file's size (RLIMIT_FSIZE) what fits is written, then EFBIG is raised."""
        code = (
            "import os, resource, sys\n"
            "from otel_audit.ledger import files\n"
            "fd = files.open_append(sys.argv[1], 0o600)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
            "try:\n    files.write(fd, b'x' * 20)\n"
            "except OSError as error:\n    print(error.errno)"
        )
        path = tmp_path / "a.jsonl"
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=9)
        assert done.stdout == f"{errno.EFBIG}\n"
        assert path.read_bytes() == b"x" * 10


class TestRead:
    def test_reads_end_with_the_file(self, tmp_path: Path) -> None:
        """A read beyond the end returns what is there."""
        path = tmp_path / "a.jsonl"
        path.write_bytes(b"0123456789")
        fd = files.open_append(str(path), 0o600)
        assert files.read(fd, 2, 5) == b"234"
        assert files.read(fd, 8, 100) == b"89"
        assert files.read(fd, 100, 200) == b""
        assert files.size(fd) == 10
        os.close(fd)


def test_an_abandoned_descriptor_points_at_nothing(tmp_path: Path) -> None:
    """What a child writes to a descriptor it let go of reaches no file."""
    path = tmp_path / "a.jsonl"
    fd = files.open_append(str(path), 0o600)
    files.abandon(fd)
    os.write(fd, b"x")
    assert path.read_bytes() == b""
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_the_identity_of_a_path_follows_what_it_names(tmp_path: Path) -> None:
    """A path that names nothing, or goes through a file, has no identity."""
    path = tmp_path / "a.jsonl"
    assert files.path_identity(str(path)) is None
    path.write_bytes(b"")
    fd = files.open_append(str(path), 0o600)
    assert files.path_identity(str(path)) == files.identity(fd)
    assert files.path_identity(str(path / "below.jsonl")) is None
    os.close(fd)


def test_an_interrupted_wait_for_the_lock_raises_at_once(tmp_path: Path) -> None:
    """A signal handler that raises ends the wait for a lock."""
    path = str(tmp_path / "a.jsonl")
    holder, fd = files.open_append(path, 0o600), files.open_append(path, 0o600)
    assert files.try_lock(holder)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            files.lock(fd, path, 8_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    os.close(holder)
    os.close(fd)
