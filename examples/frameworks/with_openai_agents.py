"""Two agents of openai-agents, audited by two statements; offline, by the framework's own test model.

    python3 -m uv run --with openai-agents==0.24.0 examples/frameworks/with_openai_agents.py

Prints the lines of its log, which goes where OTEL_AUDIT_FILE says, else into a new temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from agents import Agent, Runner, function_tool, set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message, function_call

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


@function_tool
def refund(order_id: str, amount: float) -> str:
    """Refund an order."""
    return f"refunded {amount} for {order_id}"


def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
    set_tracing_disabled(True)  # it would go to a service; auditing does not need it

    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["openai_agents"], capture=["order_id"])

    refunds = Agent(
        name="refunds",
        tools=[refund],
        model=ScriptedModel(
            [
                [function_call("refund", {"order_id": "A-1027", "amount": 12.5}, call_id="call_2")],
                [assistant_message("Done.")],
            ]
        ),
    )
    triage = Agent(
        name="triage",
        handoffs=[refunds],
        model=ScriptedModel([[function_call("transfer_to_refunds", {}, call_id="call_1")]]),
    )
    with acting_as("maya@example.com", type="user"):
        result = Runner.run_sync(triage, "Refund order A-1027.")
    print(result.final_output)
    print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
