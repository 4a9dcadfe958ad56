"""Processes that read the units of a log at the same time (`otel_audit.verify.unit`).

Each is a Python of its own that runs `otel_audit.worker` and nothing of the program that wants a
log checked: no main module is imported again, nothing is forked, and a program with threads may
use it. Whatever goes wrong with a worker, the log is read again in one piece: a worker that fails
can cost time, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from otel_audit.verify.onlooker import Watch
from otel_audit.verify.scan import Scan
from otel_audit.verify.segment import Segment
from otel_audit.verify.start import Start
from otel_audit.verify.stitch import Stitches
from otel_audit.verify.unit import UNIT_BYTES, Terms, Unit, units
from otel_audit.worker import ENOUGH, FAILURE, Answer, Enough, Failure, Piece, Task, Told, receive, send, start_worker
from otel_audit.worker_limits import MAX_WORKERS, MIN_BYTES, processors

T = TypeVar("T")

_AHEAD: Final = 4  # units under way for each worker: what is done before its turn has to wait
_LOOK_SECONDS: Final = 0.5  # for Ctrl-C, where nothing else ends a wait


def worker_count(size_bytes: int, asked: int | None = None) -> int:
    """Return how many workers a log is worth; fewer than 2: it is read in one piece.

    Args:
        size_bytes: Of all its segments.
        asked: So many, however short the log. None: one for each processor, `MAX_WORKERS` at most.
    """
    if not sys.executable or getattr(sys, "frozen", False):  # what would be started is no Python
        return 0
    if asked is not None:
        return asked
    return min(processors(), MAX_WORKERS) if size_bytes >= MIN_BYTES else 0


def reading_apart(
    segments: Sequence[Segment],
    closed: Iterable[str],
    size_bytes: int,
    asked: int | None = None,
    progress: Callable[[int], None] | None = None,
    watch: Watch | None = None,
) -> Callable[[Terms, Start], Scan | None] | None:
    """Return what reads a log with workers (`read_apart`); None where they are not worth their while.

    Args:
        size_bytes: How many bytes of it are to be read.
        asked: As in `worker_count`.
    """
    workers = worker_count(size_bytes, asked)
    if workers < 2:
        return None
    return lambda terms, start: read_apart(segments, terms, start, closed, workers, progress=progress, watch=watch)


def read_apart(
    segments: Sequence[Segment],
    terms: Terms,
    start: Start,
    closed: Iterable[str],
    workers: int,
    *,
    unit_bytes: int = UNIT_BYTES,
    progress: Callable[[int], None] | None = None,
    watch: Watch | None = None,
) -> Scan | None:
    """Read a log with workers; None: read it in one piece.

    None where anything in it is out of the ordinary, and where a worker failed. No worker is left
    when this returns or raises.

    Args:
        segments: Of the log, each with its ``identity``.
        terms: What the lines are held against.
        start: Where to begin.
        closed: Names of segments that someone says are closed.
        workers: How many; each holds some 40 MiB.
        unit_bytes: Length of a unit.
        progress: Told of the bytes of each unit when it has been put together with those before.
        watch: Takes what onlookers say, if contents are looked at.
    """
    stitches = Stitches(segments, terms, start, closed)
    scan = stitches.scan
    pieces = [
        Piece(os.path.abspath(each.path), each.name, each.number, each.size_bytes, each.identity)
        for each in segments
        if each.identity is not None
    ]
    if len(pieces) < len(segments):
        return None
    try:
        with _Crew(pieces, terms, workers, watch) as crew:
            for task, answer in crew.work(_tasks(segments, start, scan, unit_bytes)):
                if isinstance(answer, str):
                    scan.digests[task.unit.segment] = answer
                elif isinstance(answer, Failure) or not stitches.add(task.unit, answer):
                    return None
                else:
                    if watch is not None and answer is not None and answer.lines:
                        watch.join(answer.seen)
                    if progress is not None:
                        progress(task.unit.stop - task.unit.start)
            if watch is not None:
                for told in crew.totals():
                    if isinstance(told, Failure):
                        return None
                    watch.totals.append(told.totals)
                watch.complete = True
    except OSError:  # no process, no pipe, no thread to be had
        return None
    return scan


def _tasks(segments: Sequence[Segment], start: Start, scan: Scan, unit_bytes: int) -> Iterator[Task]:
    """Yield all tasks; a segment's digest, which no two workers can share, before its units."""
    begun = start.segment - 1
    for turn, unit in enumerate(units(segments, start, unit_bytes)):
        while begun < unit.segment:
            begun += 1
            if scan.wants_digest(begun):
                yield Task(Unit(begun, 0, segments[begun].size_bytes), None)
        yield Task(unit, turn)
    for number in range(begun + 1, len(segments)):
        if scan.wants_digest(number):
            yield Task(Unit(number, 0, segments[number].size_bytes), None)


class _Crew:
    """The workers, each with a thread that talks to it."""

    def __init__(self, pieces: Sequence[Piece], terms: Terms, workers: int, watch: Watch | None) -> None:
        self._hello = tuple(pieces), terms, None if watch is None else watch.onlooker
        self._workers = workers
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        self._tasks: queue.SimpleQueue[Task | Enough | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Task, Answer]] = queue.SimpleQueue()
        self._totals: queue.SimpleQueue[Told | Failure] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        try:
            for _ in range(self._workers):
                process = start_worker()
                self._processes.append(process)
                thread = threading.Thread(target=self._talk, args=(process,), name="otel-audit verify", daemon=True)
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end()

    def work(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Answer]]:
        """Yield each task with its answer: units in their order, digests as they come."""
        turn, under_way = 0, 0
        waiting: dict[int, tuple[Task, Answer]] = {}
        upcoming = next(tasks, None)
        while True:
            while upcoming is not None and (upcoming.turn is None or upcoming.turn < turn + self._workers * _AHEAD):
                self._tasks.put(upcoming)
                under_way += 1
                upcoming = next(tasks, None)
            if not under_way:
                return
            task, answer = _next(self._answers)
            under_way -= 1
            if isinstance(answer, Failure) or task.turn is None:
                yield task, answer
                continue
            waiting[task.turn] = task, answer
            while turn in waiting:
                yield waiting.pop(turn)
                turn += 1

    def totals(self) -> Iterator[Told | Failure]:
        """Yield what the onlooker of each worker says at the end, behind all `work`."""
        for _ in self._threads:
            self._tasks.put(ENOUGH)
        for _ in self._threads:
            yield _next(self._totals)

    def _talk(self, process: subprocess.Popen[bytes]) -> None:
        """Hand tasks to one worker and take its answers, until there are no more or it is gone."""
        to, from_ = process.stdin, process.stdout
        assert to is not None
        assert from_ is not None
        greeted = False
        while (task := self._tasks.get()) is not None:
            answer: Any
            try:
                if not greeted:
                    send(to, self._hello)
                    greeted = True
                send(to, task)
                answer = receive(from_)
            except Exception:  # whatever a worker that was killed leaves: its log is read in one piece
                answer = FAILURE
            if isinstance(task, Enough):
                self._totals.put(answer)
                return  # the next one of these is for another worker
            self._answers.put((task, answer))

    def _end(self) -> None:
        for process in self._processes:
            process.kill()  # it only reads: nothing is lost
        for _ in self._threads:
            self._tasks.put(None)
        for process in self._processes:
            process.wait()
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):  # what could not be sent any more
                        stream.close()


def _next(waiting: queue.SimpleQueue[T]) -> T:
    """Return what comes next."""
    while True:
        with contextlib.suppress(queue.Empty):
            return waiting.get(timeout=_LOOK_SECONDS)
