"""Where copied entries come from: a file, or a process.

A hint only, and no proof of whose an entry is: that is the chain's. It tells entries that may be the
log's from those of other logs in the same archive.
"""

from __future__ import annotations

import re
from typing import Final

from otel_audit import semconv
from otel_audit.reconcile.copied import Copied
from otel_audit.reconcile.otlp_json import Telemetry, text
from otel_audit.segment_name import first_segment_name

MAX_SOURCES: Final = 10_000
"""That are kept: other processes' beyond that are not told apart from strangers."""
_INSTANCE: Final = "service.instance.id"
_FILE_PATH: Final = "log.file.path"
_RESOURCE: Final = b',"resource":{'
_BEHIND: Final = re.compile(rb',"(?:scope|prev_hash|hash)":["{]')


class Sources:
    """Files and processes that entries of the log were copied from."""

    def __init__(self) -> None:
        self._known: set[object] = set()
        self._last: object = None

    def add(self, copied: Copied) -> None:
        """Note where an entry of the log comes from."""
        spelt = _spelt(copied)
        if spelt is None or spelt == self._last:
            return
        self._last = spelt
        if len(self._known) < MAX_SOURCES:
            self._known.add(_source(spelt))

    def __contains__(self, source: object) -> bool:
        return source is not None and source in self._known


def source_of(copied: Copied) -> object:
    """Return where an entry comes from: the log's file with its host, else its resource; None: it does not say."""
    spelt = _spelt(copied)
    return None if spelt is None else _source(spelt)


def _spelt(copied: Copied) -> tuple[str, ...] | bytes | None:
    if copied.telemetry is not None:
        path = text(copied.attributes.get(_FILE_PATH))
        if path is not None:
            return path, _of_resource(copied.telemetry, semconv.HOST_NAME)
    if copied.line is not None:
        begin = copied.line.rfind(_RESOURCE)
        end = _BEHIND.search(copied.line, begin) if begin >= 0 else None
        return None if end is None else copied.line[begin : end.start()]
    assert copied.telemetry is not None
    instance = _of_resource(copied.telemetry, _INSTANCE)
    return ("", instance, _of_resource(copied.telemetry, semconv.HOST_NAME)) if instance else None


def _source(spelt: tuple[str, ...] | bytes) -> object:
    if isinstance(spelt, bytes) or not spelt[0]:
        return spelt
    folder, slash, name = spelt[0].rpartition("/")
    return f"{folder}{slash}{first_segment_name(name)}", *spelt[1:]


def _of_resource(telemetry: Telemetry, name: str) -> str:
    return text((telemetry.resource or {}).get(name)) or ""
