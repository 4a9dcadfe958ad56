"""What `BusWriter.post` costs, as a ratio to the post of hummbl-governance, both in one process and in turn.

Run with ``python -m tests.benchmarks.bench_compat_hummbl``; tests/benchmarks/README.md says what the line means.
"""

from __future__ import annotations

import os
from pathlib import Path

import hummbl_governance  # type: ignore[import-untyped]

from otel_audit.compat.hummbl import BusWriter
from tests.benchmarks import measure
from tests.benchmarks.measure import Figure

MESSAGE = ("agent-claude-1", "all", "STATUS", "file.write src/api.py (42 lines added)")


def bench_post(folder: Path, quick: bool) -> list[Figure]:
    """Post the message of hummbl's page: sealed and in the page cache, against a row in the page cache."""
    rounds, count = (5, 200) if quick else (401, 300)
    os.environ["OTEL_AUDIT_DURABILITY"] = "os"
    os.environ.setdefault("OTEL_SERVICE_NAME", "bench")
    ours, theirs = BusWriter(folder / "ours.jsonl"), hummbl_governance.BusWriter(folder / "theirs.tsv")
    ours.post(*MESSAGE)
    theirs.post(*MESSAGE)
    our_figures, their_figures = measure.in_turn(
        rounds,
        lambda: measure.timed(lambda: ours.post(*MESSAGE), count),
        lambda: measure.timed(lambda: theirs.post(*MESSAGE), count),
    )
    ours.close()
    line, row = (len(path.read_bytes().split(b"\n")[1]) for path in (folder / "ours.jsonl", folder / "theirs.tsv"))
    print(f"\na line of {line} bytes against a row of {row}; {rounds} rounds of {count}")
    medians = [measure.median_micros(figures) for figures in (our_figures, their_figures)]
    print(f"medians: ours, durability os: {medians[0]:.1f} µs; hummbl-governance: {medians[1]:.1f} µs")
    return [measure.ratio("BusWriter.post (os) ÷ hummbl-governance's", our_figures, their_figures, at_most=1)]


if __name__ == "__main__":
    measure.run(__doc__, bench_post)
