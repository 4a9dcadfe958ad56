"""Reading at the size of a real log: each command as a program of its own, its time and its memory.

Run with ``python -m tests.benchmarks.bench_read [COUNT …]`` (default: 100,000 and 1,000,000 entries;
10,000,000 take 7.5 GB and some minutes). Logs are those of `tests.benchmarks.real_log`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks import measure
from tests.benchmarks.real_log import write_log

_HASH: Final = """
import hashlib, sys
sha256 = hashlib.sha256
for name, start, stop in zip(*[iter(sys.argv[1:])] * 3):
    with open(name, "rb") as file:
        at = int(start)
        if at:
            file.seek(at - 1)
            at += len(file.readline()) - 1
        for line in file:
            if at >= int(stop):
                break
            at += len(line)
            sha256(line).hexdigest()
"""


_READ: Final = """
import sys, otel_audit
print(sum(1 for _ in otel_audit.read_log(sys.argv[1], actor="agent-17")))
"""
_GROUPS: Final = "SELECT actor, outcome, count(*), avg(duration) FROM entries GROUP BY ALL"


class Cost(NamedTuple):
    """What a program costs: wall time, and the most memory that one of its processes held."""

    ns: int
    peak_bytes: int


def cost(*commands: Sequence[str], statuses: Sequence[int] = (0,)) -> Cost:
    """Run programs at the same time, to the end of the last."""
    began = time.perf_counter_ns()
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    peak = 0
    for process in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in statuses:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        peak = max(peak, usage.ru_maxrss * 1024)
    return Cost(time.perf_counter_ns() - began, peak)


def hash_lines(files: Sequence[Path], processes: int) -> Cost:
    """Read the lines of files and take SHA-256 of each, in so many processes, each with as many bytes."""
    sizes = [file.stat().st_size for file in files]
    share = -(-sum(sizes) // processes)
    commands = [[sys.executable, "-I", "-S", "-c", _HASH] for _ in range(processes)]
    begun = 0
    for file, size in zip(files, sizes, strict=True):
        for number, command in enumerate(commands):
            start, stop = max(0, number * share - begun), min(size, (number + 1) * share - begun)
            if start < stop:
                command += [str(file), str(start), str(stop)]
        begun += size
    return cost(*commands)


def verify(path: Path, *options: str) -> Cost:
    """Verify a log by the command."""
    return cost([sys.executable, "-m", "otel_audit", "verify", "-q", str(path), *options])


def query(path: Path, *options: str) -> Cost:
    """Ask a log by the command; what it prints goes to a file."""
    return _to_file(sys.executable, "-m", "otel_audit", "query", str(path), *options)


def grep(files: Sequence[Path], text: str) -> Cost:
    """Find the lines with a text by ``grep -F``."""
    return _to_file("grep", "-hF", text, *map(str, files))


def read_entries(path: Path) -> Cost:
    """Go through the entries of one actor by `otel_audit.read_log`."""
    return cost([sys.executable, "-c", _READ, str(path)])


def exports(path: Path, folder: Path) -> dict[str, Callable[[], Cost]]:
    """Return how each export is made, and how what is to be checked of them is; in this order.

    Args:
        path: The log.
        folder: Where they are written.
    """
    command = [sys.executable, "-m", "otel_audit"]
    extract, evidence = folder / "extract", folder / "evidence"
    check = [
        *("sh", "-c", 'rm -rf "$2"; "$0" -m zipfile -e "$1" "$2" && sh "$2"/*/check.sh'),
        *(sys.executable, str(evidence), str(folder / "unpacked")),
    ]

    def export(form: str, out: Path, *options: str) -> Callable[[], Cost]:
        return partial(cost, [*command, "export", str(path), "--format", form, "-o", str(out), "--force", *options])

    return {
        "export csv": export("csv", folder / "out"),
        "export parquet": export("parquet", folder / "out"),
        "export otlp-json": export("otlp-json", folder / "out"),
        "export jsonl, one actor": export("jsonl", extract, "--actor", "agent-017"),
        "verify of that extract": partial(cost, [*command, "verify", "-q", str(extract)]),
        "export jsonl --no-links, one actor": export("jsonl", folder / "out", "--no-links", "--actor", "agent-017"),
        "export evidence": export("evidence", evidence),
        "check.sh in it, unpacked": partial(cost, check),
    }


def _to_file(*command: str) -> Cost:
    # into /dev/null, grep would end at the first line that it finds
    with tempfile.TemporaryDirectory() as folder:
        return cost(["sh", "-c", 'out="$1"; shift; exec "$@" >"$out"', "sh", str(Path(folder) / "out"), *command])


def a_trace(files: Sequence[Path]) -> str:
    """Return the id of a trace about the middle of a log."""
    with files[len(files) // 2].open("rb") as file:
        return next(match[1].decode() for line in file if (match := re.search(rb',"trace_id":"(\w{32})"', line)))


def bench(folder: Path, count: int, rounds: int) -> list[measure.Figure]:
    """Make a log of so many entries, and measure what reads it."""
    path = write_log(folder, count)
    files = sorted(folder.glob("*.jsonl"))
    size = sum(file.stat().st_size for file in files)
    print(f"\n{count:,} entries, {size / 1e6:,.0f} MB, {len(files)} segments; {rounds} rounds; wall time")
    ways: dict[str, Callable[[], Cost]] = {
        "SHA-256 of the lines, 1 process": partial(hash_lines, files, 1),
        "SHA-256 of the lines, 2 processes": partial(hash_lines, files, 2),
        "verify --processes 1": partial(verify, path, "--processes", "1"),
        "verify --processes 2": partial(verify, path, "--processes", "2"),
        "verify --chain-only --processes 2": partial(verify, path, "--chain-only", "--processes", "2"),
    }
    trace_id = a_trace(files)
    ways |= {
        "grep -F, one trace id": partial(grep, files, trace_id),
        "query --trace-id": partial(query, path, "--trace-id", trace_id),
        "read_log(actor=…)": partial(read_entries, path),
        "query --group-by actor,outcome": partial(query, path, "--group-by", "actor,outcome"),
        "query --sql, the same with avg(duration)": partial(query, path, "--sql", _GROUPS),
        "query --where": partial(query, path, "--where", "duration > 1 and outcome = 'failure'"),
        "stats": partial(cost, [sys.executable, "-m", "otel_audit", "stats", str(path)]),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in ways if turn % 2 == 0 else reversed(ways):
            costs[name].append(ways[name]())
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        costs |= {name: [way()] for name, way in exports(path, Path(place)).items()}  # once: some take minutes
    for name, each in costs.items():
        _, median, _ = measure.quartiles([one.ns for one in each])
        peak = max(one.peak_bytes for one in each) / 2**20
        print(f"{name:<40} {median / 1e9:7.2f} s  {count / median * 1e9 / 1e6:6.2f} M entries/s  {peak:5.0f} MiB")
    ns = {name: [one.ns for one in each] for name, each in costs.items()}
    hashed, read = "SHA-256 of the lines, {} process{}", "verify --processes {}"
    chain_only = ns["verify --chain-only --processes 2"]
    figures = [
        measure.ratio(f"verify ÷ SHA-256, {cores} of each", ns[read.format(cores)], ns[hashed.format(cores, more)])
        for cores, more in ((1, ""), (2, "es"))
    ]
    rate = measure.Figure("chain only, M entries/s", [count / each * 1e3 for each in chain_only], at_least=1.0)
    print(rate.line())
    found = measure.ratio(
        "query --trace-id ÷ grep -F", ns["query --trace-id"], ns["grep -F, one trace id"], at_most=1.5
    )
    return [*figures, found, rate]


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[100_000, 1_000_000], help="entries of each log")
    parser.add_argument("--folder", help="where to write (default: a temporary folder)")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for count in arguments.counts:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            print(measure.describe_machine(Path(name)))
            bench(Path(name), count, arguments.rounds)


if __name__ == "__main__":
    main()
