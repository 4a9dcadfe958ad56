"""The ledger's metrics, read as an application reads them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

PROGRAM = textwrap.dedent(
    """
    import json, sys
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    import otel_audit

    path, durability = sys.argv[1:]
    provider = otel_audit.configure(path, durability=durability, on_failure="open")
    audit = otel_audit.get_audit_logger("test")
    for _ in range(130):
        audit.emit("test.event")
    provider.exporter.ledger.drops.add(1, OSError("full"))

    def collect():
        data = reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = list(metric.data.data_points)
                    assert all(point.attributes["log.file.path"] == path for point in points)
                    found[metric.name] = [point.value for point in points]
        return found

    size = len(open(path, "rb").read())
    print(json.dumps([collect(), size, collect()]))
    """
)


def collect(path: Path, durability: str) -> list[dict[str, list[float]]]:
    """Run the program in a process of its own: the meter provider is global."""
    import json

    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), durability], capture_output=True, text=True, timeout=60, check=True
    )
    first, size, second = json.loads(result.stdout)
    first["size"] = [size]
    return [first, second]


def test_counts_and_sizes(tmp_path: Path) -> None:
    """Emitted and dropped records are counted, and the size is the file's."""
    first, _ = collect(tmp_path / "audit.jsonl", "os")
    assert first["audit.records.emitted"] == [130]
    assert first["audit.records.dropped"] == [1]
    assert first["audit.log.size"] == first["size"]


def test_durations_are_means_since_the_last_collection(tmp_path: Path) -> None:
    """A duration is a mean of what was appended since the last collection; without any there is none."""
    first, second = collect(tmp_path / "audit.jsonl", "always")
    assert 0 < first["audit.sync.duration"][0] <= first["audit.append.duration"][0] < 10
    assert "audit.sync.duration" not in second
    assert "audit.append.duration" not in second
