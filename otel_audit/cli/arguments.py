"""Arguments that several commands have, and what they stand for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Final

from otel_audit.cli.text import path_text
from otel_audit.errors import AuditError
from otel_audit.line_form import MAX_SEQ
from otel_audit.log_files import STDIN

_ANCHOR: Final = re.compile(r"[1-9][0-9]{0,15}:[0-9a-f]{64}", re.ASCII)
_MAX_DIGITS: Final = 16


def add_anchors(parser: argparse.ArgumentParser) -> None:
    """Add the options that name anchors; `anchors_from` returns them."""
    parser.add_argument(
        "--anchor",
        dest="anchors",
        action="append",
        default=[],
        type=anchor,
        metavar="SEQ:HASH",
        help="a receipt, or another proof of an entry from outside the log; may be repeated",
    )
    parser.add_argument(
        "--anchor-file",
        dest="anchor_files",
        action="append",
        default=[],
        type=log_path,
        metavar="FILE",
        help="a file with one anchor a line; empty lines and lines that begin with # are left out",
    )


def anchors_from(arguments: argparse.Namespace) -> list[str]:
    """Return the anchors that were given, each as ``SEQ:HASH``.

    Raises:
        AuditError: A file of anchors cannot be read, or a line of it is none.
    """
    anchors = list(arguments.anchors)
    for name in arguments.anchor_files:
        anchors += _read_anchors(name)
    return anchors


def log_path(text: str) -> str:
    """Return an argument that names a file."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}")
    return text


def check_stdin_once(paths: Sequence[str]) -> None:
    """Raise `AuditError` where ``-`` is among these paths twice: what was read is gone."""
    if paths.count(STDIN) > 1:
        raise AuditError("expected - (stdin) once, got it more often")


def whole_number(least: int = 0, most: int = MAX_SEQ) -> Callable[[str], int]:
    """Return what reads an argument that is a whole number, between two that may be it, too."""
    expected = f"a whole number from {least}" + (f" to {most:,}" if most < MAX_SEQ else "")

    def parsed(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return int(text)

    return parsed


def trace_id(text: str) -> str:
    """Return an argument that is the id of a trace, in lower case."""
    return _hexadecimal(text, 32)


def span_id(text: str) -> str:
    """Return an argument that is the id of a span, in lower case."""
    return _hexadecimal(text, 16)


def anchor(text: str) -> str:
    """Return an argument that is an anchor."""
    if _ANCHOR.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"expected SEQ:HASH with 64 lower-case hexadecimal digits, got {text!r}")
    return text


def _hexadecimal(text: str, length: int) -> str:
    digits = text.lower()
    if len(digits) != length or not set(digits) <= set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"expected {length} hexadecimal digits, got {text!r}")
    return digits


def _read_anchors(name: str) -> list[str]:
    """Return the anchors in a file.

    Raises:
        AuditError: It cannot be read, or a line of it is no anchor.
    """
    try:
        with open(name, "rb") as file:
            lines = file.read().decode("ascii", "backslashreplace").split("\n")
    except OSError as error:
        raise AuditError(f"{path_text(name)}: cannot be read: {error.strerror or error}") from None
    anchors = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            anchors.append(anchor(text))
        except argparse.ArgumentTypeError as error:
            raise AuditError(f"{path_text(name)}:{number}: {error}") from None
    return anchors
