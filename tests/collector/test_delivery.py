"""What reaches the far end while collectors are killed, the gateway is away and disks are full.

20,000 entries of four processes, over rotation. Where OTEL_AUDIT_TEST_FULL is 1, 200,000 and ten times the faults; that
takes ``-o faulthandler_timeout=1800``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.chain import segments
from tests.collector.collectors import Collector, resize, turns
from tests.collector.copies import Arrivals
from tests.collector.faithful import Comparison, Way, compare, lines_of, ranges
from tests.collector.writer import writers

FULL = os.environ.get("OTEL_AUDIT_TEST_FULL") == "1"
ENTRIES = 200_000 if FULL else 20_000
COLLECTOR_KILLS = 20 if FULL else 2
GATEWAY_KILLS = 5 if FULL else 1
AWAY_SECONDS = 30 if FULL else 3
SEGMENT_BYTES = ENTRIES * 100
DEADLINE_SECONDS = 1800 if FULL else 110
ENTRIES_WHILE_FULL = 6_000
DISK = "8g"

Start = Callable[..., Collector]
Fault = Callable[[], None]
Capture = pytest.CaptureFixture[str]


def schedule(*faults: Sequence[Fault]) -> list[tuple[float, Fault]]:
    """Spread each kind of fault evenly over the entries; return when each is due, in entries."""
    due = [
        (ENTRIES * (index + 0.5 + kind / 10) / (len(same) + 1), fault)
        for kind, same in enumerate(faults)
        for index, fault in enumerate(same)
    ]
    return sorted(due, key=lambda pair: pair[0])


def restart(one: Collector) -> Fault:
    def fault() -> None:
        one.kill()
        one.start()

    return fault


def be_away(gateway: Collector) -> Fault:
    def fault() -> None:
        gateway.kill()
        time.sleep(AWAY_SECONDS)
        gateway.start()

    return fault


def wait_for_metric(one: Collector, name: str) -> None:
    """Wait until a collector has counted at least one more."""
    before = one.metrics().get(name, 0)
    for _ in turns():
        if one.metrics().get(name, 0) > before:
            return


def last_seq(path: Path) -> int:
    """Return ``seq`` of the last whole line of a log that is written to; 0 where there is none yet."""
    for segment in reversed(segments(path) if path.exists() else []):
        with segment.open("rb") as file:
            file.seek(max(0, segment.stat().st_size - 2**16))
            seqs = re.findall(rb'(?m)^\{"seq":([0-9]+),.*\n', file.read())
        if seqs:
            return int(seqs[-1])
    return 0


def reconcile(path: Path, copy: Path) -> tuple[set[int], set[str]]:
    """Return which entries `otel-audit reconcile` finds missing in the copy, and its other findings."""
    command = [sys.executable, "-m", "otel_audit", "reconcile", str(path), str(copy), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    said = json.loads(done.stdout)
    missing = {
        seq
        for finding in said["findings"]
        if finding["kind"] == "not_in_copy"
        for seq in range(finding["seq"], finding["last_seq"] + 1)
    }
    return missing, {finding["kind"] for finding in said["findings"]} - {"not_in_copy"}


def report(capsys: Capture, way: Way, disks: str, compared: Comparison, began: float) -> None:
    with capsys.disabled():
        sys.stdout.write(
            f"\n{way} way, {disks} disks: {ENTRIES} entries in {time.monotonic() - began:.0f} s, "
            f"{len(compared.missing)} missing, {compared.doubles} doubles\n"
        )


@pytest.mark.parametrize("disks", ["ordinary", "full"])
def test_tail(collector: Start, tmp_path: Path, big_disk: Path, disks: str, capsys: Capture) -> None:
    """By the tail way every entry arrives at least once, as it stands in the log, whatever is killed, away or full."""
    began = time.monotonic()
    path = tmp_path / "audit.jsonl"
    gateway = collector("gateway", "gateway.yaml", folder=big_disk).start()
    environ = {"OTEL_AUDIT_GATEWAY": gateway.listen, "OTEL_AUDIT_FILES": str(tmp_path / "audit*.jsonl")}
    tail = collector("tail", "tail.yaml", folder=big_disk, **environ).start()

    def fill_disk() -> None:
        resize(big_disk)  # neither a record nor an offset can be written any more
        wait_for_metric(gateway, "otelcol_receiver_refused_log_records")
        tail.kill()
        gateway.kill()
        resize(big_disk, DISK)
        gateway.start()
        tail.start()

    faults = (
        schedule([fill_disk] * COLLECTOR_KILLS)
        if disks == "full"
        else schedule([restart(tail)] * COLLECTOR_KILLS, [restart(gateway)] * GATEWAY_KILLS, [be_away(gateway)])
    )
    copy = gateway.copy / "logs.jsonl"
    arrivals = Arrivals(copy)
    with writers(path, ENTRIES, SEGMENT_BYTES) as processes:
        for due, fault in faults:
            for _ in turns(DEADLINE_SECONDS):
                if len(arrivals.look()) >= due:
                    break
            fault()
        assert [process.wait(DEADLINE_SECONDS) for process in processes] == [0] * len(processes)
    lines = lines_of(path)
    assert len(lines) >= ENTRIES
    assert len(segments(path)) > 5
    for _ in turns(DEADLINE_SECONDS):
        if lines.keys() <= arrivals.look():
            break
    compared = compare(lines, copy, "tail")
    report(capsys, "tail", disks, compared, began)
    assert ranges(compared.missing) == ""
    assert compared.differing == {}
    assert compared.foreign == set()
    assert reconcile(path, copy) == (set(), set())


@pytest.mark.parametrize("disks", ["ordinary", "full"])
def test_otlp(collector: Start, tmp_path: Path, big_disk: Path, disks: str, capsys: Capture) -> None:
    """By the OTLP way records are lost, `reconcile` names each, none is changed, and the tail way brings the rest."""
    began = time.monotonic()
    path = tmp_path / "audit.jsonl"
    gateway = collector("gateway", "gateway.yaml").start()
    quick = collector("otlp", "otlp.yaml", folder=big_disk, OTEL_AUDIT_GATEWAY=gateway.listen).start()

    refused = [0.0]

    def fill_disk() -> None:
        gateway.kill()  # what waits needs room
        resize(big_disk)
        end = last_seq(path) + ENTRIES_WHILE_FULL  # a queue that was longer once has room in its own file
        turns_left = 500
        for _ in turns():
            turns_left -= last_seq(path) >= ENTRIES
            if not turns_left:
                break  # the writers had ended before the disk was full: nothing more comes to be refused
            refused.append(quick.metrics().get("otelcol_receiver_refused_log_records", 0))
            once_more = refused[-1] > 0 and last_seq(path) >= min(end, ENTRIES)
            if refused[-1] > refused[-2] or once_more:
                break
        resize(big_disk, DISK)
        gateway.start()

    faults = (
        schedule([fill_disk] * COLLECTOR_KILLS)
        if disks == "full"
        else schedule([restart(quick)] * COLLECTOR_KILLS, [restart(gateway)] * GATEWAY_KILLS, [be_away(gateway)])
    )
    copy = gateway.copy / "logs.jsonl"
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{quick.listen}", "OTEL_EXPORTER_OTLP_INSECURE": "true"}
    with writers(path, ENTRIES, SEGMENT_BYTES, endpoint) as processes:
        for due, fault in faults:
            for _ in turns(DEADLINE_SECONDS):
                if last_seq(path) >= due:
                    break
            fault()
        assert [process.wait(DEADLINE_SECONDS) for process in processes] == [0] * len(processes)
    wait_until_drained(quick)
    lines = lines_of(path)
    compared = compare(lines, copy, "otlp")
    report(capsys, "otlp", disks, compared, began)
    own = {seq for seq, line in lines.items() if b'"event_name":"audit.log.' in line}
    assert own <= compared.missing
    assert len(compared.missing) < len(lines)
    assert compared.differing == {}
    assert compared.foreign == set()
    assert reconcile(path, copy) == (compared.missing - own, set())
    files = str(tmp_path / "audit*.jsonl")
    collector("tail", "tail.yaml", OTEL_AUDIT_GATEWAY=gateway.listen, OTEL_AUDIT_FILES=files).start()
    arrivals = Arrivals(copy)
    for _ in turns(DEADLINE_SECONDS):
        if lines.keys() <= arrivals.look():
            break
    assert reconcile(path, copy) == (set(), set())


def wait_until_drained(quick: Collector) -> None:
    """Wait until a collector has sent all that waits in its queue."""
    for _ in turns(DEADLINE_SECONDS):
        if quick.metrics().get("otelcol_exporter_queue_size") == 0:
            return
