"""An agent refunds orders behind gates, and each decision stands in one sealed log.

    python3 -m uv run examples/gates/main.py

Trail, guard and queries are AuditGate's interface, over the audit log. ActionGate, BudgetGate and
RuleGate decide where they are installed (they need Python 3.12); else a limit of this program's own
does. The log goes where OTEL_AUDIT_FILE says, else into a new temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import otel_audit
from otel_audit import acting_as, audit_gate
from otel_audit.cli import main as otel_audit_command
from otel_audit.compat.auditgate import (
    AuditPolicy,
    Engine,
    IntegrityMode,
    QueryFilter,
    Severity,
    Trail,
    Verdict,
)

REFUNDS = Trail("shop", "refunds", "refund-agent")


@dataclass(frozen=True)
class Order:
    """What a customer wants money back for."""

    id: str
    amount: Decimal
    kind: str = "book"


ORDERS = [
    Order("A-1027", Decimal("12.50")),
    Order("A-1031", Decimal(90)),
    Order("A-1034", Decimal(8), kind="gift card"),
    Order("A-1040", Decimal("19.99")),
    Order("A-1041", Decimal(5)),
]

Check = Callable[[Order], str | None]
"""Returns why an order is not refunded; None where it may be."""


def make_gates() -> Check:
    """Return a check by the three real gates: how often, how much, and what."""
    import actiongate  # type: ignore[import-not-found]
    import budgetgate  # type: ignore[import-not-found]
    import rulegate  # type: ignore[import-not-found]

    often = audit_gate(actiongate.Engine())
    much = audit_gate(budgetgate.Engine())
    what = audit_gate(rulegate.Engine())
    gate = actiongate.Gate("shop", "refund", "refund-agent")
    ledger = budgetgate.Ledger("shop", "refunds", "refund-agent")
    rule = rulegate.Rule("shop", "refund", "refund-agent")
    often.register(gate, actiongate.Policy(max_calls=3))
    much.register(ledger, budgetgate.Budget(max_spend=Decimal(50)))

    def no_gift_cards(context: Any) -> bool:
        return bool(context.args[0].kind != "gift card")

    what.register(rule, rulegate.Ruleset(predicates=(no_gift_cards,)))

    def check(order: Order) -> str | None:
        decisions = (
            lambda: what.check(rule, args=(order,)),
            lambda: often.check(gate),
            lambda: much.check(ledger, order.amount),
        )
        for decide in decisions:
            decision = decide()
            if decision.blocked:
                return str(decision.reason.name)
        return None

    return check


def make_own_limit(engine: Engine) -> Check:
    """Return a check by a limit of this program's own, which the engine has to be told of."""
    refunded = 0

    def check(order: Order) -> str | None:
        nonlocal refunded
        allowed = refunded < 2
        refunded += allowed
        engine.record(
            REFUNDS,
            verdict=Verdict.ALLOW if allowed else Verdict.BLOCK,
            severity=Severity.INFO if allowed else Severity.WARN,
            gate_type="own limit",
            gate_identity=f"shop:refund@{order.id}",
            reason=None if allowed else "TOO_MANY",
            detail={"refunded": refunded, "limit": 2},
        )
        return None if allowed else "TOO_MANY"

    return check


def main() -> int:
    """Refund what may be refunded, and show what the log says of it."""
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-"), "audit.jsonl"))
    resource = Resource.create({"service.name": "refund-desk"})
    trace.set_tracer_provider(TracerProvider(resource=resource))
    with ExitStack() as stack:
        stack.enter_context(otel_audit.configure(path, resource=resource))
        engine = Engine(recorded_by="refund-desk")
        engine.register(REFUNDS, AuditPolicy(integrity=IntegrityMode.CHAIN))
        check = make_gates() if find_spec("actiongate") else make_own_limit(engine)

        @engine.guard(REFUNDS, gate_type="refund")
        def refund(order: Order) -> str:
            return f"{order.amount} returned"

        began = time.monotonic()
        stack.enter_context(trace.get_tracer("refund-desk").start_as_current_span("refunds"))
        stack.enter_context(acting_as("maya@example.com", type="user"))
        stack.enter_context(acting_as("refund-agent"))
        for order in ORDERS:
            why_not = check(order)
            print(f"{order.id}: {refund(order) if why_not is None else why_not}")

        blocked = engine._store.query(QueryFilter(verdict=Verdict.BLOCK, after_ts=began))  # noqa: SLF001 - as ever
        print("\nblocked:")
        for entry in blocked:
            print(f"  line {entry.sequence}: {entry.gate_type} {entry.gate_identity}, {entry.reason} {entry.detail}")
    print()
    return otel_audit_command(["verify", str(path)])


if __name__ == "__main__":
    sys.exit(main())
