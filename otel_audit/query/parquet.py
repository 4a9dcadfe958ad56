"""Entries as a Parquet file: typed columns, times to the nanosecond."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from otel_audit.entry import Entry
from otel_audit.errors import AuditConfigError
from otel_audit.line_form import parse_time
from otel_audit.query.columns import COLUMNS, STREAM_COLUMN, Kind, row

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
    for each in entries:
        rows.append(each)
        size += len(each[0].raw)
        if len(rows) >= most or size >= _ROWS_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def table(pyarrow: Any, made: pyarrow.Schema, rows: list[tuple[Entry, str | None]]) -> pyarrow.Table:
    """Return entries as a table of the types of `schema`."""
    arrays = [pyarrow.array([stream_id for _, stream_id in rows], made.field(0).type)]
    columns = zip(*[row(entry) for entry, _ in rows], strict=True)
    for index, (column, values) in enumerate(zip(COLUMNS, columns, strict=False), 1):
        kind = made.field(index).type
        if column.kind == "time":
            arrays.append(_times(pyarrow, values, kind))
        elif column.kind == "number":
            arrays.append(pyarrow.array([None if value is None else float(value) for value in values], kind))
        else:
            arrays.append(pyarrow.array(values, kind))
    return pyarrow.Table.from_arrays(arrays, schema=made)


def _times(pyarrow: Any, values: Sequence[Any], kind: Any) -> pyarrow.Array:
    """Return times; null where nanoseconds in 64 bits do not reach: the years 1677 to 2262 they do."""
    try:
        return pyarrow.array(values, pyarrow.string()).cast(kind)
    except pyarrow.ArrowInvalid:  # one of them lies beyond
        times = [parse_time(value) for value in values]
        return pyarrow.array([time if -_MAX_NS <= time < _MAX_NS else None for time in times], kind)
