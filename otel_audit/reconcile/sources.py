"""Where copied entries come from: a file, and a process.

A hint only, and no proof of whose an entry is: that is the chain's. It tells entries that may be the
log's from those of other logs in the same archive. Service and host alone tell nothing: several of
them may write one log.
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
"""What a source is to the log: the same process; the same file, by another process; not to be told; another file's."""


class Source(NamedTuple):
    """Where an entry comes from, as far as the copy and the line say.

    Attributes:
        file: The log's path, and the host that the collector names; empty where it names none.
        process: The service's namespace and name, the host, the pid, and the instance's id: in a
            container each process may have the pid 1.
    """

    file: tuple[str, str] | None
    process: tuple[str | None, str | None, str | None, int | None, str | None] | None


class Sources:
    """Files and processes that entries of the log come from."""

    def __init__(self) -> None:
        self._known: set[Source] = set()
        self._hosts_of_files: dict[str, set[str]] = {}
        self._processes: set[object] = set()
        self._last: Source | None = None

    def add(self, source: Source) -> None:
        """Note where an entry of the log comes from."""
        if source == self._last:
            return
        self._last = source
        if len(self._known) >= MAX_SOURCES:
            return
        self._known.add(source)
        if source.file is not None:
            path, host = source.file
            self._hosts_of_files.setdefault(path, set()).add(host)
        if source.process is not None:
            self._processes.add(source.process)

    def kinship(self, source: Source, lines: Iterable[bytes] = ()) -> Kinship:
        """Return what a source is to the log.

        A file that the copy names decides against it, where entries of the log come from files that
        are named, too, and none of them is that one. But a process of the log may write a second
        log, or have its folder under another path: then nothing can be told.

        Args:
            source: Of an entry that no chain leads to.
            lines: What the log has in the entry's place.
        """
        here = (of_line(line).process for line in lines)
        same = source.process is not None and (source.process in self._processes or source.process in here)
        known = source.file is not None and self._knows(*source.file)
        if source.file is not None and self._hosts_of_files and not known:
            return "unknown" if same else "other"
        if same:
            return "process"
        return "file" if known else "unknown"

    def _knows(self, path: str, host: str) -> bool:
        hosts = self._hosts_of_files.get(path, set())
        # of two collectors of one file one may name the host, and the other not
        return host in hosts or "" in hosts or (not host and bool(hosts))


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


_NOWHERE: Final = Source(None, None)


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
    name, host, instance = texts.get(semconv.SERVICE_NAME), texts.get(semconv.HOST_NAME), texts.get(_INSTANCE)
    if (pid is None and instance is None) or (name is None and host is None):
        return _NOWHERE  # many hosts have a process with that pid
    return Source(None, (texts.get(_SERVICE_NAMESPACE), name, host, pid, instance))
