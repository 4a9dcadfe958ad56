"""One of the processes that write the log: ``python -m tests.collector.writer LOG COUNT [SEGMENT_BYTES]``.

Sends the records by OTLP, too, where ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PROCESSES = 4
ENTRIES_PER_SECOND = 500
"""Of each process; together well below what a collector carries, so that faults meet it at work and not far behind."""

REPOSITORY = Path(__file__).parents[2]


def main(path: str, count: int, segment_bytes: int) -> None:
    """Emit records of some variety, each with its number."""
    from otel_audit import AuditFileLogExporter, AuditProvider, Target, acting_as
    from otel_audit.pipeline.processors import make_processors

    processors = make_processors(("otlp",)) if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ else ()
    exporter = AuditFileLogExporter(path, durability="os", max_segment_bytes=segment_bytes)
    with AuditProvider(exporter, processors=processors) as provider, acting_as(f"agent-{os.getpid()}"):
        shop, own = (provider.get_audit_logger(name, "1.2.3") for name in ("shop", "otel_audit"))
        due = time.monotonic()
        for number in range(count):
            if number % 10 == 0:
                time.sleep(max(0.0, due - time.monotonic()))
                due += 10 / ENTRIES_PER_SECOND
            (shop if number % 3 else own).emit(
                "file.write",
                action="WRITE",
                target=Target(f"src/{number}.py", "file"),
                severity_number=9 if number % 2 else None,
                body={"number": number} if number % 5 == 0 else None,
                attributes={
                    "number": number,
                    "big": 2**53 + 1,
                    "ratio": 1.0,
                    "nested": {"seq": [number, None, "é\u2028"]},
                },
            )


@contextmanager
def writers(
    path: Path, count: int, segment_bytes: int, environ: Mapping[str, str] | None = None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run `PROCESSES` writers that emit ``count`` records together; kill them if the test fails meanwhile."""
    command = [sys.executable, "-m", "tests.collector.writer", str(path), str(count // PROCESSES), str(segment_bytes)]
    processes = [
        subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **(environ or {})}) for _ in range(PROCESSES)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
