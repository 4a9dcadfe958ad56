"""examples/collector: agent, tool server, tail and gateway, by one command."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from otel_audit import read_log, verify_log
from tests.collector.collectors import turns

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "collector" / "main.py"
LOG, SPANS = "audit.jsonl", "gateway/copy/traces.jsonl"


def start(folder: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "EXAMPLE_OF": str(folder), **env},
    )


def processes(folder: Path) -> list[psutil.Process]:
    """Return the processes that one run of the example started, and theirs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("EXAMPLE_OF") == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def ran(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One run: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("example")
    process = start(folder)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert processes(folder) == []
    return folder, out


def test_joined(ran: tuple[Path, str]) -> None:
    """One trace has spans of two services and audit lines of their two processes, in one intact chain."""
    folder, _ = ran
    entries = [entry for entry in read_log(folder / LOG) if entry.trace_id is not None]
    assert {entry.resource["service.name"] for entry in entries} == {"release-agent", "mcp-server-git"}
    assert len({entry.resource["process.pid"] for entry in entries}) == 2
    assert {entry.attributes["audit.actor.id"] for entry in entries} == {"release-agent"}
    [trace_id] = {entry.trace_id for entry in entries}
    spans = spans_by_service(folder / SPANS, str(trace_id))
    assert spans.keys() == {"release-agent", "mcp-server-git"}
    for entry in entries:
        assert entry.span_id in spans[str(entry.resource["service.name"])]
    assert verify_log(folder / LOG, anchor_copies=[folder / "gateway/copy/logs.jsonl"]).anchored


def spans_by_service(path: Path, trace_id: str) -> dict[str, set[str]]:
    """Return the ids of the spans of a trace, by the service that opened them."""
    found: dict[str, set[str]] = {}
    for line in path.read_bytes().splitlines():
        for group in json.loads(line)["resourceSpans"]:
            attributes = {pair["key"]: pair["value"] for pair in group["resource"]["attributes"]}
            service = attributes["service.name"]["stringValue"]
            for scoped in group["scopeSpans"]:
                found.setdefault(service, set()).update(
                    span["spanId"] for span in scoped["spans"] if span["traceId"] == trace_id
                )
    return found


def test_shown(ran: tuple[Path, str]) -> None:
    """It prints the copy growing up to the whole log, and what the commands say of both."""
    folder, out = ran
    counts = [tuple(map(int, pair)) for pair in re.findall(r"^ +(\d+) +(\d+)$", out, re.MULTILINE)]
    copied = [count for _, count in counts]
    total = len(list(read_log(folder / LOG)))
    assert copied == sorted(copied)
    assert len(copied) > 1
    assert counts[-1] == (total, total)
    assert f"the copies agree: all of {total} entries, head seq {total}\n" in out
    assert f"audit.jsonl: intact, anchored; {total} entries" in out
    assert f"cut.jsonl:{total - 3}: truncated: seq {total - 2}, 3 entries" in out
    assert re.findall(r"^exit status (\d)$", out, re.MULTILINE) == ["0", "0", "0", "1", "0"]
    assert f"All processes are ended; the files are in {folder}\n" in out
    assert max(map(len, out.splitlines())) <= 110 + len(str(folder))


def test_page(ran: tuple[Path, str]) -> None:
    """docs/collector.md shows the tree as the example prints it, but for times and ids."""
    page = (REPOSITORY / "docs" / "collector.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"^```console\n(\$ otel-audit trace (?:.*\n)*?)```$", page, re.MULTILINE)
    _, out = ran
    printed = out[out.index("$ otel-audit trace ") : out.rindex("exit status")]
    assert shape(printed) == shape(shown)


def shape(tree: str) -> str:
    """Return what a command printed without what differs from run to run."""
    return re.sub(r"[0-9a-f]{32}|[0-9:]+\.[0-9]{6}|[0-9,]+\.[0-9]{3} ms", "…", tree)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["gateway starts", "agent works"])
def test_stopped(binary: Path, tmp_path: Path, moment: str, how: signal.Signals) -> None:
    """Asked to stop, at its start or in the middle, it says so, and leaves none of its processes."""
    process = start(tmp_path)
    for _ in turns():
        if moment == "gateway starts" and (tmp_path / "gateway" / "collector.log").exists():
            break
        if moment == "agent works" and (tmp_path / LOG).exists() and (tmp_path / LOG).read_bytes().count(b"\n") > 5:
            assert len(processes(tmp_path)) >= 6  # it, gateway, tail and its script, agent, tool server
            break
    process.send_signal(how)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (130, "\nstopped; all processes are ended\n")
    assert processes(tmp_path) == []


def test_without_go(tmp_path: Path) -> None:
    """Without a collector and without Go it says what is missing, and starts nothing."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "git", "sha256sum", "shasum", "perl"):
        if path := shutil.which(name):
            (tools / name).symlink_to(path)
    process = start(tmp_path / "run", PATH=str(tools), XDG_CACHE_HOME=str(tmp_path / "cache"))
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (1, "")
    assert "expected Go, found none" in err
    assert err.endswith("this example needs the OpenTelemetry Collector, and Go to build it: see above\n")
    assert processes(tmp_path / "run") == []
