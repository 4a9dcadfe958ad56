"""Disks that are full, small or read-only, and paths that are no files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from otel_audit import AuditProvider
from otel_audit.errors import AuditConfigError, AuditError, AuditWriteError
from otel_audit.ledger import Ledger
from otel_audit.pipeline.exporter import AuditFileLogExporter
from tests.disk import PAGE_BYTES, fill, mounted
from tests.ledgers import closing, draft, ledger, names, none_missing, receipts, run, sound, spawn


class TestFullDisk:
    @pytest.mark.parametrize("durability", ["always", "interval", "os"])
    def test_filled_and_freed(self, disk: Path, durability: str) -> None:
        """On a full disk an append fails and is not acknowledged; once there is room it goes on, nothing fused."""
        path = disk / "a.jsonl"
        one = ledger(path, durability=durability)
        with closing(one):
            tickets = [one.append(draft()) for _ in range(3)]
            for size_bytes in (0, 3000, 100_000):
                filler = fill(disk)
                for _ in range(3):
                    with pytest.raises(AuditWriteError, match=r"a\.jsonl: .*No space left on device"):
                        for _ in range(50):  # what is left of the last page holds some
                            tickets.append(one.append(draft(size_bytes=size_bytes)))
                filler.unlink()
                tickets.append(one.append(draft(size_bytes=size_bytes)))
        sound(path, tickets)

    def test_filled_by_the_log_itself(self, disk: Path) -> None:
        """A log that fills its disk ends in a fragment, which is declared once there is room."""
        path = disk / "a.jsonl"
        (disk / "reserve").write_bytes(b"x" * 65536)
        one = ledger(path)
        tickets = []
        with closing(one):
            with pytest.raises(AuditWriteError, match="No space left"):
                while True:
                    tickets.append(one.append(draft(size_bytes=10_000)))
            (disk / "reserve").unlink()
            tickets.append(one.append(draft()))
        assert len(tickets) > 80
        assert names(sound(path, tickets))[-4:] == ["recovered", "opened", "test.event", "closed"]

    @pytest.mark.parametrize("form", ["emit", "aemit", "astart_action"])
    @pytest.mark.parametrize("durability", ["always", "interval", "os"])
    def test_closed_after_a_torn_append(self, disk: Path, durability: str, form: str) -> None:
        """A log that ends in a fragment when it is closed declares that, if there is room by then."""
        path = disk / "a.jsonl"
        provider = AuditProvider(AuditFileLogExporter(path, durability=durability))
        audit = provider.get_audit_logger("test")
        while not path.exists() or not 50 < -path.stat().st_size % PAGE_BYTES < 300:
            audit.emit("test.event", attributes={"filler": "x" * 100})
        filler = fill(disk)
        with pytest.raises(AuditWriteError, match="No space left"):
            if form == "emit":
                audit.emit("test.event", attributes={"filler": "x" * 500})
            else:
                asyncio.run(getattr(audit, form)("test.event", attributes={"filler": "x" * 500}))
        filler.unlink()
        provider.shutdown()
        assert names(sound(path))[-3:] == ["recovered", "opened", "closed"]

    def test_full_from_the_start(self, disk: Path) -> None:
        """A log that cannot be begun for want of room is begun once there is room."""
        path = disk / "a.jsonl"
        filler = fill(disk)
        one = ledger(path, durability="always")
        with closing(one):
            for _ in range(2):
                with pytest.raises(AuditWriteError, match="No space left"):
                    one.append(draft())
            filler.unlink()
            ticket = one.append(draft())
        sound(path, [ticket])

    def test_several_processes(self, disk: Path) -> None:
        """Processes that fill a disk together leave a log with every entry that they were promised."""
        path = disk / "a.jsonl"
        code = (
            "import sys\nfrom tests.ledgers import *\nfrom otel_audit.errors import AuditWriteError\n"
            "one = ledger(sys.argv[1])\n"
            "try:\n"
            "    while True:\n"
            "        t = one.append(draft(size_bytes=2000)); print(f'{t.seq}:{t.hash}')\n"
            "except AuditWriteError as error: assert 'No space' in str(error), error"
        )
        filler = disk / "reserve"
        filler.write_bytes(b"x" * 65536)
        processes = [spawn(code, path) for _ in range(3)]
        acknowledged = []
        for process in processes:
            acknowledged += receipts(process.communicate(timeout=9)[0])
            assert process.returncode == 0
        filler.unlink()
        one = ledger(path)
        ticket = one.append(draft())
        one.close()
        assert len(acknowledged) > 300
        none_missing(sound(path, [ticket]), acknowledged)

    def test_the_action_does_not_run(self, disk: Path) -> None:
        """With failures closed, an action whose intent cannot be written does not run."""
        path = disk / "a.jsonl"
        provider = AuditProvider(AuditFileLogExporter(path))
        ran = []
        filler = fill(disk)
        audit = provider.get_audit_logger("test")
        with pytest.raises(AuditWriteError, match="No space left"):
            for _ in range(50):
                with audit.start_action("test.action", phases="intent"):
                    ran.append(1)
        written = len(ran)
        filler.unlink()
        with audit.start_action("test.action", phases="intent"):
            ran.append(1)
        provider.shutdown()
        assert names(sound(path)).count("test.action") == len(ran) == written + 1

    @pytest.mark.parametrize("durability", ["always", "os"])
    def test_failures_open(self, disk: Path, durability: str) -> None:
        """With failures open, every lost record is counted, and the log says exactly how many were lost."""
        path = disk / "a.jsonl"
        provider = AuditProvider(AuditFileLogExporter(path, durability=durability), on_failure="open")
        audit = provider.get_audit_logger("test")
        lost = 0
        seqs = []
        for _ in range(3):
            filler = fill(disk)
            for _ in range(30):
                receipt = audit.emit("test.event")
                lost += not receipt.recorded
                seqs += [receipt.seq] * receipt.recorded
            filler.unlink()
            receipt = audit.emit("test.event")
            assert receipt.recorded
            seqs.append(receipt.seq)
        provider.shutdown()
        lines = sound(path)
        dropped = [line.attributes["audit.dropped.count"] for line in lines if line.name == "audit.log.dropped"]
        assert lost > 30
        assert sum(dropped) == lost
        assert lines[-1].attributes["audit.writer.dropped"] == lost
        assert [line.seq for line in lines if line.name == "test.event"] == seqs

    def test_a_limit_of_the_file_size(self, tmp_path: Path) -> None:
        """Beyond RLIMIT_FSIZE an append fails without killing the process; with room again it goes on."""
        path = tmp_path / "a.jsonl"
        done = run(
            "import resource, sys\nfrom tests.ledgers import *\nfrom otel_audit.errors import AuditWriteError\n"
            "one = ledger(sys.argv[1], durability='always')\n"
            "def emit(): t = one.append(draft(size_bytes=500)); print(f'{t.seq}:{t.hash}')\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
            "for _ in range(2):\n"
            "    try:\n"
            "        while True: emit()\n"
            "    except AuditWriteError as error: assert 'File too large' in str(error), error\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
            "emit(); one.close()",
            path,
        )
        assert done.returncode == 0, done.stderr
        acknowledged = receipts(done.stdout)
        assert len(acknowledged) > 3
        lines = sound(path)
        none_missing(lines, acknowledged)
        assert "recovered" in names(lines)
        assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN  # Python's own default


class TestPaths:
    """A path that is no log is an error before anything is acknowledged, and never a traceback of the system's."""

    def refused(self, path: Path, kind: type[AuditError], text: str) -> None:
        """Assert that no append is acknowledged."""
        one: Ledger = ledger(path, durability="always")
        for call in (one.open, lambda: one.append(draft())):
            with pytest.raises(kind, match=text):
                call()
        one.close()

    def test_dev_full(self, tmp_path: Path) -> None:
        """A device that is always full is no log."""
        (tmp_path / "a.jsonl").symlink_to("/dev/full")
        self.refused(tmp_path / "a.jsonl", AuditConfigError, "expected a regular file")

    def test_a_fifo(self, tmp_path: Path) -> None:
        """A FIFO is refused, and nobody waits for a reader."""
        os.mkfifo(tmp_path / "a.jsonl")
        self.refused(tmp_path / "a.jsonl", AuditConfigError, "expected a regular file")

    def test_a_socket(self, tmp_path: Path) -> None:
        """A socket is refused."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "a.jsonl"))
            self.refused(tmp_path / "a.jsonl", AuditConfigError, "expected a regular file")

    def test_a_folder(self, tmp_path: Path) -> None:
        """A folder is refused."""
        (tmp_path / "a.jsonl").mkdir()
        self.refused(tmp_path / "a.jsonl", AuditConfigError, "got a folder")

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        """A folder that is not there is not made."""
        self.refused(tmp_path / "absent" / "a.jsonl", AuditConfigError, "does not exist")
        assert list(tmp_path.iterdir()) == []

    def test_a_file_in_the_place_of_the_folder(self, tmp_path: Path) -> None:
        """A path that goes through a file is refused."""
        (tmp_path / "file").write_bytes(b"")
        self.refused(tmp_path / "file" / "a.jsonl", AuditConfigError, "a folder in its path is a file")

    @pytest.mark.parametrize("exists", [False, True])
    def test_a_read_only_disk(self, tmp_path: Path, exists: bool) -> None:
        """On a read-only disk every append fails."""
        with mounted(tmp_path, "size=1m") as folder:
            if exists:
                one = ledger(folder / "a.jsonl")
                one.append(draft())
                one.close()
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, timeout=9)
            self.refused(folder / "a.jsonl", AuditWriteError, "Read-only file system")

    def test_a_disk_that_becomes_read_only(self, tmp_path: Path) -> None:
        """A log whose disk becomes read-only fails closed, and goes on when it is writable again."""
        with mounted(tmp_path, "size=1m") as folder:
            path = folder / "a.jsonl"
            one = ledger(path)
            with closing(one):
                tickets = [one.append(draft())]
                fd = one._writer.file.fd  # type: ignore[union-attr]
                null = os.open(path, os.O_RDONLY)  # as the kernel does to descriptors of a failed disk
                os.dup2(null, fd)
                os.close(null)
                with pytest.raises(AuditWriteError, match="Bad file descriptor"):
                    one.append(draft())
                tickets.append(one.append(draft()))
            sound(path, tickets)

    def test_a_folder_that_nobody_may_write_to(self, tmp_path: Path) -> None:
        """A log that may not be made is an error that says so."""
        folder = tmp_path / "immutable"
        folder.mkdir()
        if subprocess.run(["chattr", "+i", str(folder)], capture_output=True, timeout=9).returncode:
            pytest.skip("chattr +i needs root and a file system that knows it")
        try:
            self.refused(folder / "a.jsonl", AuditWriteError, "not permitted|denied")
        finally:
            subprocess.run(["chattr", "-i", str(folder)], check=True, timeout=9)

    def test_a_folder_of_another_user(self, ordinary_user: Path) -> None:
        """A log in a folder without permission is an error that says so."""
        folder = ordinary_user / "closed"
        folder.mkdir(mode=0o500)
        self.refused(folder / "a.jsonl", AuditWriteError, "Permission denied")

    @pytest.mark.parametrize(
        "name", ["audit.log", ".jsonl", "a.000002.jsonl", "a.1234567.jsonl", "a\nb.jsonl", "a\\b.jsonl", "a.JSONL"]
    )
    def test_names(self, tmp_path: Path, name: str) -> None:
        """A name that a segment could have, or that a checksum file could not hold, is refused."""
        with pytest.raises(AuditConfigError, match="path: "):
            ledger(tmp_path / name)

    def test_no_descriptors_left(self, tmp_path: Path) -> None:
        """Where the process may open no more files, an append fails; later it works."""
        path = tmp_path / "a.jsonl"
        one = ledger(path)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.open(os.devnull, os.O_RDONLY))
            with pytest.raises(AuditWriteError, match="Too many open files"):
                one.append(draft())
        finally:
            for fd in held:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        ticket = one.append(draft())
        one.close()
        sound(path, [ticket])
