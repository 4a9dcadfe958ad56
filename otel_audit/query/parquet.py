"""Entries as a Parquet file: typed columns, times to the nanosecond."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from otel_audit.entry import Entry
from otel_audit.errors import AuditConfigError
from otel_audit.line_form import parse_time
from otel_audit.query.columns import COLUMNS, STREAM_COLUMN, Kind, Value

if TYPE_CHECKING:
    import pyarrow

ROW_GROUP_ENTRIES: Final = 32_768
ROW_GROUP_BYTES: Final = 64 << 20
"""Of columns, before they are compressed: about what is held in memory at a time."""

_ROWS: Final = 2048
_ROWS_BYTES: Final = 8 << 20
_MAX_NS: Final = 2**63


def write_parquet(entries: Iterable[tuple[Entry, str | None]], file: BinaryIO) -> None:
    """Write entries in row groups.

    Memory: that of one row group. The same entries give the same bytes.

    Args:
        entries: Each with the ``audit.stream.id`` of its log.
        file: Open for bytes.

    Raises:
        AuditConfigError: The extra ``query`` is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise AuditConfigError("--format parquet needs pyarrow: pip install 'otel-audit[query]'") from error
    made = schema(pyarrow)
    held: list[pyarrow.Table] = []  # as columns entries take a tenth of what they take as rows
    with parquet.ParquetWriter(file, made, compression="zstd") as writer:

        def write() -> None:
            group = pyarrow.concat_tables(held)
            writer.write_table(group, row_group_size=len(group))
            held.clear()

        for rows in row_groups(entries, _ROWS):
            held.append(table(pyarrow, made, rows))
            if sum(map(len, held)) >= ROW_GROUP_ENTRIES or sum(one.nbytes for one in held) >= ROW_GROUP_BYTES:
                write()
        if held:
            write()


def schema(pyarrow: Any) -> pyarrow.Schema:
    """Return the types of the columns (docs/export.md)."""
    types: dict[Kind, Any] = {
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "text": pyarrow.string(),
        "texts": pyarrow.list_(pyarrow.string()),
        "time": pyarrow.timestamp("ns", tz="UTC"),
        "json": pyarrow.string(),
    }
    fields = [pyarrow.field(column.name, types[column.kind]) for column in COLUMNS]
    return pyarrow.schema([pyarrow.field(STREAM_COLUMN, pyarrow.string()), *fields])


def row_groups(entries: Iterable[tuple[Entry, str | None]], most: int) -> Iterable[list[tuple[Entry, str | None]]]:
    """Yield entries in groups of at most so many, and of about 8 MiB of lines."""
    rows: list[tuple[Entry, str | None]] = []
    size = 0
    for row in entries:
        rows.append(row)
        size += len(row[0].raw)
        if len(rows) >= most or size >= _ROWS_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def table(pyarrow: Any, made: pyarrow.Schema, rows: list[tuple[Entry, str | None]]) -> pyarrow.Table:
    """Return entries as a table of the types of `schema`."""
    arrays = [pyarrow.array([stream_id for _, stream_id in rows], made.field(0).type)]
    for index, column in enumerate(COLUMNS, 1):
        convert = _CONVERTED.get(column.kind)
        values = [column.value(entry) for entry, _ in rows]
        cells = values if convert is None else [None if value is None else convert(value) for value in values]
        arrays.append(pyarrow.array(cells, made.field(index).type))
    return pyarrow.Table.from_arrays(arrays, schema=made)


def _time(value: Value) -> int | None:
    """Return nanoseconds since 1970; None where 64 bits do not reach: the years 1677 to 2262 they do."""
    nanoseconds = parse_time(str(value))
    return nanoseconds if -_MAX_NS <= nanoseconds < _MAX_NS else None


def _number(value: Value) -> float:
    return float(value)  # type: ignore[arg-type]  # of a column of numbers


_CONVERTED: Final[dict[Kind, Callable[[Value], object]]] = {"time": _time, "number": _number, "json": bytes.decode}  # type: ignore[dict-item]
