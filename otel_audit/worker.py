"""A process that reads units of a log for another (`otel_audit.workers`), and what is said between them.

It gets all that it needs through its stdin, the key too, and answers on its stdout; it ends when
its stdin does, so it never outlives the program that began it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import orjson

from otel_audit.verify.onlooker import Onlooker
from otel_audit.verify.segment import Segment, segment_sha256
from otel_audit.verify.unit import Part, Reader, Unit

_HEAD: Final = struct.Struct("<4sI")
_MARK: Final = b"unit"  # nothing else that may come out of a process is taken for an answer
_CODE: Final = "import sys; sys.path[:] = {!r}; from otel_audit import worker; worker.serve()"


class Piece(NamedTuple):
    """A file of the log, as a worker finds it again: the very file that the program has open, or none.

    Attributes:
        path: Absolute.
        identity: Device and inode.
    """

    path: str
    name: str
    number: int
    size_bytes: int
    identity: tuple[int, int]


class Task(NamedTuple):
    """A unit to be read, or a whole segment of which SHA-256 is wanted.

    Attributes:
        turn: Of units: 0, 1, 2 …
    """

    unit: Unit
    turn: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A worker's answer, or what stands for it, where it could not do its task."""


@dataclass(frozen=True, slots=True)
class Enough:
    """Said to a worker behind the last of its tasks: it answers with the totals of its onlooker."""


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to that."""

    totals: Any


FAILURE: Final = Failure()
ENOUGH: Final = Enough()
Answer = Part | str | None | Failure


def start_worker() -> subprocess.Popen[bytes]:
    """Start one; raises `OSError` where there is no process to be had."""
    # Its own site, its own environment and the program's main module are none of its business.
    own = (Path(module.__file__ or "").resolve().parent.parent for module in (sys.modules["otel_audit"], orjson))
    path = list(dict.fromkeys([*(str(each) for each in sys.path), *map(str, own)]))
    # In a process group of its own: Ctrl-C on a terminal reaches this program, which ends the worker.
    group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", _CODE.format(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **group,
    )


def serve() -> None:
    """Be a worker: answer tasks from stdin on stdout until stdin ends."""
    from_, to = sys.stdin.buffer, sys.stdout.buffer
    pieces, terms, made = receive(from_)
    onlooker: Onlooker | None = made() if made is not None else None
    if onlooker is not None:
        gc.disable()  # what an onlooker keeps has no cycles, and would be looked through again and again
    reader = Reader(terms, onlooker)
    with contextlib.ExitStack() as stack:
        opened: dict[int, Segment] = {}
        while True:
            try:
                task = receive(from_)
            except EOFError:
                return
            answer: Answer | Told
            try:
                if isinstance(task, Enough):
                    answer = Told(onlooker.totals() if onlooker is not None else None)
                else:
                    number = task.unit.segment
                    if number not in opened:
                        opened[number] = _open(pieces[number], stack)
                    if task.turn is None:
                        answer = segment_sha256(opened[number])
                    else:
                        answer = reader.read(opened[number], task.unit)
            except Exception:
                answer = FAILURE
            send(to, answer)


def _open(piece: Piece, stack: contextlib.ExitStack) -> Segment:
    file = stack.enter_context(open(piece.path, "rb", buffering=0))  # noqa: SIM115
    found = os.fstat(file.fileno())
    if (found.st_dev, found.st_ino) != piece.identity or found.st_size < piece.size_bytes:
        raise OSError(f"{piece.path}: another file")

    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length) or b""

    return Segment(piece.path, piece.name, piece.number, piece.size_bytes, read)


def send(stream: IO[bytes], message: object) -> None:
    """Write a message; raises `OSError` where nobody reads any more."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_HEAD.pack(_MARK, len(data)) + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Return the next message; raises `EOFError` where there is none, or something that is none."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError
    mark, length = _HEAD.unpack(head)
    if mark != _MARK:
        raise EOFError
    return pickle.loads(stream.read(length))  # noqa: S301 (from this program, or its worker)
