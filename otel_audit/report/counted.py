"""A log counted while it is verified, where that reads it in parts: no line is parsed a second time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from otel_audit.errors import AuditVerifyError
from otel_audit.key_file import read_key
from otel_audit.log_files import find_log
from otel_audit.report.stretch import timeline_of
from otel_audit.report.tally import Tally
from otel_audit.report.timeline import Timeline
from otel_audit.report.totals import MOST_LISTED, Pending, Totals
from otel_audit.verification import Question, verify_files
from otel_audit.verify import VerifyReport
from otel_audit.verify.anchors import parse_anchor
from otel_audit.verify.onlooker import Watch


class Counted(NamedTuple):
    """What all entries of a log add up to, and the steps in which that is told."""

    totals: Totals
    timeline: Timeline


def verify_and_count(
    path: str | os.PathLike[str],
    *,
    hmac_key_file: str | os.PathLike[str] | None = None,
    anchors: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[VerifyReport, Counted | None]:
    """Verify a log as `otel_audit.reader.verify_log` does, which says what arguments and errors there are.

    Returns:
        The report, and what the log adds up to; None where that has to be counted by itself.
    """
    log = find_log(path)
    with contextlib.ExitStack() as stack:
        steps = timeline_of(log.open(stack, patient=False))
    counting = Counting(steps)
    question = Question(
        key=None if hmac_key_file is None else read_key(hmac_key_file, AuditVerifyError),
        anchors=[parse_anchor(anchor) for anchor in anchors],
        expected_integrity="chain",
        chain_only=False,
        processes=None,
        progress=progress,
        watch=counting.watch,
    )
    report = verify_files(log, question)
    return report, Counted(counting.totals(), steps) if counting.watch.complete else None


class Counting:
    """What all onlookers count together. Memory grows with the actions under way, as the verifier's does.

    Attributes:
        watch: What the verifier is given.
    """

    def __init__(self, steps: Timeline) -> None:
        self.watch = Watch(partial(Tally, steps), self._join)
        self._totals = Totals(steps.bins)

    def _join(self, part: Pending) -> None:
        self._totals.seqs += self._totals.pending.add(part)

    def totals(self) -> Totals:
        """Return what the whole log adds up to; to be called once, where the watch is complete."""
        totals = self._totals
        for each in self.watch.totals:
            totals.add(each)
        events = [event for each in self.watch.totals for event in each.log_events]
        totals.log_events = sorted(events, key=attrgetter("seq"))[:MOST_LISTED]
        return totals
