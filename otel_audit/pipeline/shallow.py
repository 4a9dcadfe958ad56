"""Deep values of a log record, for those behind the file.

A line nests up to 64 deep. Protobuf's readers stop at 100 messages inside one another, of which
OTLP spends two on each array and three on each map: one deep record would cost a batch
processor its whole batch. So copies carry what lies deeper as JSON text.
"""

from __future__ import annotations

from typing import Final, cast

import orjson
from opentelemetry._logs import LogRecord
from opentelemetry.util.types import AnyValue

from otel_audit.line import Draft

MAX_COPY_DEPTH: Final = 28
"""Containers inside one another in the body or an attribute of a copy."""


def may_be_deep(draft: Draft) -> bool:
    """Whether an entry has so many brackets that a value in it may be too deep. Cheap."""
    return draft.before.count(b"[") + draft.before.count(b"{") > MAX_COPY_DEPTH


def make_shallow(log: LogRecord) -> None:
    """Replace what lies too deep in body and attributes by its JSON text."""
    log.body = cast("AnyValue", _shallow(log.body, 1))
    attributes = log.attributes
    if attributes is not None:
        for name, value in list(attributes.items()):
            if isinstance(value, list | tuple | dict):
                attributes[name] = _shallow(value, 1)  # type: ignore[index]


def _shallow(value: object, depth: int) -> object:
    if isinstance(value, list | tuple):
        return orjson.dumps(value).decode() if depth > MAX_COPY_DEPTH else [_shallow(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if depth > MAX_COPY_DEPTH:
            return orjson.dumps(value).decode()
        return {name: _shallow(item, depth + 1) for name, item in value.items()}
    return value
