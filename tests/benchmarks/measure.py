"""What the benchmarks share: the machine in words, rounds taken in turn, ratios with their spread."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter_ns
from typing import NamedTuple

Side = Callable[[], int]
"""One round of one side: nanoseconds per operation."""

Benchmark = Callable[[Path, bool], "list[Figure]"]
"""Writes to a folder, prints as it goes, returns its figures; True: few rounds."""


class Figure(NamedTuple):
    """One ratio, or one amount, as it goes into the table.

    Attributes:
        values: One a round; a single one where there are no rounds.
        at_most, at_least: The goal, None where there is none.
    """

    name: str
    values: Sequence[float]
    at_most: float | None = None
    at_least: float | None = None

    def line(self) -> str:
        """Return the median, the quartiles, the range, and the goal."""
        low, middle, high = quartiles(self.values)
        text = f"{self.name:<58} {middle:8.3f}"
        if len(self.values) > 1:
            text += f"   [{low:.3f} … {high:.3f}]   {min(self.values):.3f} to {max(self.values):.3f}"
        met = "met" if self.is_met(middle) else "missed"
        if self.at_most is not None:
            text += f"   goal ≤ {self.at_most}: {met}"
        if self.at_least is not None:
            text += f"   goal ≥ {self.at_least}: {met}"
        return text

    def is_met(self, value: float) -> bool:
        """Whether a value reaches the goal."""
        return not (
            (self.at_most is not None and value > self.at_most) or (self.at_least is not None and value < self.at_least)
        )


def ratio(
    name: str,
    above: Sequence[float],
    below: Sequence[float],
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Figure:
    """Divide two sides round by round, print the ratio, return it."""
    figure = Figure(name, [a / b for a, b in zip(above, below, strict=True)], at_most, at_least)
    print(figure.line())
    return figure


def run(doc: str | None, *benchmarks: Benchmark) -> None:
    """Read the command line, run benchmarks in a temporary folder, print machine and table."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--folder", help="where to write; the file system under test (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, the figures mean little")
    arguments = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        machine = describe_machine(folder)
        print(machine)
        for index, benchmark in enumerate(benchmarks):
            place = folder / str(index)
            place.mkdir()
            figures += benchmark(place, arguments.quick)
    if len(benchmarks) > 1:
        print(f"\n{machine}\nload at the end {_load()}\n\nmedian   [quartiles]   range over the rounds")
        for figure in figures:
            print(figure.line())


def describe_machine(folder: Path) -> str:
    """Return the lines that a figure means nothing without: machine, versions, file system, load."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return "\n".join(
        (
            f"machine      {cpu}, {os.cpu_count()} cores, load {_load()}",
            f"kernel       {platform.system()} {platform.release()}",
            f"python       {platform.python_implementation()} {platform.python_version()}",
            f"packages     opentelemetry-sdk {version('opentelemetry-sdk')}, orjson {version('orjson')}",
            f"file system  {_file_system(folder)}",
        )
    )


def timed(operation: Callable[[], object], count: int) -> int:
    """Run an operation ``count`` times; return nanoseconds per operation."""
    turns = range(count)
    began = perf_counter_ns()
    for _ in turns:
        operation()
    return (perf_counter_ns() - began) // count


def in_turn(rounds: int, *sides: Side) -> list[list[int]]:
    """Run the sides one after the other, ``rounds`` times, every other round backwards.

    What the machine does meanwhile then falls on all sides alike.

    Returns:
        For each side its figures, one a round.
    """
    figures: list[list[int]] = [[] for _ in sides]
    for turn in range(rounds):
        order = range(len(sides)) if turn % 2 == 0 else range(len(sides) - 1, -1, -1)
        for index in order:
            figures[index].append(sides[index]())
    return figures


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def median_micros(figures: Sequence[int]) -> float:
    """Return the median of nanoseconds, in microseconds."""
    return statistics.median(figures) / 1e3


def percentiles(sorted_values: Sequence[int]) -> str:
    """Return p50, p99, p99.9 and the greatest of sorted nanoseconds, in microseconds."""
    last = len(sorted_values) - 1
    shares = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "max"))
    return ", ".join(f"{name} {sorted_values[round(last * share)] / 1e3:.1f} µs" for share, name in shares)


def resident_bytes() -> int:
    """Return the memory that this process holds now, exactly (``statm`` is some pages behind)."""
    line = next(line for line in _lines("/proc/self/smaps_rollup") if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024


def _load() -> str:
    load = os.getloadavg()
    busy = (
        "" if load[0] < 0.5 * (os.cpu_count() or 1) else " (busy: a figure means little where others use the machine)"
    )
    return ", ".join(f"{value:.2f}" for value in load) + busy


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _file_system(folder: Path) -> str:
    place = str(folder.resolve())
    best = ("/", "unknown", "unknown")
    for line in _lines("/proc/mounts"):
        device, mount, kind, *_ = line.split()
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best[0]):
            best = (mount, kind, device)
    return f"{best[1]} on {best[2]}"
