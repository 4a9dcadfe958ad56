"""Runs a target on many inputs: guided by coverage where atheris is installed, else by chance.

``python -m tests.fuzz.fuzz_line --seconds 600``; see README.md beside this file.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import random
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import guided
from tests.fuzz.target import MAX_MIB, Target, shown


@dataclass
class Figures:
    """What a run by chance comes to."""

    began: float = field(default_factory=time.monotonic)
    inputs: int = 0
    slowest_seconds: float = 0.0
    slowest: bytes = b""

    def took(self, data: bytes, seconds: float) -> None:
        """Count an input."""
        self.inputs += 1
        if seconds > self.slowest_seconds:
            self.slowest_seconds, self.slowest = seconds, data

    def __str__(self) -> str:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak_mib = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
        return (
            f"{self.inputs} inputs in {time.monotonic() - self.began:.0f} s, "
            f"slowest {self.slowest_seconds:.3f} s ({shown(self.slowest)}), peak RSS {peak_mib:.0f} MiB"
        )


def main(module_name: str, argv: Sequence[str] | None = None) -> int:
    """Run a target as the command line says.

    Args:
        module_name: Where the target is; not imported yet, so that atheris sees the code that it runs.
        argv: The arguments; None takes those of the process.

    Returns:
        0 where nothing was found, else 1.
    """
    parser = argparse.ArgumentParser(description="Run a fuzzing target.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of inputs (default: 1)")
    parser.add_argument("--engine", choices=("atheris", "random"), help="default: atheris where it is installed")
    parser.add_argument("--corpus", type=Path, help="atheris: a folder that keeps the inputs that found new code")
    parser.add_argument("--replay", metavar="BASE64", help="run this one input: what a finding's message says")
    arguments = parser.parse_args(argv)
    if arguments.replay is not None:
        Target(module_name).check(base64.b64decode(arguments.replay))
        return 0
    engine = arguments.engine or ("atheris" if importlib.util.find_spec("atheris") else "random")
    if engine == "atheris":
        return guided.run(module_name, arguments.seconds, arguments.seed, arguments.corpus)
    target, figures = Target(module_name), Figures()
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MIB << 20, MAX_MIB << 20))
    found = search(target, arguments.seed, figures, seconds=arguments.seconds)
    sys.stdout.write(f"{target.name}: {figures}, by chance, seed {arguments.seed}\n")
    if found is not None:
        sys.stdout.write(f"{target.told(found)}\n")
    return int(found is not None)


def search(
    target: Target, seed: int, figures: Figures, *, seconds: float = 1e9, inputs: int = sys.maxsize
) -> bytes | None:
    """Run the seeds, then inputs made of them by chance; return the first on which the target fails."""
    choose = random.Random(seed)
    seeds = target.seeds()
    stop = time.monotonic() + seconds
    while time.monotonic() < stop and figures.inputs < inputs:
        if figures.inputs < len(seeds):
            data = seeds[figures.inputs]
        else:
            data = target.mutate(choose.choice(seeds), choose)[: target.max_bytes]
        began = time.process_time()
        failed = target.failure(data) is not None
        figures.took(data, time.process_time() - began)
        if failed:
            return data
    return None
