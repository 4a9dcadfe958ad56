"""Rotation: when it happens, what each crash in it leaves, and what a writer refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_audit.errors import AuditConfigError, AuditError, AuditLogPoisonedError, AuditWriteError
from otel_audit.ledger import Ledger, Ticket, files, segments, writer
from otel_audit.ledger.active import ActiveFile
from otel_audit.reader import verify_log
from tests import chain
from tests.chain import Line, check_log
from tests.ledgers import closing, draft, in_child, ledger, names, none_missing, receipts

MIN_BYTES = 64 * 1024


def sound(path: Path, *, notes: tuple[str, ...] = (), mode: str = "chain") -> list[Line]:
    """Assert that a log of several segments is sound; return its entries.

    Args:
        notes: The kinds of the findings that are no errors.
    """
    lines = check_log(path, mode=mode)
    report = verify_log(path, expected_integrity="none")
    assert [str(finding) for finding in report.errors] == []
    assert tuple(finding.kind for finding in report.findings) == notes
    assert report.entries == len(lines)
    checksums = path.with_suffix(".sha256")
    if checksums.exists() and shutil.which("sha256sum"):
        done = subprocess.run(["sha256sum", "-c", checksums.name], cwd=path.parent, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return lines


def segment(path: Path, number: int) -> Path:
    """Return the path of a segment."""
    return Path(segments.segment_path(str(path), number))


def rotated(path: Path, closed: int = 1, **settings: object) -> None:
    """Leave a log with so many closed segments, and two entries in each and in the last."""
    one = ledger(path, **settings)
    for number in range(closed + 1):
        if number:
            one.rotate()
        one.append(draft())
        one.append(draft())
    one.close()


def carry_on(path: Path, **settings: object) -> None:
    """Append one entry as a new process does."""
    one = ledger(path, **settings)
    with closing(one):
        one.append(draft())


def snapshot(path: Path) -> dict[str, tuple[bytes, int]]:
    """Return what stands beside a log: bytes and time of change by name."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a log."""
    return tmp_path / "a.jsonl"


class TestWhen:
    def test_by_size(self, path: Path) -> None:
        """No segment grows beyond its limit, and an entry that would not fit begins the next."""
        one = ledger(path, max_segment_bytes=MIN_BYTES)
        tickets = [one.append(draft(size_bytes=5000)) for _ in range(40)]
        one.close()
        files_ = chain.segments(path)
        assert len(files_) == 4
        assert all(file.stat().st_size <= MIN_BYTES for file in files_)
        assert all(file.stat().st_size > MIN_BYTES - 10_000 for file in files_[:-1])
        none_missing(sound(path), [(ticket.seq, ticket.hash) for ticket in tickets])

    def test_an_entry_larger_than_a_segment(self, path: Path) -> None:
        """It stands in a segment that holds nothing else of the application's."""
        one = ledger(path, max_segment_bytes=MIN_BYTES)
        for size_bytes in (0, 2 * MIN_BYTES, 0, 2 * MIN_BYTES, 2 * MIN_BYTES):
            one.append(draft(size_bytes=size_bytes))
        one.close()
        assert len(chain.segments(path)) == 5
        sound(path)

    def test_many_writers_close(self, path: Path) -> None:
        """What the log itself writes as processes close it is no exception from the limit."""
        first = ledger(path, max_segment_bytes=MIN_BYTES)
        others = [ledger(path, max_segment_bytes=MIN_BYTES) for _ in range(16)]
        with closing(first, *others):
            for one in others:
                one.append(draft())
            while path.stat().st_size < MIN_BYTES - 5400:
                first.append(draft())
            for one in others:
                one.close()
        assert [file.stat().st_size for file in chain.segments(path) if file.stat().st_size > MIN_BYTES] == []
        assert names(sound(path)).count("closed") == 17

    def test_the_next_segment_is_full_already(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Others who fill the next segment while a writer waits to open it make it begin one more."""
        one, other = (ledger(path, max_segment_bytes=MIN_BYTES) for _ in range(2))
        with closing(one, other):
            while not path.exists() or path.stat().st_size < MIN_BYTES - 7000:
                one.append(draft())
            open_again = writer.Writer._open_again

            def slowly(self: writer.Writer, file: ActiveFile) -> ActiveFile:
                if self is not one._writer:
                    return open_again(self, file)
                files.unlock(file.fd)
                while segment(path, 2).stat().st_size < MIN_BYTES - 7000:
                    other.append(draft())
                return open_again(self, file)

            monkeypatch.setattr(writer.Writer, "_open_again", slowly)
            one.append(draft(size_bytes=5000))
        assert len(chain.segments(path)) == 3
        assert [file.stat().st_size for file in chain.segments(path) if file.stat().st_size > MIN_BYTES] == []
        sound(path)

    def test_by_age(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A segment is closed once its first entry is as old as the limit, whoever wrote that."""
        now = time.time_ns()
        ages = iter([0, 59, 59.9, 60, 61, 119, 121])
        one = ledger(path, max_segment_age_seconds=60)
        other = ledger(path, max_segment_age_seconds=60)
        with closing(one, other):
            for age in ages:
                monkeypatch.setattr(writer, "time_ns", lambda age=age: now + int(age * 1e9))
                monkeypatch.setattr(time, "time_ns", lambda age=age: now + int(age * 1e9))
                (other if age == 119 else one).append(draft())
        assert len(chain.segments(path)) == 3
        sound(path)

    def test_on_request(self, path: Path) -> None:
        """A call begins the next segment, of a log that was never opened, and twice in a row."""
        one = ledger(path)
        one.rotate()
        one.rotate()
        one.append(draft())
        one.close()
        assert len(chain.segments(path)) == 3
        assert names(sound(path)) == ["opened", "rotated", "opened", "rotated", "opened", "test.event", "closed"]

    def test_of_a_closed_log(self, path: Path) -> None:
        """A closed ledger rotates nothing."""
        one = ledger(path)
        one.append(draft())
        one.close()
        before = snapshot(path)
        with pytest.raises(AuditWriteError, match="closed"):
            one.rotate()
        assert snapshot(path) == before

    @pytest.mark.parametrize("durability", ["always", "interval", "os"])
    @pytest.mark.parametrize("mode", ["chain", "hash", "none"])
    def test_every_promise_in_every_mode(self, path: Path, durability: str, mode: str) -> None:
        """Two writers in turn rotate under each other, in every mode."""
        settings = {"durability": durability, "integrity": mode, "max_segment_bytes": MIN_BYTES}
        one, other = ledger(path, **settings), ledger(path, **settings)
        with closing(one, other):
            seqs = [each.append(draft(size_bytes=9000)).seq for _ in range(12) for each in (one, other)]
        lines = sound(path, mode=mode)
        assert len(chain.segments(path)) >= 4
        assert [line.seq for line in lines if line.name == "test.event"] == seqs

    def test_threads_processes_and_forks(self, path: Path) -> None:
        """Threads, and a forked child, that rotate all the time make one chain with every receipt."""
        one = ledger(path, durability="always", max_segment_bytes=MIN_BYTES)
        tickets: list[Ticket] = []

        def work() -> None:
            tickets.extend(one.append(draft(size_bytes=4000)) for _ in range(30))

        threads = [threading.Thread(target=work) for _ in range(4)]
        with closing(one):
            for thread in threads:
                thread.start()
            told = in_child(lambda: "\n".join(f"{t.seq}:{t.hash}" for t in (one.append(draft()) for _ in range(5))))
            for thread in threads:
                thread.join(9)
        lines = sound(path)
        assert len(tickets) == 120
        none_missing(lines, [*receipts(told), *((ticket.seq, ticket.hash) for ticket in tickets)])
        assert len(chain.segments(path)) > 6

    async def test_async_appends(self, path: Path) -> None:
        """Async appends rotate, too."""
        one = ledger(path, durability="always", max_segment_bytes=MIN_BYTES)
        tickets = [await one.aappend(draft(size_bytes=20_000)) for _ in range(8)]
        one.close()
        none_missing(sound(path), [(ticket.seq, ticket.hash) for ticket in tickets])
        assert len(chain.segments(path)) >= 3

    def test_records_lost_before(self, path: Path) -> None:
        """A loss is declared before the last entry of a segment, which stays the last."""
        one = ledger(path)
        with closing(one):
            one.append(draft())
            one.drops.add(time.time_ns(), OSError())
            one.rotate()
            one.append(draft())
        lines = sound(path, notes=("dropped",))
        assert names(lines) == ["opened", "test.event", "dropped", "rotated", "opened", "test.event", "closed"]


class TestWhatIsThere:
    def test_closed_segments_are_never_touched(self, path: Path) -> None:
        """Neither bytes nor time of change of a closed segment change, whoever goes on."""
        rotated(path, 2)
        before = {name: kept for name, kept in snapshot(path).items() if name in {"a.jsonl", "a.000002.jsonl"}}
        carry_on(path)
        one = ledger(path)
        one.rotate()
        one.close()
        after = snapshot(path)
        assert {name: after[name] for name in before} == before
        sound(path)

    def test_the_checksum_file(self, path: Path) -> None:
        """It has one line per closed segment, as sha256sum writes it."""
        rotated(path, 2)
        assert shutil.which("sha256sum")
        command = ["sha256sum", "a.jsonl", "a.000002.jsonl"]
        done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
        assert path.with_suffix(".sha256").read_text() == done.stdout

    def test_new_files_have_the_mode_that_was_set(self, path: Path) -> None:
        """Segments and checksum file are as private as the first file."""
        rotated(path, file_mode=0o640)
        assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o640}

    def test_other_logs_in_the_folder(self, path: Path) -> None:
        """Files whose names only look like this log's segments are left alone."""
        others = [
            "a.2.jsonl",
            "a.0000002.jsonl",
            "b.000009.jsonl",
            "a.000002.jsonl.gz",
            "aa.000003.jsonl",
            "a.00000२.jsonl",
        ]
        for name in others:
            (path.parent / name).write_text("theirs")
        rotated(path)
        sound(path)
        assert {(path.parent / name).read_text() for name in others} == {"theirs"}

    def test_a_file_that_has_the_next_name(self, path: Path) -> None:
        """A next segment that somebody else filled is not written to."""
        one = ledger(path)
        with closing(one):
            one.append(draft())
            segment(path, 2).write_text("theirs")
            with pytest.raises(AuditWriteError, match="empty"):
                one.rotate()
            assert segment(path, 2).read_text() == "theirs"


def no_rotated(path: Path) -> None:
    """The next file was made, nothing else."""
    _undo(path)
    data = path.read_bytes()
    path.write_bytes(data[: data[:-1].rfind(b"\n") + 1])


def torn_rotated(path: Path) -> None:
    """The last entry of the segment was cut in the middle."""
    _undo(path)
    path.write_bytes(path.read_bytes()[:-90])


def rotated_without_lf(path: Path) -> None:
    """Only the LF of the last entry is missing."""
    _undo(path)
    path.write_bytes(path.read_bytes()[:-1])


def no_checksum(path: Path) -> None:
    """The last entry stands, and the checksum file is not there."""
    _undo(path)


def empty_checksum(path: Path) -> None:
    """The checksum file was made, nothing was written to it."""
    _undo(path)
    path.with_suffix(".sha256").touch()


def torn_checksum(path: Path) -> None:
    """The checksum's line was cut in the middle."""
    line = path.with_suffix(".sha256").read_bytes()
    _undo(path)
    path.with_suffix(".sha256").write_bytes(line[:-4])


def no_opened(path: Path) -> None:
    """All is done, but for the first entry of the next segment."""
    segment(path, 2).write_bytes(b"")


def torn_opened(path: Path) -> None:
    """The first entry of the next segment was cut in the middle."""
    data = segment(path, 2).read_bytes()
    segment(path, 2).write_bytes(data[: data.find(b"\n") // 2])


def opened_without_lf(path: Path) -> None:
    """Only the LF of the next segment's first entry is missing."""
    data = segment(path, 2).read_bytes()
    segment(path, 2).write_bytes(data[: data.find(b"\n")])


def holes(path: Path) -> None:
    """A power cut left NULs where the next segment's first entry was."""
    segment(path, 2).write_bytes(bytes(700))


def declared_without_lf(path: Path) -> None:
    """The declaration of a torn first entry lacks its LF."""
    torn_opened(path)
    carry_on(path)
    data = segment(path, 2).read_bytes()
    segment(path, 2).write_bytes(data[: data.find(b"\n", data.find(b"\n") + 1)])


def _undo(path: Path) -> None:
    segment(path, 2).write_bytes(b"")
    path.with_suffix(".sha256").unlink()


CRASHES: dict[Callable[[Path], None], tuple[str, ...]] = {
    no_rotated: (),
    torn_rotated: ("recovered",),
    rotated_without_lf: (),
    no_checksum: (),
    empty_checksum: (),
    torn_checksum: (),
    no_opened: (),
    torn_opened: ("recovered",),
    opened_without_lf: (),
    holes: ("recovered",),
    declared_without_lf: ("recovered",),
}


class TestCrashes:
    @pytest.mark.parametrize(("crash", "notes"), CRASHES.items(), ids=[crash.__name__ for crash in CRASHES])
    @pytest.mark.parametrize("durability", ["always", "os"])
    def test_whoever_comes_next_finishes_it(
        self, path: Path, crash: Callable[[Path], None], notes: tuple[str, ...], durability: str
    ) -> None:
        """A rotation that a crash cut short is finished by the next writer, and the log is sound."""
        rotated(path)
        crash(path)
        before = path.read_bytes()
        for _ in range(2):
            carry_on(path, durability=durability)
        assert path.read_bytes().startswith(before)
        carry_on(path, max_segment_bytes=MIN_BYTES)
        sound(path, notes=notes)
        one = ledger(path)
        one.rotate()
        one.close()
        sound(path, notes=notes)

    def test_two_openers(self, path: Path) -> None:
        """Of many that find a rotation cut short, one finishes it, and all go on behind it."""
        for crash in (no_checksum, torn_opened, no_opened):
            for file in path.parent.iterdir():
                file.unlink()
            rotated(path)
            crash(path)
            ledgers = [ledger(path, durability="always") for _ in range(6)]
            threads = [threading.Thread(target=one.append, args=(draft(),)) for one in ledgers]
            with closing(*ledgers):
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(9)
            lines = sound(path, notes=("recovered",) if crash is torn_opened else ())
            assert names(lines).count("test.event") == 2 + 6

    @pytest.mark.parametrize("name", ["sync", "sync_folder", "open_append", "write", "size", "lock", "read", "evict"])
    def test_a_call_that_fails_once(self, path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """Whichever call of a rotation fails, the writer says so, and its next append finishes it."""
        genuine = getattr(files, name)
        told = 0
        for number in range(1, 30):
            for file in path.parent.iterdir():
                file.unlink()
            one = ledger(path, durability="always")
            with closing(one):
                one.append(draft())
                calls = 0

                def failing(*arguments: object, number: int = number, **options: object) -> object:
                    nonlocal calls
                    calls += 1
                    if calls == number:
                        raise OSError(5, "Input/output error")
                    return genuine(*arguments, **options)

                monkeypatch.setattr(files, name, failing)
                try:
                    one.rotate()
                except AuditError:
                    told += 1
                monkeypatch.setattr(files, name, genuine)
                one.append(draft())
            check_log(path)
            assert verify_log(path).errors == ()
            if calls < number:
                break
        assert told


class TestRefusals:
    def refused(self, path: Path, one: Ledger, error: type[AuditError], match: str) -> None:
        """Assert that nothing at all is written, and that an error says why."""
        before = snapshot(path)
        for _ in range(2):
            with pytest.raises(error, match=match):
                one.append(draft())
        assert snapshot(path) == before

    def test_the_next_segment_is_gone(self, path: Path) -> None:
        """A log whose last entry says that it was rotated is not carried on in the old file."""
        rotated(path)
        segment(path, 2).unlink()
        self.refused(path, ledger(path), AuditConfigError, "the next segment is gone")

    def test_the_first_segment_is_gone(self, path: Path) -> None:
        """A log without its beginning is not begun anew beside its rest."""
        rotated(path)
        path.unlink()
        self.refused(path, ledger(path), AuditConfigError, "first segment is gone, but a.000002.jsonl is there")

    def test_only_the_checksums_are_left(self, path: Path) -> None:
        """A log of which only the checksum file is left is not begun anew."""
        rotated(path)
        path.unlink()
        segment(path, 2).unlink()
        self.refused(path, ledger(path), AuditConfigError, "first segment is gone, but a.sha256 is there")

    def test_the_segment_before_an_empty_one_is_gone(self, path: Path) -> None:
        """Nothing tells how an empty segment goes on from one that is gone, and none is made in its place."""
        rotated(path, 2)
        segment(path, 3).write_bytes(b"")
        segment(path, 2).unlink()
        self.refused(path, ledger(path), AuditConfigError, "000002.jsonl: the segment is gone")

    @pytest.mark.parametrize("settings", [{"integrity": "hash"}, {"integrity": "none"}])
    def test_settings_that_do_not_fit(self, path: Path, settings: dict[str, str]) -> None:
        """A later segment takes mode and key from the log, as the first does; also when it is still empty."""
        rotated(path)
        self.refused(path, ledger(path, **settings), AuditConfigError, "expected integrity")
        segment(path, 2).write_bytes(b"")
        self.refused(path, ledger(path, **settings), AuditConfigError, "expected integrity")

    def test_bytes_behind_rotated(self, path: Path) -> None:
        """No writer leaves bytes behind a segment's last entry: a log that has them there is not carried on."""
        rotated(path)
        segment(path, 2).write_bytes(b"")
        with path.open("ab") as file:
            file.write(b"garbage")
        self.refused(path, ledger(path), AuditConfigError, "7 bytes stand behind")


class TestWitness:
    def written(self, path: Path) -> tuple[Ledger, Ledger]:
        """Return a writer that stands in the first segment, and another that rotated the log since."""
        one, other = ledger(path), ledger(path)
        one.append(draft())
        other.append(draft())
        one.append(draft())
        other.rotate()
        other.append(draft())
        return one, other

    @pytest.mark.parametrize("cut", [1, 300, 2000])
    def test_an_old_segment_is_cut(self, path: Path, cut: int) -> None:
        """A writer whose entry was cut out of a segment that was closed since writes nothing, ever."""
        one, other = self.written(path)
        with closing(one, other):
            assert one._writer.file is not None
            os.truncate(path, one._writer.file.tail.end - cut)
            TestRefusals().refused(path, one, AuditLogPoisonedError, "cut")

    @pytest.mark.parametrize("cut", [1, 300])
    def test_only_what_others_wrote_is_cut(self, path: Path, cut: int) -> None:
        """A writer whose own entry stands goes on in the last segment; what others lost there is for the verifier."""
        one, other = self.written(path)
        with closing(one, other):
            os.truncate(path, path.stat().st_size - cut)
            one.append(draft())
        assert {finding.kind for finding in verify_log(path).errors} & {"segment_altered", "gap", "malformed", "torn"}

    def test_an_old_segment_is_gone(self, path: Path) -> None:
        """A writer whose segment was removed behind it writes nothing, ever."""
        one, other = self.written(path)
        with closing(one, other):
            path.unlink()
            TestRefusals().refused(path, one, AuditLogPoisonedError, "not there any more|is gone")

    def test_an_old_segment_was_replaced(self, path: Path) -> None:
        """A writer finds a copy in the place of its segment, and writes nothing, ever."""
        one, other = self.written(path)
        with closing(one, other):
            path.write_bytes(path.rename(path.with_name("moved")).read_bytes())
            TestRefusals().refused(path, one, AuditLogPoisonedError, "not there any more|was replaced")

    def test_in_a_child(self, path: Path) -> None:
        """What the parent wrote to a segment that was closed since must stand for its forked child, too."""
        one, other = self.written(path)
        with closing(one, other):
            assert one._writer.file is not None
            end = one._writer.file.tail.end
            data = path.read_bytes()
            path.write_bytes(data[: end - 40] + b"0" * 30 + data[end - 10 :])
            assert in_child(lambda: one.append(draft())).startswith("AuditLogPoisonedError")

    def test_the_log_after_a_failure(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A writer that must open its log anew finds what it wrote in a later segment."""
        one, other = self.written(path)
        with closing(one, other):
            one.append(draft())
            monkeypatch.setattr(files, "write", lambda fd, data: (_ for _ in ()).throw(OSError(5, "no")))
            with pytest.raises(AuditWriteError):
                one.append(draft())
            monkeypatch.undo()
            one.append(draft())
        sound(path)


class TestLaterSegments:
    @pytest.mark.parametrize("tail", [b"garbage", b"\0" * 5000, b'{"seq":1,\n{"x"', b"\xff" * 70_000 + b"\n", b"\n\n"])
    def test_recovery(self, path: Path, tail: bytes) -> None:
        """A torn tail in a later segment is declared there, and closed segments stay as they are."""
        rotated(path, 2)
        first = path.read_bytes()
        with segment(path, 3).open("ab") as file:
            file.write(tail)
        carry_on(path)
        assert path.read_bytes() == first
        lines = sound(path, notes=("recovered",))
        declared = next(line for line in lines if line.name == "audit.log.recovered")
        assert declared.attributes["audit.fragment.length"] == len(tail.removesuffix(b"\n"))

    def test_recovery_makes_the_segment_too_large(self, path: Path) -> None:
        """A fragment that fills a segment is declared in it, and the entry begins the next."""
        rotated(path)
        with segment(path, 2).open("ab") as file:
            file.write(b"x" * MIN_BYTES)
        carry_on(path, max_segment_bytes=MIN_BYTES)
        lines = sound(path, notes=("recovered",))
        assert names(lines)[-6:] == ["recovered", "opened", "rotated", "opened", "test.event", "closed"]
        assert len(chain.segments(path)) == 3

    def test_the_same_stream(self, path: Path) -> None:
        """Every opening in every segment names the same stream, and a segment its own number."""
        rotated(path, 2)
        carry_on(path)
        openings = [line.attributes for line in sound(path) if line.name == "audit.log.opened"]
        assert [opening["audit.segment.number"] for opening in openings] == [1, 2, 3, 3]
        assert len({opening["audit.stream.id"] for opening in openings}) == 1
        assert ["audit.segment.previous.name" in opening for opening in openings] == [False, True, True, False]


class TestChecksumFile:
    @pytest.mark.parametrize("kept", [1, 30, 64, 65, 66, 68, 72])
    def test_torn(self, path: Path, kept: int) -> None:
        """A line cut anywhere is completed, so that sha256sum -c stumbles over nothing."""
        rotated(path)
        checksums = path.with_suffix(".sha256")
        whole = checksums.read_bytes()
        segment(path, 2).write_bytes(b"")
        checksums.write_bytes(whole[:kept])
        carry_on(path)
        assert checksums.read_bytes() == whole
        sound(path)

    def test_behind_something_else(self, path: Path) -> None:
        """A line of somebody else's is left as it is, and the next one begins behind an LF."""
        rotated(path)
        checksums = path.with_suffix(".sha256")
        whole = checksums.read_bytes()
        segment(path, 2).write_bytes(b"")
        checksums.write_bytes(b"# mine")
        carry_on(path)
        assert checksums.read_bytes() == b"# mine\n" + whole

    def test_behind_a_hole(self, path: Path) -> None:
        """Of a file of any size only the end is read."""
        rotated(path)
        checksums = path.with_suffix(".sha256")
        segment(path, 2).write_bytes(b"")
        os.truncate(checksums, 1 << 40)
        carry_on(path)
        with checksums.open("rb") as file:
            file.seek(1 << 40)
            assert file.read().endswith(b"  a.jsonl\n")

    @pytest.mark.parametrize("kind", ["link", "hard link"])
    def test_that_is_another_file(self, path: Path, kind: str) -> None:
        """Through a name that leads to the log, or to any other file, nothing is written."""
        one = ledger(path)
        ticket = one.append(draft())
        checksums = path.with_suffix(".sha256")
        if kind == "link":
            checksums.symlink_to(path)
        else:
            checksums.hardlink_to(path)
        with pytest.raises(AuditError):
            one.rotate()
        checksums.unlink()
        tickets = [ticket, one.append(draft())]
        one.close()
        none_missing(sound(path), [(each.seq, each.hash) for each in tickets])

    def test_absent(self, path: Path) -> None:
        """Without it the log goes on, and gets a new one at its next rotation."""
        rotated(path)
        path.with_suffix(".sha256").unlink()
        carry_on(path)
        assert not path.with_suffix(".sha256").exists()
        one = ledger(path)
        one.rotate()
        one.close()
        assert path.with_suffix(".sha256").read_text().endswith("  a.000002.jsonl\n")
        sound(path)
