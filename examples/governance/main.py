"""An agent works under governance, and what each safeguard does stands in one sealed bus.

    python3 -m uv run examples/governance/main.py

The delegation token, circuit breaker and kill switch are hummbl-governance's own, unchanged. The bus
goes where OTEL_AUDIT_FILE says, else into a new temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from hummbl_governance import (  # type: ignore[import-untyped]
    CircuitBreaker,
    DelegationToken,
    DelegationTokenManager,
    KillSwitch,
    KillSwitchMode,
    primitives,
)
from hummbl_governance.circuit_breaker import CircuitBreakerOpen  # type: ignore[import-untyped]
from hummbl_governance.kill_switch import KillSwitchEngagedError  # type: ignore[import-untyped]
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import otel_audit
from otel_audit import AuditInstrumentor, acting_as
from otel_audit.cli import main as otel_audit_command
from otel_audit.compat.hummbl import BusWriter

MAX_WORDS = 60


class Worker:
    """Summarizes documents, as far as its token, the breaker and the switch let it."""

    def __init__(self, bus: BusWriter, switch: KillSwitch, tokens: DelegationTokenManager) -> None:
        self.bus = bus
        self.switch = switch
        self.tokens = tokens
        self.breaker = CircuitBreaker(failure_threshold=2)
        self.words = 0

    def summarize(self, document: Path, token: DelegationToken) -> None:
        """Summarize one document, and say on the bus how it went."""
        allowed, why = self.tokens.check_least_privilege(token, "summarize")
        if not allowed:
            self.bus.post("worker", "orchestrator", "ERROR", f"{document.name}: {why}")
            return
        try:
            self.switch.check_or_raise("summarize")
            text = self.breaker.call(document.read_text, encoding="utf-8")
        except (KillSwitchEngagedError, CircuitBreakerOpen, OSError) as error:
            self.bus.post("worker", "orchestrator", "ERROR", f"{document.name}: {type(error).__name__}")
            return
        self.words += len(text.split())
        self.bus.post("worker", "all", "STATUS", f"{document.name}: {text.split('.')[0]}.")


def main() -> int:
    workspace = Path(tempfile.mkdtemp(prefix="otel-audit-"))
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or workspace / "events.jsonl").absolute()

    # 1. One log for the bus and for everything else that is audited.
    resource = Resource.create({"service.name": "governance"})
    trace.set_tracer_provider(TracerProvider(resource=resource))
    otel_audit.configure(path, resource=resource)
    AuditInstrumentor().instrument(frameworks=["hummbl"])

    # 2. The program is what it was with hummbl-governance alone.
    bus = BusWriter(path)
    with trace.get_tracer("governance").start_as_current_span("summarize documents"):
        work(bus, write_documents(workspace))

    # 3. Whoever has the file can read it, and check it.
    for message in bus.read_all():
        print(f"{message.seq:>4}  {message.from_id:<13} {message.msg_type:<17} {message.message}")
    print()
    return otel_audit_command(["verify", str(path)])


def work(bus: BusWriter, documents: list[Path]) -> None:
    """Let a worker do what it may, until it is stopped."""
    plan, lost, gone, costs, report, appendix = documents
    switch = KillSwitch()
    tokens = DelegationTokenManager(secret=os.urandom(32))
    worker = Worker(bus, switch, tokens)
    with acting_as("maya", type="user"), acting_as("orchestrator"):
        token = tokens.issue("orchestrator", "worker", ["summarize"], ["documents/*"])
        other = tokens.issue("orchestrator", "worker", ["translate"], ["documents/*"])
    with acting_as("worker"):
        worker.summarize(plan, other)  # this token is for something else
        worker.summarize(plan, token)
        worker.summarize(lost, token)
        worker.summarize(gone, token)  # the second failure in a row: the breaker opens
        worker.summarize(costs, token)
    with acting_as("maya", type="user"):
        worker.breaker.reset()
    with acting_as("worker"):
        worker.summarize(report, token)
        if worker.words > MAX_WORDS:
            switch.engage(KillSwitchMode.HALT_ALL, f"over {MAX_WORDS} words", "cost_governor")
        worker.summarize(appendix, token)
    switch.disengage("maya", "looked into")
    primitives.create_revocation_tuple("orchestrator", token.token_id, "work is done", "maya")
    bus.post("orchestrator", "maya", "SITREP", f"{worker.words} words read")


def write_documents(workspace: Path) -> list[Path]:
    """Write what there is to read; two of the documents are missing."""
    folder = workspace / "documents"
    folder.mkdir()
    texts = {
        "plan.txt": "The plan has three parts. Each of them takes a week.",
        "lost.txt": None,
        "gone.txt": None,
        "costs.txt": "Nobody reads this while the breaker is open.",
        "report.txt": "The report is long. " + "It repeats itself. " * 20,
        "appendix.txt": "Nobody reads this while the switch is engaged.",
    }
    for name, text in texts.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


if __name__ == "__main__":
    sys.exit(main())
