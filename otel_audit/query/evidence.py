"""Evidence: a zip file with a whole log, what was found in it, and all that a stranger needs to check it.

The log's bytes as they are, checksums, and a script for coreutils (docs/export.md, "Evidence").
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from importlib import resources
from typing import BinaryIO, Final, NamedTuple

import orjson

import otel_audit
from otel_audit.errors import AuditVerifyError
from otel_audit.log_files import find_log
from otel_audit.segment_name import checksum_name
from otel_audit.verify import VerifyReport

_READ_BYTES: Final = 1 << 20
_EXECUTABLE: Final = frozenset({"check.sh"})
_OWN: Final = ("README.txt", "check.sh", "entry.schema.json")
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""What a zip file calls no time: the same log gives the same bytes."""


class _File(NamedTuple):
    """A file of the log, as it was judged."""

    path: str
    name: str
    size_bytes: int
    entries: int


def write_evidence(
    file: BinaryIO,
    path: str,
    report: VerifyReport,
    result_text: str,
    result_json: str,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the zip file.

    Memory: some MiB. What was appended since the log was verified is left out.

    Args:
        file: Open for bytes.
        path: The log.
        report: What verifying it found; the sizes of its segments say how much is packed.
        result_text: The same for people.
        result_json: The same for programs.
        progress: Told how many bytes of the log were packed, of how many.

    Raises:
        AuditVerifyError: The log cannot be read, is shorter by now, or has a line end in its name.
    """
    log = find_log(path)
    stem = log.first_name.removesuffix(".jsonl")
    files = [_File(one.path, _name(one.path), one.size_bytes, one.entries) for one in report.segments]
    if any("\n" in name for name in (log.first_name, *(one.name for one in files))):
        # SHA256SUMS, and what reads it, has a name a line
        raise AuditVerifyError(f"{path}: expected a log whose name has no line end, got one with it; copy it first")
    total = sum(one.size_bytes for one in files)
    sums: list[tuple[str, str]] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        archive = _Archive(made, f"{_shown(stem)}-evidence", sums)
        for name in _OWN:
            archive.add(name, resources.files("otel_audit.query").joinpath("evidence_files", name).read_bytes())
        archive.add("verify.txt", result_text.encode())
        archive.add("verify.json", result_json.encode())
        checksums = log.folder / checksum_name(log.first_name)
        if log.first_name.endswith(".jsonl") and checksums.is_file():
            archive.add(_shown(checksums.name), _read(str(checksums)))
        done = 0
        segments = []
        for one in files:
            digest = archive.copy(f"log/{one.name}", _pieces(one, done, total, progress), one.size_bytes)
            segments.append({"name": one.name, "size_bytes": one.size_bytes, "sha256": digest, "entries": one.entries})
            done += one.size_bytes
        archive.add("manifest.json", _manifest(_shown(log.first_name), report, segments))
        archive.add("SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in sums).encode())


class _Archive:
    """The zip file that is made: everything in one folder, and a checksum of each file."""

    def __init__(self, made: zipfile.ZipFile, folder: str, sums: list[tuple[str, str]]) -> None:
        self._made = made
        self._folder = folder
        self._sums = sums

    def add(self, name: str, data: bytes) -> None:
        self.copy(name, iter([data]), len(data))

    def copy(self, name: str, pieces: Iterator[bytes], size: int) -> str:
        info = zipfile.ZipInfo(f"{self._folder}/{name}", _NO_TIME)
        info.create_system = 3  # Unix: the mode counts
        info.external_attr = (0o100755 if name in _EXECUTABLE else 0o100644) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        info.file_size = size
        sha256 = hashlib.sha256()
        with self._made.open(info, "w") as target:
            for piece in pieces:
                sha256.update(piece)
                target.write(piece)
        self._sums.append((name, sha256.hexdigest()))
        return self._sums[-1][1]


def _pieces(one: _File, done: int, total: int, progress: Callable[[int, int], None] | None) -> Iterator[bytes]:
    left = one.size_bytes
    try:
        with open(one.path, "rb", buffering=0) as source:
            while left:
                piece = source.read(min(left, _READ_BYTES))
                if not piece:
                    raise AuditVerifyError(f"{one.path}: expected {one.size_bytes} bytes, got {one.size_bytes - left}")
                left -= len(piece)
                yield piece
                if progress is not None:
                    progress(done + one.size_bytes - left, total)
    except OSError as error:
        raise AuditVerifyError(f"{one.path}: cannot be read: {error.strerror or error}") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise AuditVerifyError(f"{path}: cannot be read: {error.strerror or error}") from None


def _manifest(name: str, report: VerifyReport, segments: list[dict[str, object]]) -> bytes:
    head = report.head
    members = {
        "schema_version": 1,
        "made_by": f"otel-audit {otel_audit.__version__}",
        "log": name,
        "stream_id": report.stream_id,
        "integrity": report.integrity,
        "key_id": report.key_id,
        "entries": report.entries,
        "head": None if head is None else {"seq": head.seq, "hash": head.hash or None},
        "errors": len(report.errors),
        "warnings": len(report.warnings),
        "segments": segments,
    }
    return orjson.dumps(members, option=orjson.OPT_INDENT_2) + b"\n"


def _name(path: str) -> str:
    return _shown(os.path.basename(path))


def _shown(name: str) -> str:
    """Return a base name that a zip file can have: bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")
