"""Ways in which somebody once fooled, stalled or broke a part of this project."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import otel_audit
from otel_audit import AuditConfigError, AuditFileLogExporter, AuditProvider, verify_log
from otel_audit.line import MAX_LINE_BYTES


def write_log(path: Path, **settings: object) -> None:
    """Write a small log."""
    with AuditProvider(AuditFileLogExporter(path, durability="os", **settings)) as provider:  # type: ignore[arg-type]
        logger = provider.get_audit_logger("test")
        for number in range(3):
            logger.emit("pay", target="alice", attributes={"n": number})


def resealed_without_key(lines: list[bytes]) -> bytes:
    """Return lines chained and sealed anew by somebody who has no key."""
    previous, out = hashlib.sha256().hexdigest().encode(), []
    for line in lines:
        plain = re.sub(rb'"audit.key.id":"[0-9a-f]+",?', b"", line.replace(b'"alice"', b'"mallory"')).replace(
            b",}", b"}"
        )
        found = re.match(rb'(.*),"prev_hash":"', plain)
        assert found is not None
        body = found[1] + b',"prev_hash":"' + previous + b'"'
        previous = hashlib.sha256(body).hexdigest().encode()
        out.append(body + b',"hash":"' + previous + b'"}\n')
    return b"".join(out)


@pytest.mark.parametrize("chain_only", [False, True])
@pytest.mark.parametrize(
    "disguise",
    [
        (b'"audit.log.opened"', b'"audit.log.opened"'),
        (b'"audit.log.opened"', b'"audit.log.\\u006fpened"'),
        (b'"audit.log.opened"', b'"\\u0061udit.log.opened"'),
        (b'"audit.log.opened"', b'"audit.nothing"'),
    ],
    ids=["plain", "escaped", "escaped at its start", "gone"],
)
def test_a_log_forged_without_the_key_misses_its_macs(
    tmp_path: Path, disguise: tuple[bytes, bytes], chain_only: bool
) -> None:
    """However the log's declaration is spelt, a verifier with the key finds that the MACs are missing."""
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    write_log(tmp_path / "audit.jsonl", hmac_key_file=key)
    lines = (tmp_path / "audit.jsonl").read_bytes().split(b"\n")[:-1]
    forged = tmp_path / "forged.jsonl"
    forged.write_bytes(resealed_without_key([lines[0].replace(*disguise), *lines[1:]]))
    report = verify_log(forged, hmac_key_file=key, chain_only=chain_only)
    assert not report.intact
    assert "mac_missing" in {finding.kind for finding in report.findings}


def test_the_declaration_is_found_behind_a_hole(tmp_path: Path) -> None:
    """A long fragment before the log's declaration does not hide that no key is declared."""
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    write_log(tmp_path / "audit.jsonl", hmac_key_file=key)
    lines = (tmp_path / "audit.jsonl").read_bytes().split(b"\n")[:-1]
    size = 70 * MAX_LINE_BYTES
    digest = hashlib.sha256(bytes(size)).hexdigest().encode()
    fragment = b'"audit.fragment.offset":0,"audit.fragment.length":%d,"audit.fragment.sha256":"%b",' % (size, digest)
    lines[0] = lines[0].replace(b'"audit.segment.number"', fragment + b'"audit.segment.number"')
    forged = tmp_path / "forged.jsonl"
    with forged.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(b"\n" + resealed_without_key(lines))
    report = verify_log(forged, hmac_key_file=key)
    assert [finding.kind for finding in report.errors] == ["mac_missing"]


def test_a_planted_segment_of_a_huge_number_is_one_finding(tmp_path: Path) -> None:
    """The name of an empty file costs neither time nor memory by the number in it."""
    write_log(tmp_path / "audit.jsonl")
    (tmp_path / "audit.99999999999.jsonl").touch()
    report = verify_log(tmp_path / "audit.jsonl")
    assert [(finding.kind, finding.count) for finding in report.errors] == [("segment_missing", 99999999997)]


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        ("verify", 2, "otel-audit: expected stdout, got none: it was closed\n"),
        ("show", 2, "otel-audit: expected stdout, got none: it was closed\n"),
        ("verify -q", 0, ""),
    ],
)
def test_a_closed_stdout_is_no_traceback(tmp_path: Path, command: str, status: int, told: str) -> None:
    """Started without a stdout, a command says that nobody could read it; one that prints nothing has its status."""
    write_log(tmp_path / "audit.jsonl")
    line = f'exec "{sys.executable}" -m otel_audit {command} audit.jsonl >&-'
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (status, told)


def test_a_path_that_no_entry_can_name_is_refused(tmp_path: Path) -> None:
    """A name that is not UTF-8 is refused at the start, not at the first rotation."""
    with pytest.raises(AuditConfigError, match="UTF-8"):
        AuditFileLogExporter(os.fsdecode(os.fsencode(tmp_path) + b"/au\xffdit.jsonl"))


def test_fail_open_goes_on_where_the_log_no_longer_fits(tmp_path: Path) -> None:
    """With failures open, a log that cannot be opened any more stops nothing; the loss is counted."""
    path = tmp_path / "audit.jsonl"
    provider = AuditProvider(AuditFileLogExporter(path, durability="os"), on_failure="open")
    logger = provider.get_audit_logger("test")
    provider.rotate()
    path.unlink()
    provider.exporter.ledger.close()
    assert not logger.emit("test.event").recorded
    other = AuditProvider(AuditFileLogExporter(tmp_path / "other.jsonl", durability="os"), on_failure="open")
    other.rotate()
    (tmp_path / "other.jsonl").unlink()
    assert other.get_audit_logger("test").emit("test.event").recorded
    with pytest.raises(otel_audit.AuditError):
        other.rotate()
    assert not other.get_audit_logger("test").emit("test.event").recorded
    assert other.exporter.ledger.drops.total == 1
    other.shutdown()
    provider.shutdown()


def test_a_loop_that_stopped_does_not_hold_up_another(tmp_path: Path) -> None:
    """A coroutine's append is synced though the loop that would have begun the sync does not run."""
    provider = AuditProvider(AuditFileLogExporter(tmp_path / "audit.jsonl"))
    logger = provider.get_audit_logger("test")
    stopped = asyncio.new_event_loop()
    tasks = []

    async def begin() -> None:
        tasks.append(stopped.create_task(logger.aemit("in.stopped")))

    async def emit() -> bool:
        return (await asyncio.wait_for(logger.aemit("in.other"), 20)).recorded

    stopped.run_until_complete(begin())
    try:
        assert asyncio.run(emit())
        assert stopped.run_until_complete(tasks[0]).recorded
    finally:
        stopped.close()
        provider.shutdown()


async def test_a_rotation_is_not_done_in_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The append that finds the segment full goes to a thread: its digest takes long."""
    import threading

    from otel_audit.ledger import segments

    threads: list[str] = []
    digest = segments.sha256

    def watched(fd: int, size: int) -> str:
        threads.append(threading.current_thread().name)
        return digest(fd, size)

    monkeypatch.setattr(segments, "sha256", watched)
    with AuditProvider(
        AuditFileLogExporter(tmp_path / "audit.jsonl", durability="os", max_segment_bytes=65536)
    ) as provider:
        logger = provider.get_audit_logger("test")
        for _ in range(30):
            await logger.aemit("test.event", attributes={"pad": "x" * 4000})
    assert threads
    assert threading.main_thread().name not in threads


@pytest.mark.parametrize("durability", ["os", "interval"])
def test_a_log_that_vanished_is_noticed_at_the_latest_when_it_is_closed(
    tmp_path: Path, durability: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Between two looks at the path nothing is checked, but a shutdown never passes over a log that is gone."""
    path = tmp_path / "audit.jsonl"
    provider = AuditProvider(AuditFileLogExporter(path, durability=durability))
    provider.get_audit_logger("test").emit("test.event")
    path.unlink()
    provider.get_audit_logger("test").emit("test.event")
    provider.shutdown()
    assert "the audit log could not be closed" in caplog.text


def test_a_rotation_is_no_failed_sync(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The thread that syncs finds a segment closed and synced since it looked, and says nothing."""
    settings = {"durability": "interval", "sync_interval_millis": 1, "max_segment_bytes": 65536}
    with AuditProvider(AuditFileLogExporter(tmp_path / "audit.jsonl", **settings)) as provider:  # type: ignore[arg-type]
        logger = provider.get_audit_logger("test")
        for _ in range(600):
            logger.emit("test.event", attributes={"pad": "x" * 3000})
    assert "could not be synced" not in caplog.text


def test_a_map_whose_names_collide_unfolds_no_further_than_any_other_value(tmp_path: Path) -> None:
    """The text of a map with a shared list in it, unfolded without end, is never asked for."""
    bomb: list[object] = [0] * 10
    for _ in range(30):
        bomb = [bomb] * 10
    with AuditProvider(AuditFileLogExporter(tmp_path / "audit.jsonl", durability="os")) as provider:
        provider.get_audit_logger("test").emit("test.event", attributes={"x": {1: 0, "1": bomb}})
    entry = list(otel_audit.read_log(tmp_path / "audit.jsonl"))[1]
    assert entry.attributes["x"] == "<unprintable dict>"


def test_a_signal_handler_that_ends_the_program_ends_it(tmp_path: Path) -> None:
    """`sys.exit` in a signal handler comes out of an emit that cleans a large value."""
    program = (
        "import os, signal, sys, threading, otel_audit\n"
        "otel_audit.configure(sys.argv[1], durability='os')\n"
        "log = otel_audit.get_audit_logger('test')\n"
        "big = {'rows': [{'id': number, 'v': '\\u00e9'} for number in range(50_000)]}\n"
        "signal.signal(signal.SIGALRM, lambda *_: sys.exit(7))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.02)\n"
        "for _ in range(200):\n"
        "    log.emit('test.event', attributes={'x': big})\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "audit.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr
