"""The record that all figures are about, and the pipeline that users have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from opentelemetry.sdk.resources import Resource

from otel_audit import AuditFileLogExporter, AuditLogger, AuditProvider, AuditReceipt, Target

EVENT_NAME = "file.write"
RESOURCE = Resource.create({"service.name": "bench"})
TARGET = Target("src/api.py", "file")


def open_log(path: Path, durability: Literal["always", "interval", "os"]) -> AuditProvider:
    """Open a log."""
    return AuditProvider(AuditFileLogExporter(path, durability=durability), resource=RESOURCE)


def emit(audit: AuditLogger) -> AuditReceipt:
    """Emit the record; its draft is made inside, as in real use."""
    return audit.emit(EVENT_NAME, action="WRITE", target=TARGET, attributes={"lines": 42})


async def aemit(audit: AuditLogger) -> AuditReceipt:
    """Emit the same from a coroutine."""
    return await audit.aemit(EVENT_NAME, action="WRITE", target=TARGET, attributes={"lines": 42})


def sample(folder: Path) -> tuple[bytes, dict[str, object]]:
    """Return the line that one emit writes, and the attributes that stand in it."""
    path = folder / "sample.jsonl"
    with open_log(path, "os") as provider:
        emit(provider.get_audit_logger("bench"))
        line = path.read_bytes().splitlines(keepends=True)[-1]
    return line, json.loads(line)["attributes"]
