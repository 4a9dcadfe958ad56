"""What one log case is, and how it is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.vectors.sealing import text

WARNINGS = frozenset({"clock_backwards", "intent_without_outcome", "schema"})
INFORMATION = frozenset({"voided", "dropped"})


def finding(
    kind: str,
    line: int | None,
    seq: int | None,
    *,
    count: int = 1,
    severity: str | None = None,
    file: str = "audit.jsonl",
) -> dict[str, object]:
    """Return one expected finding; severity follows from the kind unless given."""
    if severity is None:
        severity = "warning" if kind in WARNINGS else "info" if kind in INFORMATION else "error"
    return {"kind": kind, "severity": severity, "file": file, "line": line, "seq": seq, "count": count}


@dataclass(frozen=True)
class LogCase:
    """A log with at most one fault, the options of the check, and what must be found."""

    name: str
    description: str
    files: dict[str, bytes]
    findings: list[dict[str, object]]
    options: dict[str, object] = field(default_factory=dict)
    exit_status: int = 0
    key: bytes | None = None
    mode: str = "chain"

    @property
    def intact(self) -> bool:
        """Whether the log proves itself whole: no error, and mode ``chain``."""
        sound = not any(f["severity"] == "error" for f in self.findings)
        return sound and self.mode == "chain"

    def expected(self) -> dict[str, object]:
        """Return what ``case.json`` says under ``expected``."""
        anchors = self.options.get("anchors")
        return {
            "exit_status": self.exit_status,
            "intact": self.intact,
            "anchored": bool(anchors) and self.exit_status == 0 and self.mode != "none",
            "findings": self.findings,
        }


Lines = list[bytes]


class Cases:
    """Collects the cases of one module in the order in which they are written."""

    def __init__(self) -> None:
        self.all: list[LogCase] = []

    def add(
        self,
        name: str,
        description: str,
        log: Lines | bytes | dict[str, bytes] | None,
        *findings: dict[str, object],
        exit_status: int | None = None,
        key: bytes | None = None,
        mode: str = "chain",
        **options: object,
    ) -> None:
        """Add a case: its one file ``audit.jsonl``, or all its files by name.

        The exit status is 1 if a finding is an error, else 0, unless given.
        """
        if exit_status is None:
            exit_status = int(any(f["severity"] == "error" for f in findings))
        if key is not None:
            options["hmac_key_file"] = "hmac.key"
        if isinstance(log, dict):
            files = log
        else:
            files = {} if log is None else {"audit.jsonl": text(log) if isinstance(log, list) else log}
        self.all.append(LogCase(name, description, files, list(findings), options, exit_status, key, mode))


def changed(lines: Lines, at: int, edit: Callable[[bytes], bytes]) -> Lines:
    """Return the lines with line ``at`` (from 1) edited."""
    return [edit(line) if n == at else line for n, line in enumerate(lines, 1)]


def without(lines: Lines, *at: int) -> Lines:
    """Return the lines without the numbered ones (from 1)."""
    return [line for n, line in enumerate(lines, 1) if n not in at]


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return an edit that puts ``new`` for ``old``, which must stand there exactly once."""

    def edit(line: bytes) -> bytes:
        if line.count(old) != 1:
            raise ValueError(f"expected {old!r} once, got {line.count(old)} times in {line!r}")
        return line.replace(old, new)

    return edit
