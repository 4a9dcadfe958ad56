"""`otel_audit.query.new_file`: there when it is whole, and not before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from otel_audit.errors import AuditError
from otel_audit.query.new_file import new_file
from tests.disk import fill


def write(path: Path, data: bytes = b"new", *, replace: bool = False) -> None:
    """Write a file."""
    with new_file(str(path), replace=replace) as file:
        file.write(data)


def test_whole(tmp_path: Path) -> None:
    """The file has its name only once its body is through, and nothing else is left beside it."""
    path = tmp_path / "x"
    with new_file(str(path)) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x"]


def test_mode(tmp_path: Path) -> None:
    """Its owner alone may read it, whatever the umask."""
    before = os.umask(0)
    try:
        write(tmp_path / "x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


def test_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without a folder is one in the current folder."""
    monkeypatch.chdir(tmp_path)
    write(Path("x"))
    assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit, ValueError])
@pytest.mark.parametrize("replace", [False, True])
def test_nothing_is_left(tmp_path: Path, error: type[BaseException], replace: bool) -> None:
    """Where the body raises, nothing is left, and what was there before still is."""
    path = tmp_path / "x"
    if replace:
        path.write_bytes(b"old")
    with pytest.raises(error), new_file(str(path), replace=replace) as file:
        file.write(b"new")
        raise error
    assert os.listdir(tmp_path) == (["x"] if replace else [])
    assert not replace or path.read_bytes() == b"old"


def test_one_that_is_there(tmp_path: Path) -> None:
    """A file that is there stays as it is unless it is to be replaced."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(AuditError, match="--force"):
        write(path)
    assert path.read_bytes() == b"old"
    write(path, replace=True)
    assert path.read_bytes() == b"new"


def test_one_that_comes_meanwhile(tmp_path: Path) -> None:
    """A file that comes while this one is written is not replaced either."""
    path = tmp_path / "x"
    with pytest.raises(AuditError, match="came meanwhile"), new_file(str(path)):
        path.write_bytes(b"other")
    assert path.read_bytes() == b"other"
    assert os.listdir(tmp_path) == ["x"]


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no hard links, the file gets its name all the same, and replaces none."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "x")
    with pytest.raises(AuditError, match="--force"):
        write(tmp_path / "x", b"other")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("replace", [False, True])
def test_what_is_no_file(tmp_path: Path, replace: bool) -> None:
    """A folder, a pipe, a link: what is no file is never replaced, and stdout is not offered in its place."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("folder", "pipe", "link"):
        with pytest.raises(AuditError, match="expected a new file, got (a folder|something that is no file)$"):
            write(tmp_path / name, replace=replace)
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]


def test_no_folder(tmp_path: Path) -> None:
    """Where the folder is not there, the error names it."""
    with pytest.raises(AuditError, match="no/such: cannot write there: No such file"):
        write(tmp_path / "no" / "such" / "x")


def test_a_full_disk(disk: Path) -> None:
    """On a full disk it fails, nothing of it is left, and what was there before still is."""
    (disk / "x").write_bytes(b"old")
    filler = fill(disk, free_pages=2)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write(disk / "x", b"n" * 100_000, replace=True)
    filler.unlink()
    assert [(path.name, path.read_bytes()) for path in disk.iterdir()] == [("x", b"old")]
