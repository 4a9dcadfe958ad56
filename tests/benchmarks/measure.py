"""What the benchmarks share: the machine in words, rounds taken in turn, ratios with their spread."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter_ns

Side = Callable[[], int]
"""One round of one side: nanoseconds per operation."""


def describe_machine(folder: Path) -> str:
    """Return the lines that a figure means nothing without: machine, versions, file system, load."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return "\n".join(
        (
            f"machine      {cpu}, {os.cpu_count()} cores, load {load}",
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


def ratio_line(name: str, above: Sequence[float], below: Sequence[float], goal: float | None = None) -> str:
    """Return one line: the median of the ratios round by round, their quartiles, the goal."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    low, middle, high = quartiles(ratios)
    text = f"{name:<58} {middle:6.3f}   [{low:.3f} … {high:.3f}]"
    if goal is not None:
        text += f"   goal ≤ {goal}: {'met' if middle <= goal else 'missed'}"
    return text


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def resident_bytes() -> int:
    """Return the memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


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
