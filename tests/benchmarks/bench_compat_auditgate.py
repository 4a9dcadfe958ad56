"""What the AuditGate interface and `@audited` cost, as ratios to auditgate 0.3.0, all in one process and in turn.

Run with ``python -m tests.benchmarks.bench_compat_auditgate`` on Python 3.12 with auditgate 0.3.0 installed;
tests/benchmarks/README.md says what the lines mean.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import auditgate as theirs  # type: ignore[import-not-found]
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_audit import audited, set_audit_provider
from otel_audit.compat import auditgate as ours
from otel_audit.instrument.span import current_tracer
from tests.benchmarks import measure
from tests.benchmarks.measure import Figure, Side
from tests.benchmarks.workload import emit, open_log


def recorder(package: Any, mode: str, store: Any = None) -> tuple[Any, Callable[[], object]]:
    """Return the engine of a package, and a call that records the decision of AuditGate's page with it."""
    engine = package.Engine(store=store)
    trail = package.Trail("billing", "actiongate", "user:123")
    engine.register(trail, package.AuditPolicy(integrity=package.IntegrityMode[mode]))

    def record() -> object:
        return engine.record(
            trail=trail,
            verdict=package.Verdict.ALLOW,
            severity=package.Severity.INFO,
            gate_type="actiongate",
            gate_identity="billing:refund@user:123",
            reason="Rate limit check passed",
            detail={"calls_in_window": 3, "max_calls": 10},
        )

    return engine, record


def guarded(package: Any) -> tuple[Any, Callable[[], object]]:
    """Return the engine of a package, and an empty function that it guards."""
    engine = package.Engine()
    return engine, engine.guard(package.Trail("api", "combined"))(empty)


def empty() -> None:
    """Do nothing."""


def kept_small(engine: Any, package: Any, call: Callable[[], object], count: int) -> Side:
    """Return a round of a call whose entries stay in memory; they are forgotten between the rounds.

    Else each round would pay, in the garbage collector, for all rounds before it, and so would the other sides.
    """

    def side() -> int:
        for trail in (package.Trail("billing", "actiongate", "user:123"), package.Trail("api", "combined")):
            engine.clear(trail)
        return measure.timed(call, count)

    return side


def bench_record(folder: Path, quick: bool) -> list[Figure]:
    """Record a decision: sealed, chained and in the page cache, against chained in memory."""
    rounds, count = (5, 200) if quick else (201, 300)
    with open_log(folder / "audit.jsonl", "os") as provider:
        set_audit_provider(provider)
        audit = provider.get_audit_logger("bench")
        _, to_log = recorder(ours, "CHAIN")
        memory, to_memory = recorder(ours, "HASH", ours.MemoryStore())
        chain, to_chain = recorder(ours, "CHAIN", ours.MemoryStore())
        their_engine, their_record = recorder(theirs, "CHAIN")
        to_log(), to_memory(), to_chain(), their_record(), emit(audit)
        log, hashed, linked, chained, bare = measure.in_turn(
            rounds,
            lambda: measure.timed(to_log, count),
            kept_small(memory, ours, to_memory, count),
            kept_small(chain, ours, to_chain, count),
            kept_small(their_engine, theirs, their_record, count),
            lambda: measure.timed(lambda: emit(audit), count),
        )
        line = (folder / "audit.jsonl").read_bytes().split(b"\n")[1]
    names = ("record, log", "in memory, HASH", "in memory, CHAIN", "auditgate's, in memory, CHAIN", "emit alone")
    medians = zip(names, (log, hashed, linked, chained, bare), strict=True)
    print(f"\na line of {len(line)} bytes; {rounds} rounds of {count}")
    print("medians: " + "; ".join(f"{name} {measure.median_micros(figures):.1f} µs" for name, figures in medians))
    promised = Figure("Engine.record HASH in memory, µs: the page's promise", [figure / 1e3 for figure in hashed], 20)
    print(promised.line())
    return [
        measure.ratio("Engine.record CHAIN (os) ÷ auditgate's, in memory", log, chained, at_most=0.6),
        measure.ratio("emit (os) alone ÷ the same", bare, chained),
        promised,
        measure.ratio("Engine.record in memory, CHAIN ÷ HASH", linked, hashed),
        measure.ratio("Engine.record CHAIN ÷ auditgate's, both in memory", linked, chained),
    ]


def bench_guard(folder: Path, quick: bool) -> list[Figure]:
    """Call an empty function: intent and outcome in the log, against one entry in memory."""
    rounds, count = (5, 200) if quick else (201, 200)
    with open_log(folder / "audit.jsonl", "os") as provider:
        set_audit_provider(provider)
        both = audited("bench", span=False)(empty)
        outcome = audited("bench", span=False, phases="outcome")(empty)
        with_span = audited("bench")(empty)
        _, our_guard = guarded(ours)
        their_engine, their_guard = guarded(theirs)
        trace.set_tracer_provider(TracerProvider())
        assert current_tracer() is not None
        for call in (both, outcome, with_span, our_guard, their_guard):
            call()
        two, one, traced, compat, base = measure.in_turn(
            rounds,
            lambda: measure.timed(both, count),
            lambda: measure.timed(outcome, count),
            lambda: measure.timed(with_span, count),
            lambda: measure.timed(our_guard, count),
            kept_small(their_engine, theirs, their_guard, count),
        )
    print(f"\nan empty function; {rounds} rounds of {count}")
    names = ("@audited", "outcome only", "with a span", "guard", "auditgate's guard")
    medians = zip(names, (two, one, traced, compat, base), strict=True)
    print("medians: " + "; ".join(f"{name} {measure.median_micros(figures):.1f} µs" for name, figures in medians))
    span = measure.median_micros([a - b for a, b in zip(traced, two, strict=True)])
    print(f"the span alone: {span:.1f} µs")
    return [
        measure.ratio("@audited, intent and outcome (os) ÷ auditgate guard", two, base, at_most=1.2),
        measure.ratio("@audited, outcome only (os) ÷ auditgate guard", one, base, at_most=0.8),
        measure.ratio("@audited with a span (os) ÷ auditgate guard", traced, base),
        measure.ratio("guard of ours, decision and outcome (os) ÷ the same", compat, base),
    ]


if __name__ == "__main__":
    os.environ.setdefault("OTEL_SERVICE_NAME", "bench")
    measure.run(__doc__, bench_record, bench_guard)
