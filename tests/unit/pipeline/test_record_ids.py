"""Record ids: random, and never the same in two processes."""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter

from otel_audit.pipeline.record_ids import new_record_id


def test_form() -> None:
    """Each id is a random UUID, version 4 of RFC 9562, in lower case."""
    for _ in range(1000):
        text = new_record_id()
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)


def test_bits() -> None:
    """All digits but the version's, and the variant's two bits, are random."""
    digits: list[Counter[str]] = [Counter() for _ in range(36)]
    for _ in range(2000):
        for counter, digit in zip(digits, new_record_id(), strict=True):
            counter[digit] += 1
    seen = [len(counter) for counter in digits]
    assert {seen[place] for place in (8, 13, 14, 18, 23)} == {1}
    assert seen[19] == 4
    assert all(seen[place] == 16 for place in range(36) if place not in (8, 13, 14, 18, 19, 23))


def test_threads() -> None:
    """Threads that refill the pool at the same moment get no id twice."""
    ids: list[str] = []

    def take() -> None:
        ids.extend([new_record_id() for _ in range(3000)])

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 24_000


def test_fork() -> None:
    """A forked child takes no id that its parent has ready."""
    new_record_id()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "".join(new_record_id() for _ in range(300)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    of_child = {text[at : at + 36] for at in range(0, len(text), 36)}
    assert len(of_child) == 300
    assert not of_child & {new_record_id() for _ in range(300)}
