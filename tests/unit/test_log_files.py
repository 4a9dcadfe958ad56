"""Which files a path stands for, and which bytes of them are judged."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from otel_audit import log_files
from otel_audit.errors import AuditVerifyError
from otel_audit.log_files import LogFiles, find_log
from tests import logs

NAMES = ("audit.jsonl", "audit.000002.jsonl", "audit.000010.jsonl", "audit.1000000.jsonl")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with four segments of a log, and files that are none of it."""
    for name in (*NAMES, "audit.sha256", "audit.jsonl.bak", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


class TestFindLog:
    """`find_log`."""

    @pytest.mark.parametrize("name", ["", *NAMES, "audit.000007.jsonl", "*", "audit*", "a*t*.jsonl", "*.000002.jsonl"])
    def test_one_log(self, folder: Path, name: str) -> None:
        """A folder, any segment, there or not, and a pattern stand for the whole log."""
        log = find_log(folder / name)
        assert log == LogFiles(folder, "audit.jsonl")
        assert log.numbers() == (1, 2, 10, 1_000_000)

    def test_numbers_have_one_spelling(self, folder: Path) -> None:
        """A name with a number that no writer spells so is no segment."""
        for name in (
            "audit.000001.jsonl",
            "audit.0000003.jsonl",
            "audit.00004.jsonl",
            "audit.\u0661\u0662\u0663456.jsonl",
        ):
            (folder / name).touch()
        assert find_log(folder / "audit.jsonl").numbers() == (1, 2, 10, 1_000_000)

    @pytest.mark.parametrize("pattern", ["", "*", "*.jsonl"])
    def test_several_logs_are_an_error(self, folder: Path, pattern: str) -> None:
        """Where a folder or a pattern stands for several logs, the error names them."""
        (folder / "other.jsonl").touch()
        with pytest.raises(AuditVerifyError, match=r"got audit\.jsonl, other\.jsonl"):
            find_log(folder / pattern)
        assert find_log(folder / "au*").first_name == "audit.jsonl"

    def test_a_pattern_that_fits_nothing_is_an_error(self, folder: Path) -> None:
        """A pattern without a file, and one in a folder that is not there, are errors."""
        for pattern in (folder / "b*", folder / "none" / "*"):
            with pytest.raises(AuditVerifyError, match="a pattern that fits the files of one log.*got none"):
                find_log(pattern)

    def test_a_file_with_a_star_in_its_name_is_itself(self, folder: Path) -> None:
        """Only a name that is no file's is a pattern; other characters never are."""
        (folder / "a*.jsonl").touch()
        assert find_log(folder / "a*.jsonl").first_name == "a*.jsonl"
        assert find_log(folder / "[a]udit.jsonl").numbers() == ()
        assert find_log(folder / "audi?.jsonl").numbers() == ()


class TestOpen:
    """`LogFiles.open`."""

    def test_a_rotation_meanwhile_is_no_missing_segment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where a segment was added while the lengths were taken, all are taken again."""
        (tmp_path / "audit.jsonl").write_bytes(b"one\n")
        size = log_files._size

        def rotating(file: object, *, locked: bool, patient: bool) -> int:
            before = size(file, locked=locked, patient=patient)  # type: ignore[arg-type]
            if not (tmp_path / "audit.000002.jsonl").exists():
                (tmp_path / "audit.000002.jsonl").write_bytes(b"two\n")
                (tmp_path / "audit.jsonl").write_bytes(b"one, and rotated\n")
            return before

        monkeypatch.setattr(log_files, "_size", rotating)
        with contextlib.ExitStack() as stack:
            segments = find_log(tmp_path).open(stack)
            assert [(s.name, s.size_bytes) for s in segments] == [("audit.jsonl", 17), ("audit.000002.jsonl", 4)]
            assert [s.read(0, 3) for s in segments] == [b"one", b"two"]

    def test_reads_the_checksums_of_a_lone_segment(self, tmp_path: Path) -> None:
        """The checksum file counts even where all later segments are gone; other lines do not."""
        (tmp_path / "audit.jsonl").write_bytes(logs.join(logs.log(3)))
        digest = "a" * 64
        (tmp_path / "audit.sha256").write_text(f"# x\n{digest[:10]}\n{digest}  audit.jsonl\n{digest}  ../up.jsonl\n")
        checksums = find_log(tmp_path).checksums()
        assert checksums.digests == {"audit.jsonl": digest}
        assert checksums.path == str(tmp_path / "audit.sha256")
