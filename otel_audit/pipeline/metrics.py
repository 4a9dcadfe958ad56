"""The ledger's metrics: observed when a reader collects them, so that an emit pays nothing.

Names are ``audit.*``; durations are means since the last collection, in seconds.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import cache

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from otel_audit.ledger import Ledger, LedgerStats

from .otlp import unsent_total

_ledgers: weakref.WeakKeyDictionary[Ledger, dict[str, tuple[int, float]]] = weakref.WeakKeyDictionary()
Read = Callable[[LedgerStats], float]


def observe(ledger: Ledger) -> None:
    """Have a ledger's figures collected by the application's meter provider for as long as it lives."""
    _ledgers[ledger] = {}
    _create_instruments()


@cache
def _create_instruments() -> None:
    """Create the instruments, once a process: they observe whatever ledgers there are."""
    meter = get_meter("otel_audit")
    meter.create_observable_counter(
        "audit.records.emitted", [_each(lambda stats: stats.records)], "{record}", "Audit records written to the log"
    )
    meter.create_observable_counter(
        "audit.records.dropped", [_each(lambda stats: stats.dropped)], "{record}", "Audit records that were lost"
    )
    meter.create_observable_counter(
        "audit.records.unsent", [_unsent], "{record}", "Copies that the OTLP queue dropped or the endpoint did not take"
    )
    meter.create_observable_up_down_counter(
        "audit.log.size", [_each(lambda stats: stats.size_bytes)], "By", "Size of the log's active segment"
    )
    meter.create_observable_gauge(
        "audit.append.duration",
        [_mean("append", lambda stats: (stats.appends, stats.append_seconds))],
        "s",
        "From an append's call to its acknowledgement",
    )
    meter.create_observable_gauge(
        "audit.sync.duration",
        [_mean("sync", lambda stats: (stats.syncs, stats.sync_seconds))],
        "s",
        "Duration of one sync of the log",
    )


def _unsent(_: CallbackOptions) -> Iterable[Observation]:
    # counted by processor: a copy does not know which log it is of
    total = unsent_total()
    return [] if total is None else [Observation(total)]


def _each(read: Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def callback(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(read(ledger.stats()), _attributes(ledger)) for ledger in list(_ledgers)]

    return callback


def _mean(
    name: str, read: Callable[[LedgerStats], tuple[int, float]]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def callback(_: CallbackOptions) -> Iterable[Observation]:
        for ledger, before in list(_ledgers.items()):
            count, seconds = read(ledger.stats())
            last_count, last_seconds = before.get(name, (0, 0.0))
            before[name] = count, seconds
            if count > last_count:
                yield Observation((seconds - last_seconds) / (count - last_count), _attributes(ledger))

    return callback


def _attributes(ledger: Ledger) -> dict[str, str]:
    return {"log.file.path": ledger.settings.path}
