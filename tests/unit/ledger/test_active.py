"""What stands in the file when the log is opened, and what becomes of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_audit.errors import AuditConfigError, AuditLogPoisonedError, AuditWriteError
from otel_audit.ledger import Ledger
from tests import logs
from tests.chain import check
from tests.ledgers import closing, draft, in_child, ledger, names, none_missing, receipts, sound, spawn

KEY = b"0123456789abcdef"


def made(path: Path, count: int = 2, **settings: Any) -> bytes:
    """Return the bytes of a log that a ledger wrote."""
    one = ledger(path, **settings)
    for _ in range(count):
        one.append(draft())
    one.close()
    return path.read_bytes()


@pytest.fixture
def keyed(tmp_path: Path) -> dict[str, Any]:
    """Return the setting of a key."""
    (tmp_path / "key").write_bytes(KEY)
    return {"hmac_key_file": str(tmp_path / "key")}


class TestSettings:
    @pytest.mark.parametrize("first", ["chain", "hash", "none", "key"])
    @pytest.mark.parametrize("then", ["chain", "hash", "none", "key", "other key"])
    def test_settings_that_do_not_fit(self, tmp_path: Path, first: str, then: str) -> None:
        """A log is carried on with its own mode and key only; else nothing is written."""
        (tmp_path / "key").write_bytes(KEY)
        (tmp_path / "other key").write_bytes(KEY[::-1])
        path = tmp_path / "a.jsonl"

        def settings(word: str) -> dict[str, Any]:
            return {"hmac_key_file": str(tmp_path / word)} if "key" in word else {"integrity": word}

        before = made(path, **settings(first))
        if first == then:
            made(path, **settings(then))
            sound(path, mode="chain" if "key" in then else then, key=KEY if "key" in then else None)
            return
        one = ledger(path, **settings(then))
        for _ in range(2):
            with pytest.raises(AuditConfigError, match=r"expected .*, got .*; nothing was written"):
                one.append(draft())
        with pytest.raises(AuditConfigError):
            one.open()
        one.close()
        assert path.read_bytes() == before

    @pytest.mark.parametrize("end", [b"\n", b""])
    def test_a_log_of_another_version(self, tmp_path: Path, end: bytes) -> None:
        """A log of another format version is refused, its last LF there or not."""
        path = tmp_path / "a.jsonl"
        content = b'{"seq":1,"new":true,"attributes":{"audit.format.version":"2"}}' + end
        path.write_bytes(content)
        with pytest.raises(AuditConfigError, match="expected format version 1, got '2'"):
            ledger(path).append(draft())
        assert path.read_bytes() == content

    @pytest.mark.parametrize("mode", ["hash", "none"])
    def test_a_first_line_of_another_mode_without_its_line_feed(self, tmp_path: Path, mode: str) -> None:
        """A log that says another mode in a line without LF is refused."""
        path = tmp_path / "a.jsonl"
        content = logs.log(1, mode=mode)[0]
        path.write_bytes(content)
        with pytest.raises(AuditConfigError, match="expected integrity 'chain'"):
            ledger(path).append(draft())
        assert path.read_bytes() == content

    @pytest.mark.parametrize("content", [b"\n", b"hello\n", b"x", b"\0" * 4096, b'{"level":"info"}\n', b"[]\n"])
    def test_another_file(self, tmp_path: Path, content: bytes) -> None:
        """A file that is no audit log is left alone."""
        path = tmp_path / "a.jsonl"
        path.write_bytes(content)
        with pytest.raises(AuditConfigError, match="not an audit log"):
            ledger(path).append(draft())
        assert path.read_bytes() == content

    def test_a_last_entry_without_a_hash(self, tmp_path: Path) -> None:
        """Nothing is chained to an entry whose seal was taken off."""
        path = tmp_path / "a.jsonl"
        lines = made(path).splitlines(keepends=True)
        bare = lines[-1][: lines[-1].index(b',"prev_hash"')] + b"}\n"
        content = b"".join([*lines[:-1], bare])
        path.write_bytes(content)
        with pytest.raises(AuditConfigError, match="expected a hash in the last entry"):
            ledger(path).append(draft())
        assert path.read_bytes() == content


class TestWhatStands:
    def test_an_empty_file_begins_a_log(self, tmp_path: Path) -> None:
        """An empty file is a log that has not begun."""
        path = tmp_path / "a.jsonl"
        path.write_bytes(b"")
        made(path, 1)
        assert names(sound(path)) == ["opened", "test.event", "closed"]

    def test_each_opening_says_so(self, tmp_path: Path) -> None:
        """A log that is opened again goes on with its stream id and chain, and says opened again."""
        path = tmp_path / "a.jsonl"
        before = made(path, 1)
        after = made(path, 1)
        assert after.startswith(before)
        lines = sound(path)
        assert names(lines) == ["opened", "test.event", "closed"] * 2
        writers = [line.attributes["audit.writer.id"] for line in lines if "audit.writer.id" in line.attributes]
        assert writers[0] == writers[1] != writers[2] == writers[3]

    def test_a_last_line_that_lacks_its_line_feed(self, tmp_path: Path) -> None:
        """A valid last entry gets the LF that it lacks; nothing is declared."""
        path = tmp_path / "a.jsonl"
        before = made(path)[:-1]
        path.write_bytes(before)
        made(path, 1)
        assert path.read_bytes().startswith(before + b"\n")
        assert names(sound(path)) == ["opened", "test.event", "test.event", "closed", "opened", "test.event", "closed"]

    def test_a_first_line_that_lacks_its_line_feed(self, tmp_path: Path) -> None:
        """The first opened is carried on where only its LF is missing."""
        path = tmp_path / "a.jsonl"
        first = made(path).split(b"\n", 1)[0]
        path.write_bytes(first)
        made(path, 1)
        assert path.read_bytes().startswith(first + b"\n")
        assert names(sound(path)) == ["opened", "opened", "test.event", "closed"]

    @pytest.mark.parametrize("part", range(6))
    def test_the_first_line_torn_anywhere(self, tmp_path: Path, part: int) -> None:
        """A first line that was cut at any byte is kept, and the next opened declares it."""
        path = tmp_path / "a.jsonl"
        whole = made(path).split(b"\n", 1)[0]
        for cut in range(1 + part, len(whole), 6):
            path.write_bytes(whole[:cut])
            one = ledger(path)
            ticket = one.append(draft())
            one.close()
            assert path.read_bytes().startswith(whole[:cut] + b"\n")
            lines = sound(path, [ticket]) if cut % 50 == 0 else check(path)
            assert names(lines) == ["opened", "test.event", "closed"]

    @pytest.mark.parametrize("part", range(6))
    def test_a_later_line_torn_anywhere(self, tmp_path: Path, part: int) -> None:
        """A later line that was cut at any byte is kept, and declared as recovered."""
        path = tmp_path / "a.jsonl"
        lines = made(path).splitlines(keepends=True)
        head, torn = b"".join(lines[:2]), lines[2][:-1]
        for cut in range(1 + part, len(torn), 6):
            path.write_bytes(head + torn[:cut])
            one = ledger(path)
            ticket = one.append(draft())
            one.close()
            assert path.read_bytes().startswith(head + torn[:cut] + b"\n")
            found = sound(path, [ticket]) if cut % 50 == 0 else check(path)
            assert names(found) == ["opened", "test.event", "recovered", "opened", "test.event", "closed"]

    @pytest.mark.parametrize(
        "garbage",
        [
            b"garbage",
            b"garbage\n",
            b"\n",
            b"\n\n\n",
            b"\0" * 3000,
            b"\0" * 3000 + b"\n",
            b"\xff\xfe\n{}\n\n",
            b"x" * 5_242_880,
            b"x" * 5_242_880 + b"\n",
            (b"x" * 1000 + b"\n") * 5243,
            b'{"seq":5,"time":"2026-11-22T',
            b"\r\n",
        ],
        ids=range(12),
    )
    def test_a_tail_of_anything(self, tmp_path: Path, garbage: bytes) -> None:
        """Whatever stands behind the last entry is one fragment, kept and declared."""
        path = tmp_path / "a.jsonl"
        before = made(path) + garbage
        path.write_bytes(before)
        one = ledger(path)
        ticket = one.append(draft())
        one.close()
        assert path.read_bytes().startswith(before)
        assert sound(path, [ticket])[4].name == "audit.log.recovered"

    def test_a_crash_in_the_middle_of_recovery(self, tmp_path: Path) -> None:
        """A recovery that was cut at any byte leaves a longer fragment, which is declared likewise."""
        path = tmp_path / "a.jsonl"
        before = made(path) + b"torn"
        path.write_bytes(before)
        made(path, 1)
        whole = path.read_bytes()
        first_end = whole.index(b"\n", len(before) + 1) + 1
        for cut in (*range(len(before), first_end, 40), first_end - 1, first_end):
            path.write_bytes(whole[:cut])
            made(path, 1)
            assert path.read_bytes().startswith(whole[: cut - 1])
            assert "recovered" in names(check(path))

    @pytest.mark.parametrize("mode", ["hash", "none"])
    def test_other_modes_recover_too(self, tmp_path: Path, mode: str) -> None:
        """Torn tails are declared in the modes without a chain."""
        path = tmp_path / "a.jsonl"
        path.write_bytes(made(path, integrity=mode)[:-9])
        made(path, 1, integrity=mode)
        assert "recovered" in names(sound(path, mode=mode))

    def test_a_keyed_log_recovers(self, tmp_path: Path, keyed: dict[str, Any]) -> None:
        """A torn tail of a log with a key is declared, and a missing LF checked against the key."""
        path = tmp_path / "a.jsonl"
        for cut in (1, 9, 80, 160):
            path.write_bytes(made(path, **keyed)[:-cut])
            made(path, 1, **keyed)
        assert names(sound(path, key=KEY)).count("recovered") == 3

    def test_an_append_only_file(self, tmp_path: Path) -> None:
        """A file with the append-only attribute is written to, and its torn tail recovered."""
        path = tmp_path / "a.jsonl"
        path.write_bytes(made(path) + b"torn")
        with _attribute(path, "a"):
            with pytest.raises(PermissionError):
                os.truncate(path, 0)
            made(path, 1)
        assert "recovered" in names(sound(path))

    def test_a_file_that_nobody_may_change(self, tmp_path: Path) -> None:
        """A file with the immutable attribute is an error before anything is acknowledged."""
        path = tmp_path / "a.jsonl"
        before = made(path)
        with _attribute(path, "i"), pytest.raises(AuditWriteError, match="not permitted"):
            ledger(path).append(draft())
        assert path.read_bytes() == before


class TestPoison:
    """A log that was changed under its writer is never written to again by this process."""

    def refused(self, path: Path, one: Ledger, *, drop: bool = False) -> None:
        """Assert that nothing is written any more, for good."""
        before = path.read_bytes() if path.exists() else None
        for _ in range(3):
            with pytest.raises(AuditLogPoisonedError, match=r"a\.jsonl: "):
                one.append(draft())
        with pytest.raises(AuditLogPoisonedError):
            one.append_all([draft()])
        with pytest.raises(AuditLogPoisonedError):
            one.open()
        one.close()
        assert (path.read_bytes() if path.exists() else None) == before

    @pytest.fixture(params=["always", "interval", "os"])
    def durability(self, request: pytest.FixtureRequest) -> str:
        """Return each durability."""
        return str(request.param)

    def opened(self, path: Path, durability: str) -> Ledger:
        """Return a ledger that has written, and looks at the path again at the next append."""
        one = ledger(path, durability=durability, sync_interval_millis=1)
        for _ in range(3):
            one.append(draft())
        file = one._writer.file
        assert file is not None
        file.checked_ns = 0
        return one

    @pytest.mark.parametrize("how", ["replaced", "deleted", "moved", "folder"])
    def test_another_path(self, tmp_path: Path, durability: str, how: str) -> None:
        """A log that was replaced, deleted or moved away is not carried on, at the path or elsewhere."""
        folder = tmp_path / "logs"
        folder.mkdir()
        path = folder / "a.jsonl"
        one = self.opened(path, durability)
        before = path.read_bytes()
        kept = tmp_path / "kept"
        os.link(path, kept)
        if how == "folder":
            folder.rename(tmp_path / "away")
        else:
            path.unlink()
        if how == "replaced":
            path.write_bytes(before)
        self.refused(path, one)
        assert kept.read_bytes() == before

    @pytest.mark.parametrize("left", [0, 1, "line", "inside", "last byte"])
    def test_a_cut_log(self, tmp_path: Path, durability: str, left: int | str) -> None:
        """A log that was cut, to nothing, at a line or inside one, is not carried on."""
        path = tmp_path / "a.jsonl"
        one = self.opened(path, durability)
        data = path.read_bytes()
        border = data.rindex(b"\n", 0, len(data) - 1) + 1
        size = {"line": border, "inside": border + 20, "last byte": len(data) - 1}.get(str(left), left)
        os.truncate(path, int(size))
        self.refused(path, one)

    @pytest.mark.parametrize("integrity", ["chain", "hash"])
    def test_an_overwritten_line_that_was_carried_on(self, tmp_path: Path, durability: str, integrity: str) -> None:
        """A last line that was rewritten, with more behind it, is not carried on."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability=durability, integrity=integrity)
        one.append(draft("some.event"))
        with path.open("r+b") as file:
            data = file.read()
            start = data.index(b"\n") + 1
            line = data[start:-1]
            forged = line.replace(b"some.event", b"else.event")
            prefix = forged[: forged.rindex(b',"hash"')]
            forged = _resealed(prefix)
            assert len(forged) == len(line)
            file.seek(start)
            file.write(forged + b"\n")
            file.write(_next_line(forged, integrity) + b"\n")
        self.refused(path, one)

    def test_a_foreign_entry(self, tmp_path: Path, durability: str) -> None:
        """An entry that does not follow on from this writer's own is not carried on."""
        path = tmp_path / "a.jsonl"
        one = self.opened(path, durability)
        with path.open("ab") as file:
            file.write(logs.seal(logs.entry(5), "0" * 64) + b"\n")
        self.refused(path, one)

    def test_a_child_is_poisoned_too(self, tmp_path: Path, durability: str) -> None:
        """A child of a process whose log was cut does not carry it on."""
        path = tmp_path / "a.jsonl"
        one = self.opened(path, durability)
        os.truncate(path, path.read_bytes().rindex(b"\n", 0, -1) + 1)
        before = path.read_bytes()
        answers = {in_child(lambda: one.append(draft()))}
        with pytest.raises(AuditLogPoisonedError):
            one.append(draft())
        answers.add(in_child(lambda: one.append(draft())))
        assert {answer.split(":")[0] for answer in answers} == {"AuditLogPoisonedError"}
        assert path.read_bytes() == before
        one.close()

    @pytest.mark.parametrize("change", ["cut", "overwritten", "replaced", "gone", "empty"])
    def test_a_log_changed_between_failure_and_reopening(
        self, tmp_path: Path, durability: str, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A log that was changed while this writer had it closed is not carried on."""
        path = tmp_path / "a.jsonl"
        one = self.opened(path, durability)
        assert one.force_flush()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _no_space)
            with pytest.raises(AuditWriteError, match="No space left"):
                one.append(draft())
        data = path.read_bytes()
        if change == "cut":
            os.truncate(path, data.rindex(b"\n", 0, -1) + 1)
        elif change == "overwritten":
            with path.open("r+b") as file:
                file.seek(len(data) - 20)
                file.write(b"0000")
        elif change == "empty":
            os.truncate(path, 0)
        else:
            path.unlink()
            if change == "replaced":
                path.write_bytes(data[:-100])
        self.refused(path, one)


def _next_line(line: bytes, mode: str) -> bytes:
    return logs.seal(logs.entry(3), logs.hash_of(line), mode=mode)


def _resealed(prefix: bytes) -> bytes:
    return prefix + b',"hash":"%b"}' % hashlib.sha256(prefix).hexdigest().encode()


def _no_space(fd: int, data: bytes) -> int:
    raise OSError(28, "No space left on device")


class TestFailuresBeforeTheFirstEntry:
    def test_a_log_that_another_began(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A first write that failed leaves nothing to insist on: another may begin the log meanwhile."""
        path = tmp_path / "a.jsonl"
        one, other = ledger(path), ledger(path)
        with closing(one, other):
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", _no_space)
                with pytest.raises(AuditWriteError, match="No space left"):
                    one.append(draft())
            tickets = [other.append(draft()), one.append(draft())]
        sound(path, tickets)

    def test_a_torn_first_line_that_another_declared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who saw only a fragment, and failed, takes the stream id from whoever declared it."""
        path = tmp_path / "a.jsonl"
        path.write_bytes(b'{"seq":1,"time":')
        one, other = ledger(path), ledger(path)
        with closing(one, other):
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", _no_space)
                with pytest.raises(AuditWriteError, match="No space left"):
                    one.append(draft())
            tickets = [other.append(draft()), one.append(draft())]
        sound(path, tickets)

    def test_the_empty_file_was_removed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An empty file that was removed after a failed first write is made anew."""
        path = tmp_path / "a.jsonl"
        one = ledger(path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _no_space)
            with pytest.raises(AuditWriteError):
                one.open()
        path.unlink()
        ticket = one.append(draft())
        one.close()
        sound(path, [ticket])


class TestOthersTails:
    @pytest.mark.parametrize("torn", [b'{"seq":5,"time":"20', b"garbage\nmore\n", b"\0\0\0", b"\n"], ids=range(4))
    @pytest.mark.parametrize("durability", ["always", "os"])
    def test_another_writers_fragment_is_ended_and_declared(self, tmp_path: Path, durability: str, torn: bytes) -> None:
        """A fragment that another writer leaves while the log is open is ended and declared."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability=durability)
        tickets = [one.append(draft())]
        with path.open("ab") as file:
            file.write(torn)
        tickets += [one.append(draft()), one.append(draft())]
        one.close()
        assert names(sound(path, tickets)) == [
            *("opened", "test.event", "recovered", "opened", "test.event", "test.event", "closed")
        ]

    def test_a_whole_entry_without_its_line_feed(self, tmp_path: Path) -> None:
        """Another writer's entry that lacks only its LF is an entry, and is carried on."""
        path = tmp_path / "a.jsonl"
        one, other = ledger(path), ledger(path)
        with closing(one, other):
            tickets = [one.append(draft()), other.append(draft())]
            os.truncate(path, path.stat().st_size - 1)
            tickets += [one.append(draft()), other.append(draft())]
        assert "recovered" not in names(sound(path, tickets))


@contextlib.contextmanager
def _attribute(path: Path, letter: str) -> Iterator[None]:
    """Set a file attribute for a while; skip the test where that is not permitted."""
    if sys.platform != "linux":
        pytest.skip("file attributes are set with chattr, on Linux")
    done = subprocess.run(["chattr", f"+{letter}", str(path)], capture_output=True, text=True, timeout=9)
    if done.returncode:
        pytest.skip(f"chattr +{letter} needs root and a file system that knows it: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", f"-{letter}", str(path)], check=True, timeout=9)


def test_two_who_open_an_absent_log_at_once(tmp_path: Path) -> None:
    """Processes that open an absent log at the same moment make one log."""
    code = (
        "import sys, time\nfrom tests.ledgers import *\n"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "one = ledger(sys.argv[1]); t = one.append(draft()); one.close(); print(f'{t.seq}:{t.hash}')"
    )
    path = tmp_path / "a.jsonl"
    start = time.time() + 1.5
    processes = [spawn(code, path, start) for _ in range(4)]
    acknowledged = [pair for process in processes for pair in receipts(process.communicate(timeout=9)[0])]
    assert len(acknowledged) == 4
    none_missing(sound(path), acknowledged)
