"""`to_arrow` and `to_pandas`."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_audit.errors import AuditConfigError, AuditVerifyError
from otel_audit.query import to_arrow, to_pandas
from otel_audit.selection import Selection
from tests import logs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of fifty entries."""
    file = tmp_path / "audit.jsonl"
    file.write_bytes(logs.join(logs.log(50)))
    return file


def test_batches(path: Path) -> None:
    """Batches come one by one, typed, and hold what the selection leaves."""
    reader = to_arrow(path, Selection(since_seq=11), batch_entries=15)
    batches = list(reader)
    assert [batch.num_rows for batch in batches] == [15, 15, 10]
    assert batches[0].column("seq").to_pylist() == list(range(11, 26))
    assert str(reader.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert batches[0].column("audit.stream.id").to_pylist()[0] == logs.STREAM_ID


def test_pandas(path: Path) -> None:
    """A data frame has a row for each entry, and times that are times."""
    frame = to_pandas(path)
    assert len(frame) == 50
    assert frame["time"].max().nanosecond == 789


def test_missing_log(tmp_path: Path) -> None:
    """A log that is not there is said to be so at once."""
    with pytest.raises(AuditVerifyError, match="expected a log, got no such file"):
        to_arrow(tmp_path / "no.jsonl")


@pytest.mark.parametrize(("function", "module"), [(to_arrow, "pyarrow"), (to_pandas, "pandas")])
def test_extra(function: Callable[[Path], object], module: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a package is missing, the message says what to install."""
    really = builtins.__import__

    def without(name: str, *arguments: object) -> object:
        if name.partition(".")[0] == module:
            raise ImportError(name)
        return really(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(AuditConfigError, match="pip install"):
        function(path)
