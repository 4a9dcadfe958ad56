"""What is found of a log, without a byte of it changed."""

from __future__ import annotations

import fcntl
import re
from pathlib import Path

import pytest

from otel_audit.doctor import log as doctor_log
from otel_audit.doctor.check import Check
from otel_audit.doctor.filesystem import FileSystem
from otel_audit.doctor.log import check_log
from otel_audit.pipeline.exporter import AuditFileLogExporter
from otel_audit.pipeline.provider import AuditProvider
from tests.disk import fill

SECRET = "0123456789abcdef0123456789abcdef"


def write(path: Path, **settings: str) -> None:
    """Make a log with one entry."""
    with AuditProvider(AuditFileLogExporter(path, **settings)) as provider:  # type: ignore[arg-type]
        provider.get_audit_logger("test").emit("x")


def found(path: Path, **environ: str) -> list[Check]:
    """Return what is found, and check that nothing is changed by it."""

    def there() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in path.parent.glob("**/*") if file.is_file()}

    before = there()
    checks = list(check_log({"OTEL_AUDIT_FILE": str(path), **environ}))
    assert there() == before
    return checks


def problems(checks: list[Check]) -> list[str]:
    """Return what is wrong."""
    return [check.text for check in checks if check.state == "problem"]


def of(checks: list[Check], subject: str) -> Check:
    """Return the check of one thing."""
    [one] = [check for check in checks if check.subject == subject]
    return one


def test_new(tmp_path: Path) -> None:
    """A log that is not there yet is not made; a durable emit beside it is timed, and leaves nothing."""
    checks = found(tmp_path / "audit.jsonl", OTEL_AUDIT_ON_FAILURE="open")
    assert problems(checks) == []
    assert of(checks, "settings").details["on_failure"] == "open"
    emit = of(checks, "durable emit")
    assert 0 < emit.details["median_micros"] <= emit.details["slowest_micros"]  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_existing(tmp_path: Path) -> None:
    """A log that is there and fits is opened for appending and locked, and not a byte of it is changed."""
    path = tmp_path / "audit.jsonl"
    write(path)
    checks = found(path)
    assert problems(checks) == []
    assert of(checks, str(path)).details["seq"] == 3


@pytest.mark.parametrize(
    ("made", "asked", "problem"),
    [
        ({}, {"OTEL_AUDIT_INTEGRITY": "hash"}, "expected integrity 'hash', got a log of integrity 'chain'"),
        ({}, {"OTEL_AUDIT_HMAC_KEY_FILE": "key"}, "expected a log with HMAC key .*, got one with no HMAC key"),
        ({"hmac_key_file": "key"}, {}, "expected a log with no HMAC key, got one with HMAC key"),
        ({"hmac_key_file": "key"}, {"OTEL_AUDIT_HMAC_KEY_FILE": "other"}, "expected a log with HMAC key .*, got one"),
    ],
)
def test_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict[str, str], asked: dict[str, str], problem: str
) -> None:
    """A log of another integrity or another key is a problem; no key is shown."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "other").write_text(SECRET[::-1])
    write(tmp_path / "audit.jsonl", **made)
    checks = found(tmp_path / "audit.jsonl", **asked)
    [told] = problems(checks)
    assert re.match(problem, told)
    assert SECRET not in str(checks)
    assert SECRET[::-1] not in str(checks)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        (
            {"OTEL_AUDIT_DURABILITY": "never"},
            "OTEL_AUDIT_DURABILITY: expected one of always, interval, os, got 'never'",
        ),
        ({"OTEL_AUDIT_HMAC_KEY_FILE": "/absent"}, "/absent: the key file cannot be read: No such file or directory"),
    ],
)
def test_settings(tmp_path: Path, environ: dict[str, str], problem: str) -> None:
    """A setting that cannot be is all that is told."""
    assert [check.text for check in found(tmp_path / "audit.jsonl", **environ)] == [problem]


def test_no_folder(tmp_path: Path) -> None:
    """A folder that does not exist is a problem."""
    assert problems(found(tmp_path / "absent" / "audit.jsonl")) == [
        "the folder does not exist; make it first, mode 0700"
    ]


def test_read_only(ordinary_user: Path) -> None:
    """A log that may only be read is a problem."""
    path = ordinary_user / "audit.jsonl"
    write(path)
    path.chmod(0o400)
    assert problems(found(path)) == ["cannot be opened for appending: Permission denied"]


def test_read_only_folder(ordinary_user: Path) -> None:
    """A folder where nothing can be made is a problem for a log that is to be made, and for the next segment of one."""
    path = ordinary_user / "audit.jsonl"
    ordinary_user.chmod(0o500)
    text = "nothing can be made in this folder: Permission denied"
    more = "; the log, or its next segment, has to be"
    assert problems(found(path)) == [text + more]
    ordinary_user.chmod(0o700)
    write(path)
    ordinary_user.chmod(0o500)
    assert problems(found(path)) == [text + more]
    ordinary_user.chmod(0o700)


def test_full_disk(disk: Path) -> None:
    """A disk without room is a problem."""
    fill(disk)
    [problem] = problems(found(disk / "audit.jsonl"))
    assert "No space left on device" in problem


def test_locked(tmp_path: Path) -> None:
    """A log that somebody holds for a second is a problem."""
    path = tmp_path / "audit.jsonl"
    write(path)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        [problem] = problems(found(path, OTEL_AUDIT_LOCK_TIMEOUT="5"))
    assert problem.startswith("locked by ")


def test_no_log(tmp_path: Path) -> None:
    """A file that is no audit log is a problem."""
    path = tmp_path / "audit.jsonl"
    path.write_text('{"hello": 1}\n')
    [problem] = problems(found(path))
    assert "not an audit log" in problem


def test_segments(tmp_path: Path) -> None:
    """Of a log in segments the last one is looked at."""
    path = tmp_path / "audit.jsonl"
    write(path)
    with AuditProvider(AuditFileLogExporter(path)) as provider:
        provider.exporter.ledger.rotate()
    last = of(found(path), str(tmp_path / "audit.000002.jsonl"))
    assert last.state == "ok"
    assert last.details["seq"] == 7


def test_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system is named."""
    monkeypatch.setattr(doctor_log, "file_system", lambda _path: FileSystem("nfs4", True))
    note = of(found(tmp_path / "audit.jsonl"), str(tmp_path))
    assert (note.state, note.details) == ("note", {"file_system": "nfs4", "is_network": True})
    assert "a network file system (nfs4)" in note.text


def test_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a name for its service is told so."""
    monkeypatch.delenv("OTEL_SERVICE_NAME")
    assert of(found(tmp_path / "audit.jsonl"), "actor").state == "note"
