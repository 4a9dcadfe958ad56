"""A run guided by coverage: atheris, that is libFuzzer, in a process of its own.

libFuzzer ends its process itself, without Python's farewell, and its limits end it, too; so
another one waits for it, tells what it came to, and clears up.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.target import MAX_MIB, MINIMISE_SECONDS, Target, shown

_MAX_SHOWN = 12_000
_HANGING_SECONDS = 60  # for what the limit of processor time does not end
_FAREWELL_SECONDS = 90


def run(module_name: str, seconds: float, seed: int, corpus: Path | None) -> int:
    """Fuzz a target, and print what it came to.

    Args:
        corpus: A folder that keeps the inputs which found new code; None: they are not kept.

    Returns:
        0 where nothing was found, else 1.
    """
    with tempfile.TemporaryDirectory(prefix="otel-audit-fuzz-") as name:
        folder = Path(name)
        kept = corpus or folder / "corpus"
        kept.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", __spec__.name, module_name, name, f"{seconds:.0f}", f"{seed}", str(kept)]
        began = time.monotonic()
        limit = seconds + MINIMISE_SECONDS + _FAREWELL_SECONDS
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": name}
            )
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                status = 1
            finally:
                process.kill()
                process.wait()
        told = (folder / "output").read_text("utf-8", "replace")
        figures = _figures(told, folder, time.monotonic() - began)
        sys.stdout.write(f"{Target.name_of(module_name)}: {figures}, guided by coverage, seed {seed}\n")
        artifacts = [path for kind in ("crash", "timeout", "oom") for path in folder.glob(f"{kind}-*")]
        if status or artifacts:
            sys.stdout.write(f"{told[-_MAX_SHOWN:]}\n")
            for path in artifacts:
                sys.stdout.write(f"{path.name}: --replay {base64.b64encode(path.read_bytes()).decode()}\n")
        return int(bool(status or artifacts))


def fuzz(module_name: str, folder: Path, seconds: str, seed: str, corpus: str) -> None:
    """Hand this process over to libFuzzer.

    Args:
        folder: For the seeds, what fails, and the slowest input.
    """
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["otel_audit"]):
        target = Target(module_name)
    slowest = 0.0

    def one(data: bytes) -> None:
        nonlocal slowest
        began = time.process_time()
        error = target.failure(data)
        if error is not None:
            sys.stdout.write(f"{target.told(data)}\n")
            sys.stdout.flush()
            raise error
        if (took := time.process_time() - began) > slowest:
            slowest = took
            (folder / "slowest").write_text(f"slowest {took:.3f} s ({shown(data)})")

    def mutate(data: bytes, max_bytes: int, number: int) -> bytes:
        choose = random.Random(number)
        if choose.randrange(4) == 0:
            return bytes(atheris.Mutate(data, max_bytes))
        return target.mutate(data, choose)[:max_bytes]

    (folder / "seeds").mkdir()
    for data in target.seeds():
        (folder / "seeds" / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    options = {
        "max_total_time": seconds,
        "seed": seed,
        "timeout": _HANGING_SECONDS,
        "rss_limit_mb": MAX_MIB,
        "max_len": target.max_bytes,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    atheris.Setup([sys.argv[0], *arguments, corpus, str(folder / "seeds")], one, custom_mutator=mutate)
    atheris.Fuzz()


def _figures(told: str, folder: Path, seconds: float) -> str:
    def last(pattern: str) -> str:
        found: list[str] = re.findall(pattern, told)
        return found[-1] if found else "?"

    slowest = folder / "slowest"
    return (
        f"{last(r'number_of_executed_units: *([0-9]+)')} inputs in {seconds:.0f} s, "
        f"{last(r' cov: ([0-9]+) ')} edges, {last(r' corp: ([0-9]+)/')} inputs that found new code, "
        f"{slowest.read_text() if slowest.exists() else 'no input'}, "
        f"peak RSS {last(r'peak_rss_mb: *([0-9]+)')} MiB"
    )


def main(arguments: Sequence[str]) -> None:
    """Fuzz as `run` says."""
    module_name, folder, seconds, seed, corpus = arguments
    fuzz(module_name, Path(folder), seconds, seed, corpus)


if __name__ == "__main__":
    main(sys.argv[1:])
