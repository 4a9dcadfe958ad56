"""Where copied entries come from: a file, a process, a service on a host.

A hint only, and no proof of whose an entry is: that is the chain's. It tells entries that may be the
log's from those of other logs in the same archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import orjson

from otel_audit import semconv
from otel_audit.reconcile.copied import Copied
from otel_audit.reconcile.otlp_json import Telemetry, integer, text
from otel_audit.segment_name import first_segment_name

MAX_SOURCES: Final = 10_000
"""That are kept: other processes' beyond that are not told apart from strangers."""
_FILE_PATH: Final = "log.file.path"
_SERVICE_NAMESPACE: Final = "service.namespace"
_INSTANCE: Final = "service.instance.id"
_RESOURCE: Final = b',"resource":{'
_BEHIND: Final = re.compile(rb',"(?:scope|prev_hash|hash)":["{]')

Kinship = Literal["process", "file", "unknown", "other"]
"""What a source is to the log: the same process; the same file, by another process; not to be told; another."""


class Source(NamedTuple):
    """Where an entry comes from, as far as the copy and the line say.

    Attributes:
        file: The log's path, and the host that the collector names.
        service: Namespace and name.
        host: ``host.name``.
        process: The pid, and the instance's id: in a container each process may have the pid 1.
    """

    file: tuple[str, str] | None
    service: tuple[str, str] | None
    host: str | None
    process: tuple[int | None, str | None] | None


class Sources:
    """Files, processes and services that entries of the log come from."""

    def __init__(self) -> None:
        self._known: set[Source] = set()
        self._files: set[object] = set()
        self._processes: set[object] = set()
        self._services: set[object] = set()
        self._hosts: set[object] = set()
        self._last: Source | None = None

    def add(self, source: Source) -> None:
        """Note where an entry of the log comes from."""
        if source == self._last:
            return
        self._last = source
        if len(self._known) >= MAX_SOURCES:
            return
        self._known.add(source)
        for known, one in (
            (self._files, source.file),
            (self._processes, _process(source)),
            (self._services, source.service),
            (self._hosts, source.host),
        ):
            if one is not None:
                known.add(one)

    def kinship(self, source: Source, lines: Iterable[bytes] = ()) -> Kinship:
        """Return what a source is to the log.

        A file that the copy names decides, where entries of the log come from files that are named,
        too. Else the service and its host do, as far as both say them.

        Args:
            source: Of an entry that no chain leads to.
            lines: What the log has in the entry's place.
        """
        if source.file is not None and self._files and source.file not in self._files:
            return "other"
        process = _process(source)
        here = (_process(of_line(line)) for line in lines)
        if process is not None and (process in self._processes or process in here):
            return "process"
        if source.file in self._files:
            return "file"
        for known, one in ((self._services, source.service), (self._hosts, source.host)):
            if one is not None and known and one not in known:
                return "other"
        return "unknown"


def source_of(copied: Copied) -> Source:
    """Return where a copied entry comes from."""
    source = _NOWHERE if copied.line is None else of_line(copied.line)
    if copied.telemetry is None:
        return source
    if source is _NOWHERE:
        source = _of_telemetry(copied.telemetry)
    path = text(copied.attributes.get(_FILE_PATH))
    if path is None:
        return source
    folder, slash, name = path.rpartition("/")
    host = text((copied.telemetry.resource or {}).get(semconv.HOST_NAME)) or ""
    return source._replace(file=(f"{folder}{slash}{first_segment_name(name)}", host))


def of_line(line: bytes) -> Source:
    """Return where an entry comes from, as its line says."""
    begin = line.rfind(_RESOURCE)
    end = _BEHIND.search(line, begin) if begin >= 0 else None
    return _NOWHERE if end is None else _of_resource(line[begin + len(_RESOURCE) - 1 : end.start()])


_NOWHERE: Final = Source(None, None, None, None)


@lru_cache(maxsize=1024)
def _of_resource(resource: bytes) -> Source:
    try:
        members: Any = orjson.loads(resource)
    except orjson.JSONDecodeError:
        return _NOWHERE
    if not isinstance(members, dict):
        return _NOWHERE
    texts = {name: value for name, value in members.items() if isinstance(value, str)}
    pid = members.get(semconv.PROCESS_PID)
    return _source(texts, pid if type(pid) is int else None)


def _of_telemetry(telemetry: Telemetry) -> Source:
    found = telemetry.resource or {}
    names = (semconv.SERVICE_NAME, _SERVICE_NAMESPACE, _INSTANCE, semconv.HOST_NAME)
    texts = {name: value for name in names if (value := text(found.get(name))) is not None}
    return _source(texts, integer(found.get(semconv.PROCESS_PID)))


def _source(texts: dict[str, str], pid: int | None) -> Source:
    name, instance = texts.get(semconv.SERVICE_NAME), texts.get(_INSTANCE)
    return Source(
        file=None,
        service=None if name is None else (texts.get(_SERVICE_NAMESPACE, ""), name),
        host=texts.get(semconv.HOST_NAME),
        process=None if pid is None and instance is None else (pid, instance),
    )


def _process(source: Source) -> tuple[object, ...] | None:
    if source.process is None or (source.service is None and source.host is None):
        return None  # many hosts have a process with that pid
    return source[1:]
