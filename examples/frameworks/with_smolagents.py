"""Two agents of smolagents, audited by two statements; offline, by a model of its own.

    python3 -m uv run --with smolagents==1.26.0 examples/frameworks/with_smolagents.py

Prints the lines of its log in short, which goes where OTEL_AUDIT_FILE says, else into a new folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from smolagents import ChatMessage, CodeAgent, LogLevel, MessageRole, Model, tool

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


@tool
def refund(order_id: str, amount: float) -> str:
    """Refund an order.

    Args:
        order_id: Which.
        amount: How much.
    """
    return f"refunded {amount} for {order_id}"


class Scripted(Model):  # type: ignore[misc]
    """A model that writes this code."""

    def generate(self, *_args: Any, **_kwargs: Any) -> ChatMessage:  # noqa: D102
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"<code>{self.kwargs['code']}</code>")


def not_empty(answer: Any, *_: Any, **_agent: Any) -> bool:
    return bool(answer)


path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
otel_audit.configure(path)
AuditInstrumentor().instrument(frameworks=["smolagents"], capture=["order_id"])

pay = Scripted(model_id="scripted", code="final_answer(refund(order_id='A-1027', amount=12.5))")
ask = Scripted(model_id="scripted", code="final_answer(billing(task='Refund order A-1027.'))")
quiet: Any = {"verbosity_level": LogLevel.OFF, "final_answer_checks": [not_empty]}
billing = CodeAgent([refund], pay, name="billing", description="Pays back.", **quiet)
triage = CodeAgent([], ask, name="triage", managed_agents=[billing], **quiet)
with acting_as("maya@example.com", type="user"):
    print(triage.run("I want my money back.").splitlines()[-1])

for entry in otel_audit.read_log(path):
    said = entry.attributes
    if entry.event_name.startswith("gen_ai."):
        chain: Any = said.get("audit.delegation") or [said["audit.actor.id"]]
        phase = said.get("audit.phase") or said["audit.decision"]
        print(f"{entry.seq:2} {' > '.join(chain)}: {phase} {entry.event_name} {said['audit.target.id']}")
