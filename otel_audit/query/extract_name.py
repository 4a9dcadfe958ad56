"""Which files are extracts: by how they begin, and by what they are called."""

from __future__ import annotations

import os

from otel_audit.query.extract import BEGINS, SUFFIX
from otel_audit.segment_name import checksum_name, segment_number


def is_extract(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a file that begins as an extract does, and is none of a log.

    What has the name of a log, or a log's other files beside it, is judged as a log, whatever it
    begins with: else an extract of it, put in its place, would hide all that it leaves out.
    """
    try:
        if not os.path.isfile(path) or _is_of_a_log(os.fspath(path)):
            return False
        with open(path, "rb") as file:
            return file.read(len(BEGINS)) == BEGINS
    except OSError:
        return False


def _is_of_a_log(path: str) -> bool:
    names = {os.path.basename(path), os.path.basename(os.path.realpath(path))}
    if any(name.lower().endswith(".jsonl") for name in names):
        return True
    name = os.path.basename(path)
    if name.endswith(SUFFIX):
        return False
    beside = os.listdir(os.path.dirname(path) or os.curdir)
    first_name = f"{name}.jsonl"
    return checksum_name(first_name) in beside or any(segment_number(first_name, one) is not None for one in beside)
