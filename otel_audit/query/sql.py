"""SQL over a log, with DuckDB: the views, and the walls around them (docs/reading.md, "SQL").

The lines are handed to the database as they are read, each checked by the strict parser first, so
that it sees the same entries as everybody else; what a query does not ask for is not taken out of
them. Memory stays bounded: a query that needs more spills into a folder of its own, and one whose single values
need more than there may be (the database does not count these against its limit) ends with an error.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from otel_audit.entry import Entry, MalformedLineError, parse_entry, parse_line
from otel_audit.errors import AuditConfigError, AuditError
from otel_audit.log_files import STDIN
from otel_audit.query.columns import COLUMNS, Kind
from otel_audit.query.fields import SHORT_NAMES
from otel_audit.query.memory import bounded_memory
from otel_audit.query.stdin_copy import copied_stdin
from otel_audit.query.temporary_folder import temporary_folder
from otel_audit.reader import open_segments
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify.segment import read_blocks

if TYPE_CHECKING:
    import duckdb
    import pyarrow

_T = TypeVar("_T")

MEMORY_LIMIT: Final = "1GB"
"""Of the database; beyond that it spills."""
_MOST_BYTES: Final = 2 << 30
_THREAD_BYTES: Final = 64 << 20
"""What this process may hold more than at the start, while there is a database: in all, and for each processor."""

_BATCH_BYTES: Final = 1 << 20
_ROWS: Final = 1000
_INTERRUPT_AGAIN_SECONDS: Final = 0.05
_INTERRUPTS: Final = 40
_INTERRUPTED: Final = 130
_MORE: Final = re.compile("\n\n(?:LINE|Possible solutions)")
_LOCKED: Final = (
    ("memory_limit", f"'{MEMORY_LIMIT}'"),
    ("enable_progress_bar", "false"),  # on stdout, where it takes the program for an interactive one
    ("autoinstall_known_extensions", "false"),
    ("autoload_known_extensions", "false"),
    ("allow_community_extensions", "false"),
    ("python_enable_replacements", "false"),
    ("enable_external_access", "false"),
    ("lock_configuration", "true"),
)
"""In this order: what comes behind the last is refused, to us as well."""

_TYPES: Final[dict[Kind, str]] = {
    "integer": "CAST(json_extract(line, '{}') AS BIGINT)",
    "number": "TRY_CAST(json_extract_string(line, '{}') AS DOUBLE)",
    "text": "json_extract_string(line, '{}')",
    "texts": "json_transform(json_extract(line, '{}'), '[\"VARCHAR\"]')",
    "time": "TRY_CAST(json_extract_string(line, '{}') AS TIMESTAMP_NS)",
    "json": "json_extract(line, '{}')",
}
_ACTIONS: Final = """
SELECT
  began.log, began.seq, ended.seq AS outcome_seq, began.time, ended.time AS outcome_time, began.event_name,
  began.actor, began.actor_type, began.action, coalesce(ended.outcome, 'open') AS outcome, ended.error_type,
  ended.reason, began.target, began.target_type, began.delegation,
  coalesce(ended.duration, (epoch_ns(ended.time) - epoch_ns(began.time)) / 1e9) AS duration,
  began.trace_id, began.span_id, began.record_id, began.attributes, ended.attributes AS outcome_attributes
FROM (SELECT * FROM entries WHERE phase = 'intent') AS began
LEFT JOIN (SELECT * FROM entries WHERE phase = 'outcome') AS ended ON ended.intent_id = began.record_id
"""
_DELEGATIONS: Final = """
SELECT
  log, seq, time, event_name, action, outcome, target, trace_id, record_id, delegation[1] AS principal,
  step, delegation[step] AS delegator, delegation[step + 1] AS delegate
FROM (SELECT *, unnest(range(1, len(delegation))) AS step FROM entries WHERE len(delegation) > 1)
"""


class Database:
    """The views over some logs, for queries that read.

    Args:
        paths: As of `otel_audit.reader.read_log`; stdin is copied to a temporary file first.
        selection: Which entries the views have.

    Raises:
        AuditConfigError: The extra ``query`` is not installed.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], selection: Selection) -> None:
        try:
            import duckdb
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise AuditConfigError("SQL needs DuckDB: pip install 'otel-audit[query]'") from error
        self._stack = contextlib.ExitStack()
        # Without a home, nothing of the user's is read at the start.
        self._folder = self._stack.enter_context(temporary_folder())
        with contextlib.ExitStack() as failing:
            failing.callback(self._stack.close)
            self._duckdb = duckdb
            self._connection: duckdb.DuckDBPyConnection = duckdb.connect(
                ":memory:", config={"temp_directory": str(self._folder / "spill")}
            )
            self._stack.callback(self._connection.close)
            self._lines = _Lines([self._source(path) for path in paths], selection)
            self._connection.register("lines", self._lines)
            for name, query in (("entries", _entries()), ("actions", _ACTIONS), ("delegations", _DELEGATIONS)):
                self._connection.execute(f"CREATE VIEW {name} AS {query}")
            for setting, value in _LOCKED:
                self._connection.execute(f"SET {setting} = {value}")
            self._stack.enter_context(bounded_memory(_MOST_BYTES + (os.cpu_count() or 1) * _THREAD_BYTES))
            failing.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        if kind is not None and issubclass(kind, MemoryError):
            raise AuditError("SQL: expected an answer that fits into memory, got a larger one") from None

    def run(self, query: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Return the names of the columns, and the rows as they are read.

        Args:
            query: One SELECT.

        Raises:
            AuditError: It is something else, cannot be run, or a log cannot be read.
        """
        try:
            query.encode()
        except UnicodeEncodeError:
            raise AuditError("SQL: expected text in UTF-8, got other bytes") from None
        return self._apart(lambda: self._begun(query)), self._rows()

    def _begun(self, query: str) -> list[str]:
        """Begin with a query, and return the names of its columns."""
        with self._told():
            statements = self._duckdb.extract_statements(query)
            if len(statements) != 1 or statements[0].type != self._duckdb.StatementType.SELECT:
                raise AuditError("SQL: expected one SELECT, got something else (the views can be read only)")
            names = self._connection.execute(self._readable(statements[0])).description or ()
        return [str(name[0]) for name in names]

    def _apart(self, work: Callable[[], _T]) -> _T:
        """Return what a piece of work gives, done by another thread: the database itself heeds no Ctrl-C."""
        done: list[_T] = []
        failed: list[BaseException] = []
        ended = threading.Event()

        def run() -> None:
            try:
                done.append(work())
            except BaseException as error:
                failed.append(error)
            finally:
                ended.set()

        try:
            threading.Thread(target=run, name="otel-audit sql", daemon=True).start()
            ended.wait()
        except RuntimeError as error:
            raise AuditError(f"SQL: cannot be run: {error}") from None
        except BaseException:
            self._interrupt(ended)
            raise
        if failed:
            raise failed[0]
        return done[0]

    def _interrupt(self, ended: threading.Event) -> None:
        """Have the database end what it does; where it does not heed that, or after another Ctrl-C, end the process.

        It looks between rows only, and one value of one row can take for ever. Nothing of a log is being written.
        """
        try:
            # What has not begun yet forgets it; and an event tells the end, for a join that was interrupted
            # takes its thread for ended (Python 3.11).
            for _ in range(_INTERRUPTS):
                if ended.wait(_INTERRUPT_AGAIN_SECONDS):
                    return
                self._connection.interrupt()
        except KeyboardInterrupt:
            pass
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(_INTERRUPTED)

    def _readable(self, statement: duckdb.Statement) -> duckdb.Statement | str:
        """Return the query with its times as text: the database gives them cut off, or not at all without pytz."""
        text = statement.query.strip().removesuffix(";")
        try:
            columns = self._connection.execute(f"DESCRIBE {text}").fetchall()
        except self._duckdb.ParserException:  # it describes something itself
            return statement
        if not any(kind.startswith("TIME") for _, kind, *_ in columns):
            return statement
        shown = (
            f"CAST(#{place} AS VARCHAR) AS {_quoted(name)}"
            if kind.startswith("TIME")
            else f"#{place} AS {_quoted(name)}"
            for place, (name, kind, *_) in enumerate(columns, 1)
        )
        return f"SELECT {', '.join(shown)} FROM (\n{text}\n)"  # noqa: S608  # the user's

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        while rows := self._apart(self._fetched):
            yield from rows

    def _fetched(self) -> list[tuple[Any, ...]]:
        with self._told():
            return self._connection.fetchmany(_ROWS)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._duckdb.Error as error:
            if self._lines.failed is not None:
                raise self._lines.failed from None
            # Behind that it shows the query again, or names settings, which are locked.
            message = _MORE.split(str(error))[0].replace("\n", " ")
            raise AuditError(f"SQL: {message}") from None

    def _source(self, path: str | os.PathLike[str]) -> tuple[str, str | os.PathLike[str]]:
        """Return a path as people know it, and as it can be read more than once."""
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        if path != STDIN:
            return name, path
        return "stdin", copied_stdin(self._folder)


def entries_where(paths: Sequence[str], selection: Selection, condition: str) -> Iterator[tuple[str, Entry]]:
    """Yield the entries for which a condition is true, each with the path of its log as given, in their order.

    Args:
        paths: As of `Database`.
        selection: Which entries are asked.
        condition: On the columns of the view ``entries``.

    Raises:
        AuditError: It cannot be run, or a log cannot be read.
    """
    with Database(paths, selection) as database:
        # On lines of its own: a comment in it ends there.
        entries = _entries("log_number")
        _, rows = database.run(f"SELECT log_number, line FROM ({entries}) AS entries WHERE (\n{condition}\n)")  # noqa: S608  # a query of the user's
        for number, line in rows:
            yield paths[number], parse_entry(line.encode())


class _Lines:
    """The lines of the logs, for the database, which reads them anew for each view that is asked."""

    def __init__(self, sources: Sequence[tuple[str, str | os.PathLike[str]]], selection: Selection) -> None:
        self._sources = sources
        self._selection = selection
        self._chooses = bool(selection)
        self._scanner = Scanner(selection)
        self.failed: AuditError | None = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        import pyarrow

        text = pyarrow.string()
        schema = pyarrow.schema([("log_number", pyarrow.int32()), ("log", text), ("line", text)])
        reader = pyarrow.RecordBatchReader.from_batches(schema, self._batches(pyarrow, schema))
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self, pyarrow: Any, schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
        try:
            for number, (name, path) in enumerate(self._sources):
                for lines in self._read(path):
                    # Of buffers: what makes arrays of Python's values loads pandas first, where that is installed.
                    numbers = pyarrow.py_buffer(array("i", [number]) * len(lines))
                    which = pyarrow.Int32Array.from_buffers(pyarrow.int32(), len(lines), [None, numbers])
                    names = _strings(pyarrow, [name.encode()] * len(lines))
                    yield pyarrow.record_batch([which, names, _strings(pyarrow, lines)], schema=schema)
        except AuditError as error:
            self.failed = error
            raise

    def _read(self, path: str | os.PathLike[str]) -> Iterator[list[bytes]]:
        lines: list[bytes] = []
        size = 0
        with contextlib.ExitStack() as stack:
            for segment in open_segments(path, stack):
                for block in read_blocks(segment):
                    if block.kind != "lines":
                        continue
                    for _, line in self._scanner.lines(block.data):
                        if self._is_wanted(line):
                            lines.append(line)
                            size += len(line)
                    if size >= _BATCH_BYTES:
                        yield lines
                        lines, size = [], 0
        if lines:
            yield lines

    def _is_wanted(self, line: bytes) -> bool:
        try:
            if self._chooses:
                return self._selection.matches(parse_entry(line))
            parse_line(line)
        except MalformedLineError:
            return False
        return True


def _strings(pyarrow: Any, texts: list[bytes]) -> pyarrow.StringArray:
    ends = array("i", accumulate(map(len, texts), initial=0))
    return pyarrow.StringArray.from_buffers(len(texts), pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(texts)))


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _entries(*more: str) -> str:
    columns = {"log": "log"} | {name: name for name in more}
    for column in COLUMNS:
        columns[column.name] = _expression(column.name, column.kind)
    for short, name in SHORT_NAMES.items():
        columns[short] = columns[name]
    columns["line"] = "line"
    return "SELECT " + ", ".join(f'{text} AS "{name}"' for name, text in columns.items()) + " FROM lines"  # noqa: S608  # names of ours


def _expression(name: str, kind: Kind) -> str:
    if name.startswith(("audit.", "error.")):
        path = f"/attributes/{name}"
    else:
        path = "/" + name.replace(".", "/")  # scope.name
    return _TYPES[kind].format(path)
