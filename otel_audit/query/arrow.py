"""A log as Arrow batches and as a pandas data frame: the columns of docs/export.md, typed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from otel_audit.entry import Entry
from otel_audit.errors import AuditConfigError
from otel_audit.query.parquet import row_groups, schema, table
from otel_audit.query.stream_id import stream_id_of
from otel_audit.reader import search_log
from otel_audit.selection import Selection

if TYPE_CHECKING:
    import pandas
    import pyarrow

BATCH_ENTRIES: Final = 8192


def to_arrow(
    log: str | os.PathLike[str], selection: Selection | None = None, *, batch_entries: int = BATCH_ENTRIES
) -> pyarrow.RecordBatchReader:
    """Return the entries of a log as a reader of record batches, which reads the log as it is read.

    The columns are those of ``otel-audit export --format parquet``: every member, the ``audit.*``
    attributes by their names, ``attributes`` as JSON; times in nanoseconds, UTC. Memory: one batch.
    Entries are not verified, and lines that are malformed are passed over, as by `otel_audit.read_log`.

    Args:
        log: The log's file, any segment of it, a folder, or ``-`` for stdin.
        selection: Which entries are wanted; None: all.
        batch_entries: In one batch, at most.

    Raises:
        AuditConfigError: The extra ``query`` is not installed.
        AuditVerifyError: There is no log, or it cannot be read.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise AuditConfigError("to_arrow needs pyarrow: pip install 'otel-audit[query]'") from error
    made = schema(pyarrow)
    stream_id = stream_id_of(log)

    def batches() -> Iterator[pyarrow.RecordBatch]:
        entries: Iterator[tuple[Entry, str | None]] = (
            (found.entry, stream_id) for found in search_log(log, selection, numbered=False)
        )
        for rows in row_groups(entries, batch_entries):
            yield from table(pyarrow, made, rows).to_batches()

    return pyarrow.RecordBatchReader.from_batches(made, batches())


def to_pandas(log: str | os.PathLike[str], selection: Selection | None = None) -> pandas.DataFrame:
    """Return the entries of a log as a data frame, with the columns of `to_arrow`; all are in memory.

    Args:
        log: As of `to_arrow`.
        selection: Which entries are wanted; None: all.

    Raises:
        AuditConfigError: pandas or the extra ``query`` is not installed.
        AuditVerifyError: There is no log, or it cannot be read.
    """
    reader = to_arrow(log, selection)
    try:
        return reader.read_pandas()
    except ImportError as error:
        raise AuditConfigError("to_pandas needs pandas: pip install pandas") from error
