"""Processes that read a log at the same time: the same report, and none of them left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil
import pytest

from otel_audit import worker, workers
from otel_audit.reader import verify_log
from otel_audit.verify.declared import find_declaration
from otel_audit.verify.onlooker import Seen, Watch
from otel_audit.verify.report import VerifyReport
from otel_audit.verify.segment import Segment
from otel_audit.verify.start import Start
from otel_audit.verify.unit import Reader, Terms, Unit
from otel_audit.worker_limits import MIN_BYTES
from tests import logs

ROOT: Final = Path(__file__).parents[2]
VECTORS: Final = ROOT / "tests" / "vectors" / "logs"
TAMPERED: Final = (
    "sound",
    "edited_body",
    "forked",
    "segments_sound",
    "segment_line_moved",
    "recovered",
    "voided_entries",
)
COUNTS: Final = (700, 800, 400)
# What a worker runs instead of its work.
IS_KILLED: Final = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
IS_KILLED_AT_WORK: Final = (
    "import sys, os, signal; sys.path[:] = {!r}; from otel_audit import worker\n"
    "answers = iter(range(1))\n"
    "send = worker.send\n"
    "worker.send = lambda *given: send(*given) if next(answers, None) is not None else os.kill(os.getpid(), 9)\n"
    "worker.serve()"
)
IS_KILLED_AT_THE_END: Final = (
    "import sys, os, signal; sys.path[:] = {!r}; from otel_audit import worker\n"
    "receive = worker.receive\n"
    "def received(stream):\n"
    "    message = receive(stream)\n"
    "    return message if message != worker.ENOUGH else os.kill(os.getpid(), 9)\n"
    "worker.receive = received\n"
    "worker.serve()"
)
ANSWERS_NONSENSE: Final = "print('nonsense' * 100, flush=True); import sys; sys.stdin.read()"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A sound log of three segments."""
    for name, lines in zip(logs.names_of(len(COUNTS)), logs.segments(COUNTS), strict=True):
        (tmp_path / name).write_bytes(logs.join(lines))
    return tmp_path / "audit.jsonl"


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    """Fails where a process is left."""
    before = set(psutil.Process().children())  # Python's own, of other tests
    yield
    assert set(psutil.Process().children()) <= before


def segments_of(path: Path) -> list[Segment]:
    """Return a log's segments as they are opened, from memory."""

    def segment(number: int, file: Path) -> Segment:
        data, found = file.read_bytes(), file.stat()
        return Segment(
            str(file), file.name, number, len(data), lambda at, n: data[at : at + n], (found.st_dev, found.st_ino)
        )

    return [segment(number, path.with_name(name)) for number, name in enumerate(logs.names_of(len(COUNTS)), 1)]


def terms_of(segments: list[Segment]) -> Terms:
    """Return what the lines of a log are held against."""
    return Terms(find_declaration(segments)[1], None, (), chain_only=False, now=None)


class TestReport:
    """What is said of a log."""

    def test_of_a_sound_log_comes_from_its_parts(self, log: Path) -> None:
        """Two workers with small units are enough for a sound log."""
        segments = segments_of(log)
        told: list[int] = []
        scan = workers.read_apart(segments, terms_of(segments), Start(), (), 2, unit_bytes=50_000, progress=told.append)
        assert scan is not None
        assert scan.entries == list(COUNTS)
        assert len(scan.runs) == len(COUNTS)
        assert sum(told) == sum(segment.size_bytes for segment in segments)

    @pytest.mark.parametrize("chain_only", [False, True])
    def test_is_that_of_one_process(self, log: Path, chain_only: bool) -> None:
        """One process and two say the same of a log of several segments."""
        reports = [verify_log(log, processes=count, chain_only=chain_only) for count in (1, 2)]
        assert reports[0] == reports[1]
        assert reports[0].intact

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            ({"audit.stream.id": "another"}, "inserted"),
            ({"audit.format.version": "2"}, "downgraded"),
            ({"audit.integrity.mode": "hash"}, "downgraded"),
            ({"audit.key.id": "another"}, "downgraded"),
        ],
    )
    @pytest.mark.parametrize("empty", [False, True], ids=["", "behind an empty segment"])
    def test_of_a_later_declaration_is_exact(
        self, tmp_path: Path, change: dict[str, str], kind: str, empty: bool
    ) -> None:
        """A later ``opened`` that declares otherwise is told, whichever segment it begins and whoever reads it."""
        segments = logs.segments((40, 40, 40))
        opened, *others = [json.loads(line) for line in segments[2]]
        opened["attributes"] |= change
        members = [{k: v for k, v in each.items() if k not in ("prev_hash", "hash")} for each in (opened, *others)]
        segments[2] = list(logs.chain(members, logs.hash_of(segments[1][-1])))
        for name, lines in zip(logs.names_of(3), segments, strict=True):
            (tmp_path / name).write_bytes(logs.join(lines))
        if empty:
            (tmp_path / "audit.jsonl").write_bytes(b"")
        path = tmp_path / "audit.jsonl"
        one, two = (verify_log(path, processes=count) for count in (1, 2))
        assert one == two
        assert kind in [finding.kind for finding in one.findings]
        if not empty:
            for seq in (5, 50, 80, 81):
                assert [each.kind for each in verify_log(path, since_seq=seq).errors] == [kind]

    @pytest.mark.parametrize("name", TAMPERED)
    def test_of_a_tampered_log_is_exact(self, name: str) -> None:
        """Whatever was done to a log, two processes say what one says."""
        options = json.loads((VECTORS / name / "case.json").read_bytes())["options"]
        path, anchors = VECTORS / name, options.get("anchors", ())
        assert verify_log(path, anchors=anchors, processes=2) == verify_log(path, anchors=anchors, processes=1)

    def test_of_another_file_is_refused(self, log: Path) -> None:
        """A worker that finds another file in place of the one that is open reads nothing of it."""
        segments = segments_of(log)
        copy = log.with_name("copy.jsonl")
        shutil.copy(log, copy)
        os.replace(copy, log)
        assert workers.read_apart(segments, terms_of(segments), Start(), (), 2) is None

    def test_needs_files_that_can_be_told_apart(self, log: Path) -> None:
        """Segments without an identity are left to this process."""
        segments = [replace(segment, identity=None) for segment in segments_of(log)]
        assert workers.read_apart(segments, terms_of(segments), Start(), (), 2) is None


@pytest.mark.parametrize("code", [IS_KILLED, IS_KILLED_AT_WORK, ANSWERS_NONSENSE], ids=["first", "at-work", "nonsense"])
def test_a_worker_that_fails_costs_nothing_but_time(log: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a worker is killed, at once or at work, or answers nonsense, the report is that of one process."""
    monkeypatch.setattr(worker, "_CODE", code)
    lines = log.read_bytes().split(b"\n")
    log.write_bytes(b"\n".join([*lines[:300], lines[300].replace(b'"success"', b'"failure"'), *lines[301:]]))
    report = verify_log(log, processes=2)
    assert report == verify_log(log, processes=1)
    assert [finding.kind for finding in report.findings] == ["edited"]


class Counting:
    """An onlooker."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.unit: list[int] = []

    def add(self, seen: Seen) -> None:
        assert len(seen.members) == len(seen.seqs) == len(seen.times) == len(seen.resources)
        self.unit += seen.seqs

    def part(self) -> tuple[int, int]:
        first, last = self.unit[0], self.unit[-1]
        self.seqs += self.unit
        self.unit = []
        return first, last

    def totals(self) -> list[int]:
        return self.seqs


class TestWatch:
    """Onlookers in the workers."""

    def test_is_told_of_each_entry_once(self, log: Path) -> None:
        """All onlookers together see all entries, and say of each unit what there is, in the order of the log."""
        parts: list[tuple[int, int]] = []
        segments, watch = segments_of(log), Watch(Counting, parts.append)
        terms = terms_of(segments)
        assert workers.read_apart(segments, terms, Start(), (), 2, unit_bytes=20_000, watch=watch) is not None
        assert watch.complete
        assert len(watch.totals) == 2
        assert sorted(seq for seqs in watch.totals for seq in seqs) == list(range(1, sum(COUNTS) + 1))
        assert len(parts) > len(COUNTS)
        assert [first for first, _ in parts] == [1, *(last + 1 for _, last in parts[:-1])]
        assert parts[-1][1] == sum(COUNTS)

    def test_is_told_of_resources(self) -> None:
        """However many resources there are, each entry comes with its own."""
        entries = [{**logs.entry(seq), "resource": {"process.pid": seq}} for seq in range(2, 2501)]
        data = logs.join(list(logs.chain([logs.opened(), *entries])))
        segment = Segment("a", "a", 1, len(data), lambda at, n: data[at : at + n])
        pids: list[int] = []

        class Resources(Counting):
            def add(self, seen: Seen) -> None:
                pids.extend(resource["process.pid"] for resource in seen.resources if "process.pid" in resource)
                super().add(seen)

        reader = Reader(terms_of([segment]), Resources())
        assert reader.read(segment, Unit(0, 0, len(data))) is not None
        assert pids[-2499:] == list(range(2, 2501))
        assert reader._way is not None
        assert len(reader._way.contents._ends) < 1500  # however many there are, memory stays bounded

    @pytest.mark.parametrize("read_bytes", [1000, 3000, 1 << 16])
    def test_is_told_of_each_entry_as_it_stands(self, read_bytes: int) -> None:
        """Whichever way a line is checked, its entry comes with its own seq, time and resource."""
        entries = [logs.opened(), *map(logs.entry, range(2, 200))]
        for entry in entries[5::3]:
            del entry["attributes"]["audit.action"]  # not of the plain form
        for entry in entries[7::4]:
            del entry["resource"]
        data = logs.join(list(logs.chain(entries)))
        segment = Segment("a", "a", 1, len(data), lambda at, n: data[at : at + min(n, read_bytes)])
        rows: list[tuple[object, ...]] = []

        class Rows(Counting):
            def add(self, seen: Seen) -> None:
                for members, seq, time, resource in zip(*seen, strict=True):
                    rows.append((members["attributes"], seq, time, resource))
                super().add(seen)

        assert Reader(terms_of([segment]), Rows()).read(segment, Unit(0, 0, len(data))) is not None
        assert rows == [(each["attributes"], each["seq"], each["time"], each.get("resource", {})) for each in entries]

    def test_of_a_tampered_log_is_not_complete(self, log: Path) -> None:
        """Where anything is out of the ordinary, what onlookers saw is not all."""
        lines = log.read_bytes().split(b"\n")
        log.write_bytes(b"\n".join([*lines[:300], lines[300].replace(b'"success"', b'"failure"'), *lines[301:]]))
        segments, watch = segments_of(log), Watch(Counting, lambda _: None)
        terms = terms_of(segments)
        assert workers.read_apart(segments, terms, Start(), (), 2, unit_bytes=20_000, watch=watch) is None
        assert not watch.complete

    @pytest.mark.parametrize("code", [IS_KILLED_AT_THE_END, IS_KILLED_AT_WORK], ids=["end", "work"])
    def test_of_a_worker_that_fails_is_not_complete(
        self, log: Path, code: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a worker is killed before it said what its onlooker saw, the others are not taken for all."""
        monkeypatch.setattr(worker, "_CODE", code)
        segments, watch = segments_of(log), Watch(Counting, lambda _: None)
        assert workers.read_apart(segments, terms_of(segments), Start(), (), 2, unit_bytes=20_000, watch=watch) is None
        assert not watch.complete


def test_workers_that_cannot_be_started_are_not_needed(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, this one reads the log."""
    monkeypatch.setattr(sys, "executable", str(log.with_name("none")))
    assert verify_log(log, processes=2).intact


def test_a_thread_may_use_workers(log: Path) -> None:
    """Any thread of a program can have a log checked."""
    found: list[VerifyReport] = []
    thread = threading.Thread(target=lambda: found.append(verify_log(log, processes=2)))
    thread.start()
    thread.join()
    assert found[0].intact


def test_a_program_needs_no_guard(log: Path) -> None:
    """A script that has a log checked at its top level is not run again by the workers."""
    script = log.with_name("script.py")
    script.write_text(
        "import sys\nfrom otel_audit import verify_log\nprint(verify_log(sys.argv[1], processes=2).intact)\n"
    )
    done = subprocess.run([sys.executable, script, log], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "True\n"
    assert not done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_program(log: Path, number: signal.Signals) -> None:
    """After Ctrl-C the exit status is 130; after that and after SIGKILL the workers are gone."""
    program = (
        "import sys; from otel_audit import worker; from otel_audit.cli import main\n"
        f"worker._CODE = {'import sys; sys.stdin.buffer.read()'!r}\n"
        "sys.exit(main(['verify', '--processes', '2', sys.argv[1]]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, log], cwd=ROOT, stderr=subprocess.PIPE)
    with process:
        own = psutil.Process(process.pid)
        while len(own.children()) < 2:
            assert process.poll() is None
        children = own.children()
        process.send_signal(number)
        assert process.wait(60) == (130 if number == signal.SIGINT else -number)
        _, alive = psutil.wait_procs(children, 60)
        assert not alive
        assert process.stderr is not None
        assert process.stderr.read() == b""


class TestCount:
    """How many workers there are."""

    def test_is_none_for_a_short_log(self) -> None:
        """A log of a few megabytes is read by this process alone."""
        assert workers.worker_count(MIN_BYTES - 1) < 2

    def test_is_what_is_asked_for(self) -> None:
        """Who asks for processes gets as many."""
        assert workers.worker_count(1, 3) == 3

    def test_is_none_in_a_program_that_is_no_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A frozen program would start itself again."""
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        assert workers.worker_count(1 << 40) == 0
        monkeypatch.undo()
        monkeypatch.setattr(sys, "executable", None)
        assert workers.worker_count(1 << 40, 4) == 0


def test_a_worker_loads_nothing_that_makes_a_line() -> None:
    """What a worker imports is what reads a log: each of them starts with it."""
    code = "import sys, otel_audit.worker; print(*(f'otel_audit.{name}' in sys.modules for name in ('entry', 'line')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True False\n"
