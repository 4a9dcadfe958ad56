"""Four times as many hostile lines are about four times the work: nobody can stop a verifier with a file.

Work is counted in calls of functions, those of C among them: the same on every machine.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest

from otel_audit.verify.segment import Segment
from otel_audit.verify.verifier import verify
from tests import logs

LINES = 100
Lines = list[bytes]


def calls(lines: Iterable[bytes]) -> int:
    """Return how many functions are called to verify a log."""
    data = logs.join(lines)
    segment = Segment("audit.jsonl", "audit.jsonl", 1, len(data), lambda at, n: data[at : at + n])
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        verify([segment], path="audit.jsonl", first_name="audit.jsonl")
    finally:
        sys.setprofile(before)
    return count


def edited(line: bytes, number: int) -> bytes:
    """Return a line with a wrong hash, another for each number."""
    return line.replace(b'"success"', b'"%06d"' % number)


def other(seq: int, number: int, prev: str, **more: Any) -> bytes:
    """Return a sealed entry, another for each number."""
    return logs.seal(logs.entry(seq, number=number, **more), prev)


def shuffled(lines: Lines) -> Lines:
    """Return lines in another order."""
    return random.Random(1).sample(lines, len(lines))


def behind_forks(lines: Lines) -> Lines:
    """Return forks of one entry, each with a successor of its own."""
    forks = [other(2, number, logs.hash_of(lines[0])) for number in range(len(lines) // 2)]
    return [lines[0], *(each for fork in forks for each in (fork, logs.seal(logs.entry(3), logs.hash_of(fork))))]


def numbered(lines: Lines) -> range:
    """Return a number for each line."""
    return range(len(lines))


CASES: dict[str, Callable[[Lines], Iterable[bytes]]] = {
    "sound": lambda lines: lines,
    "one line": lambda lines: [lines[0], *[lines[1]] * len(lines)],
    "two lines in turn": lambda lines: [lines[0], *[lines[1], lines[2]] * (len(lines) // 2)],
    "twice": lambda lines: [*lines, *lines],
    "edited": lambda lines: [edited(line, number) for number, line in enumerate(lines)],
    "edited in turn": lambda lines: [lines[0], *(edited(lines[1 + n % 2], n) for n in numbered(lines))],
    "edited, then their successors": lambda lines: [
        lines[0],
        *(edited(lines[index], n) for index in (1, 2, 3) for n in range(len(lines) // 3)),
    ],
    "forks": lambda lines: [lines[0], *(other(2, n, logs.hash_of(lines[0])) for n in numbered(lines))],
    "forks with successors": behind_forks,
    "unlinked": lambda lines: [other(1 + 7 * n % len(lines), n, f"{n:064x}") for n in numbered(lines)],
    "reversed": lambda lines: lines[::-1],
    "shuffled": shuffled,
    "every second": lambda lines: lines[::2],
    "growing prefixes": lambda lines: [
        line for count in range(1, int(len(lines) ** 0.5) * 2) for line in lines[:count]
    ],
    "opened": lambda lines: [logs.seal(logs.opened(1 + n), f"{n:064x}") for n in numbered(lines)],
    "opened of other streams": lambda lines: [
        lines[0],
        *(
            logs.seal(logs.log_entry(2 + n % 3, "audit.log.opened", **{"audit.stream.id": f"{n}"}), logs.GENESIS)
            for n in numbered(lines)
        ),
    ],
    "malformed in turn": lambda lines: [each for line in lines for each in (line, b"x")],
    "intents": lambda lines: logs.chain(
        [logs.opened(), *(logs.entry(2 + n, **{"audit.phase": "intent"}) for n in numbered(lines))]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_grows_with_the_lines(name: str) -> None:
    """A log four times as long takes no more than five times the calls."""
    build = CASES[name]
    small, large = (calls(build(logs.log(count))) for count in (LINES, 4 * LINES))
    assert large <= 5 * small, f"{small} calls, then {large}"
