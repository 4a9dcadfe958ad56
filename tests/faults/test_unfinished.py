"""Processes that die in the middle of an action: what `verify` and `show --open` tell of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_audit.cli import main
from otel_audit.cli.show import open_intents
from otel_audit.reader import read_log, verify_log
from otel_audit.verify.unfinished import MAX_UNFINISHED, UnfinishedAction
from tests import logs
from tests.vectors.sealing import Writer, begun, text

ROOT = Path(__file__).parents[2]
OTHER_ID = "00000000-0000-4000-8000-000000000000"

PROGRAM = """
import asyncio, os, sys, threading, time

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import otel_audit
from otel_audit import Target, acting_as, audited

trace.set_tracer_provider(TracerProvider())
otel_audit.configure("audit.jsonl", durability="os", max_segment_bytes=int(sys.argv[2]) or None)

def end():
    print("begun", flush=True)
    if sys.argv[1] == "exit":
        os._exit(3)
    if sys.argv[1] == "leave":
        raise SystemExit
    time.sleep(60)

@audited("file.read", action="READ", target=lambda call: call.arguments["path"])
def read(path):
    pass

@audited("order.refund", target=lambda call: Target(call.arguments["order_id"], "order"), capture=())
def refund(order_id, card):
    for number in range(100):
        read(f"{number}.txt")
    end()

@audited("stream")
def stream():
    yield 1
    yield 2

@audited("mail.send", target="ana@example.com")
async def send(reached):
    reached.set()
    await asyncio.sleep(60)

async def main():
    reached = asyncio.Event()
    async with acting_as("mailer"):
        task = asyncio.create_task(send(reached))
    await reached.wait()
    refund("A-1027", card="4111 1111 1111 1111")

steps = stream()
next(steps)
with acting_as("ada@example.com", type="user"), acting_as("support-agent"):
    asyncio.run(main())
"""


def start(folder: Path, how: str, max_segment_bytes: int = 0) -> subprocess.Popen[str]:
    """Start a process that is in three actions at once, and then ends in a way."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how, str(max_segment_bytes)],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OTEL_SERVICE_NAME": "shop"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def at_work(folder: Path, max_segment_bytes: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Give a process that is in the middle of its actions; kill it in the end."""
    process = start(folder, "wait", max_segment_bytes)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n", process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def die(folder: Path, how: str, max_segment_bytes: int = 0) -> int:
    """Have a process die in the middle of its actions; return its pid."""
    if how == "kill":
        with at_work(folder, max_segment_bytes) as process:
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(60) == -signal.SIGKILL
            return process.pid
    process = start(folder, how, max_segment_bytes)
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("begun\n", 3), err
    return process.pid


def told(action: UnfinishedAction) -> tuple[object, ...]:
    """Return what a report says of an action."""
    return action.event_name, action.actor_id, action.delegation, action.target_id, action.target_type


EXPECTED = [
    ("stream", "shop", (), None, None),
    ("mail.send", "mailer", ("ada@example.com", "support-agent", "mailer"), "ana@example.com", None),
    ("order.refund", "support-agent", ("ada@example.com", "support-agent"), "A-1027", "order"),
]


@pytest.mark.parametrize("how", ["kill", "exit"])
@pytest.mark.parametrize("max_segment_bytes", [0, 65536], ids=["one segment", "rotation"])
def test_died(tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, max_segment_bytes: int) -> None:
    """After SIGKILL and `os._exit`, `verify` and `show --open` list who had begun what, when and in which trace."""
    before = time.time()
    pid = die(tmp_path, how, max_segment_bytes)
    path = tmp_path / "audit.jsonl"
    report = verify_log(path)
    assert report.intact
    assert len(report.segments) > (max_segment_bytes > 0)
    assert [told(action) for action in report.unfinished] == EXPECTED
    entries = {entry.seq: entry for entry in read_log(path)}
    for action in report.unfinished:
        entry = entries[action.seq]
        assert (action.time, action.trace_id, action.span_id) == (entry.time, entry.trace_id, entry.span_id)
        assert action.record_id == entry.attributes["audit.record.id"]
        assert action.trace_id is not None
        assert (action.host_name, action.process_pid) == (socket.gethostname(), pid)
        assert action.writer_closed is False
        assert not action.voided
    assert report.unfinished[0].time[:19] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))

    assert main(["verify", str(path)]) == 0
    out = capsys.readouterr().out
    assert "3 actions began and never ended:" in out
    for action in report.unfinished:
        [line] = [line for line in out.splitlines() if line.startswith(f"    #{action.seq}  ")]
        for part in (
            action.time,
            action.event_name,
            action.actor_id,
            action.target_id or "",
            f"trace {action.trace_id}",
        ):
            assert part is not None
            assert part in line
    assert out.count(f"writer not closed: no process {pid} runs on this host") == 3

    assert main(["show", "--open", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    headings = [line.split()[2] for line in out.splitlines() if line.startswith("#")]
    assert headings == [event_name for event_name, *_ in EXPECTED]
    assert out.count(f"no process {pid} runs on this host") == 3
    for action in report.unfinished:
        assert f"trace      {action.trace_id} span {action.span_id}" in out
    assert "4111 1111" not in out


def test_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An action whose process runs is told apart: there is a process of its number."""
    path = str(tmp_path / "audit.jsonl")
    with at_work(tmp_path) as process:
        assert [action.writer_closed for action in verify_log(path).unfinished] == [False] * 3
        for command in ("verify", "show --open"):
            assert main([*command.split(), path]) == 0
            assert capsys.readouterr().out.count(f"a process {process.pid} runs on this host") == 3


def test_left_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process that ends in order leaves no action open that ended with it; what it forgot has a closed writer."""
    process = start(tmp_path, "leave")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.rpartition(": ")[0].startswith("the outcome of stream is not in the audit log: ")
    path = str(tmp_path / "audit.jsonl")
    outcomes = {
        entry.event_name: (entry.attributes["audit.outcome"], entry.attributes.get("error.type"))
        for entry in read_log(path)
        if entry.attributes.get("audit.phase") == "outcome"
    }
    assert outcomes["order.refund"] == ("failure", "SystemExit")
    assert outcomes["mail.send"] == ("failure", "asyncio.exceptions.CancelledError")
    [action] = verify_log(path).unfinished
    assert told(action) == EXPECTED[0]
    assert action.writer_closed is True
    assert main(["verify", path]) == 0
    assert "writer closed: the process ended in order" in capsys.readouterr().out


def test_killed_and_gone_on(tmp_path: Path) -> None:
    """A later writer, in order, does not close the open actions of one that was killed."""
    first, second = die(tmp_path, "kill"), die(tmp_path, "exit")
    start(tmp_path, "leave").communicate(timeout=60)
    report = verify_log(tmp_path / "audit.jsonl")
    assert [(action.process_pid, action.writer_closed) for action in report.unfinished][:6] == [
        *[(first, False)] * 3,
        *[(second, False)] * 3,
    ]


def open_in(folder: Path, writer: Writer) -> tuple[UnfinishedAction, ...]:
    """Write a log; return what both ways say of it, which must agree."""
    path = folder / "audit.jsonl"
    path.write_bytes(text(writer.lines))
    report = verify_log(path).unfinished
    assert tuple(action for _, action in open_intents(read_log(path))) == report
    return report


def intent(writer: Writer, **more: Any) -> None:
    """Announce an action."""
    writer.record("mail.send", {"audit.phase": "intent"}, outcome="unknown", **more)


class TestWriters:
    def test_other_process(self, tmp_path: Path) -> None:
        """The end of another process, or of another one on another host, says nothing of this one."""
        writer, _ = begun(0)
        intent(writer)
        writer.lifecycle("closed", {"audit.writer.id": OTHER_ID})
        assert [action.writer_closed for action in open_in(tmp_path, writer)] == [False]

    def test_closed(self, tmp_path: Path) -> None:
        """A writer that closed the log behind the intent left the action open for good."""
        writer, _ = begun(0)
        intent(writer)
        writer.closed()
        assert [action.writer_closed for action in open_in(tmp_path, writer)] == [True]

    def test_opened_again(self, tmp_path: Path) -> None:
        """A process that opens the log again is a new writer: its own intents are open, the older one's closed."""
        writer, _ = begun(0)
        intent(writer)
        writer.closed()
        writer.opened({"audit.writer.id": OTHER_ID})
        intent(writer)
        assert [action.writer_closed for action in open_in(tmp_path, writer)] == [True, False]

    @pytest.mark.parametrize("resource", [{"service.name": "x"}, {"host.name": "app-1"}])
    def test_unknown(self, tmp_path: Path, resource: dict[str, object]) -> None:
        """An entry that does not tell its process cannot be told apart."""
        writer, _ = begun(0)
        intent(writer, resource=resource)
        assert [action.writer_closed for action in open_in(tmp_path, writer)] == [None]

    def test_voided(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An intent whose caller was told of a failure says so."""
        writer, _ = begun(0)
        intent(writer)
        intent(writer)
        writer.lifecycle("voided", {"audit.voided.first": 3, "audit.voided.last": 3, "error.type": "OSError"})
        assert [action.voided for action in open_in(tmp_path, writer)] == [False, True]
        assert main(["show", "--open", str(tmp_path)]) == 0
        assert capsys.readouterr().out.count("voided: its caller was told") == 1

    def test_forged(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An intent may have anything in it: nothing of it reaches the terminal raw, and nothing fails."""
        evil: Any = "\x1b[2J\u202e\r\n#9"
        writer, _ = begun(0)
        values: tuple[Any, ...] = (evil, [evil], {evil: evil}, 7, None, True)
        for value in values:
            resource = {"process.pid": value, "host.name": value}
            writer.record(
                "mail.send",
                {"audit.phase": "intent", "audit.target.id": value, "audit.delegation": [value, value]},
                outcome="unknown",
                actor=value,
                resource=resource,
            )
        for pid in (0, -1, 2**62):
            writer.record(
                "mail.send",
                {"audit.phase": "intent"},
                outcome="unknown",
                resource={"process.pid": pid, "host.name": socket.gethostname()},
            )
        assert len(open_in(tmp_path, writer)) == 9
        for command in ("verify", "verify --format json", "show --open"):
            main([*command.split(), str(tmp_path)])
            out = capsys.readouterr().out
            assert all(character.isprintable() or character == "\n" for character in out)

    def test_trace_filter(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`show --open --trace-id` still knows of the writers, whose entries are in no trace."""
        pid = die(tmp_path, "exit")
        path = str(tmp_path / "audit.jsonl")
        trace_id = verify_log(path).unfinished[2].trace_id
        assert trace_id is not None
        assert main(["show", "--open", "--trace-id", trace_id, path]) == 0
        out = capsys.readouterr().out
        assert out.count("[intent]") == 1
        assert f"no process {pid} runs on this host" in out


class TestLimits:
    def test_many_open(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A report lists the first thousand, `verify` names the first twenty, and `show --open` has them all."""
        writer, _ = begun(0)
        for _ in range(MAX_UNFINISHED + 5):
            intent(writer)
        path = tmp_path / "audit.jsonl"
        path.write_bytes(text(writer.lines))
        assert len(verify_log(path).unfinished) == MAX_UNFINISHED
        assert main(["verify", str(path)]) == 0
        out = capsys.readouterr().out
        assert "1,005 actions began and never ended:" in out
        assert out.count("mail.send  EXECUTE") == 20
        assert "and 985 more: otel-audit show --open shows all" in out
        assert main(["verify", "--format", "json", str(path)]) == 0
        assert len(json.loads(capsys.readouterr().out)["logs"][0]["unfinished"]) == MAX_UNFINISHED
        main(["show", "--open", "--format", "json", str(path)])
        assert capsys.readouterr().out.count("\n") == MAX_UNFINISHED + 5

    def test_memory(self, tmp_path: Path) -> None:
        """What ended is forgotten: memory does not grow with the number of actions, only with the open ones."""

        def peak(actions: int) -> int:
            path = tmp_path / f"{actions}.jsonl"
            members = [logs.opened()]
            for seq in range(2, 2 * actions, 2):
                members.append(logs.entry(seq, **{"audit.phase": "intent"}))
                more = {} if seq == 2 else {"audit.intent.id": logs.record_id(seq)}
                members.append(logs.entry(seq + 1, **{"audit.phase": "outcome", **more}))
            path.write_bytes(logs.join(logs.chain(members)))
            del members
            tracemalloc.start()
            try:
                assert len(list(open_intents(read_log(path)))) == 1
                assert len(verify_log(path).unfinished) == 1
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        peak(500)  # what is loaded and remembered once
        assert peak(5000) < peak(500) + 500_000
