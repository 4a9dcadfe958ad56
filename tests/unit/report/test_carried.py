"""`otel_audit.report.carried`: the lines of a long log that a page carries."""

from __future__ import annotations

from itertools import chain

import pytest

from otel_audit.errors import AuditVerifyError
from otel_audit.report import carried as carried_module
from otel_audit.report.carried import Carried, carried
from otel_audit.verify.segment import Segment
from tests import logs

LINES = logs.log(200)


def segment(data: bytes, number: int = 1) -> Segment:
    """Return bytes as a segment of a log."""
    return Segment(f"{number}.jsonl", f"{number}.jsonl", number, len(data), lambda at, size: data[at : at + size])


@pytest.mark.parametrize("proven", [True, False], ids=["proven", "not proven"])
@pytest.mark.parametrize("seqs", [{1}, {200}, {1, 2, 3, 99, 100, 101, 200}, set(range(1, 201)), set()])
def test_the_lines_that_are_wanted(seqs: set[int], proven: bool) -> None:
    """Each line comes with the place where it stands, whatever block and segment it is in."""
    segments = [segment(logs.join(LINES[:100])), segment(logs.join(LINES[100:]), 2)]
    found = list(chain.from_iterable(carried(segments, seqs, proven=proven)))
    assert found == [
        Carried((seq - 1) // 100, (seq - 1) % 100 + 1, LINES[seq - 1]) for seq in sorted(seqs) if seq <= 200
    ]


def test_a_line_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that stand twice since the log was verified come once, in their order."""
    monkeypatch.setattr(carried_module, "_BATCH", 1)
    found = chain.from_iterable(carried([segment(logs.join([*LINES, *LINES]))], {100, 101, 102}, proven=True))
    assert [line.line for line in found] == LINES[99:102]


@pytest.mark.parametrize("proven", [True, False], ids=["proven", "not proven"])
def test_a_log_that_was_changed_since(proven: bool) -> None:
    """Where a line is no longer as the verifier proved it, no page is made; of another log, it is left out."""
    changed = [*LINES[:49], b"no line", *LINES[50:]]
    lines = carried([segment(logs.join(changed))], {49, 50, 51}, proven=proven)
    if proven:
        with pytest.raises(AuditVerifyError, match="changed while"):
            list(lines)
    else:
        assert [(line.line_number, line.line) for line in next(lines)] == [(49, LINES[48]), (51, LINES[50])]
