"""Two agents of llama-index, audited by two statements; offline, by the framework's own test model.

    python3 -m uv run --with llama-index-core==0.14.25 examples/frameworks/with_llama_index.py

Prints the lines of its log in short, which goes where OTEL_AUDIT_FILE says, else into a new
temporary folder.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


def refund(order_id: str, amount: float) -> str:
    """Refund an order."""
    return f"refunded {amount} for {order_id}"


def scripted(*answers: Any) -> MockFunctionCallingLLM:
    """Return a model that gives these answers, one after the other: texts, or tool calls."""
    messages = [ChatMessage(answer if isinstance(answer, str) else [answer], role="assistant") for answer in answers]
    return MockFunctionCallingLLM(response_generator=lambda *_args, **_kwargs: messages.pop(0))


async def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["llama_index"], capture=["order_id"])

    order = {"order_id": "A-1027", "amount": 12.5}
    pay = ToolCallBlock(tool_call_id="call-2", tool_name="refund", tool_kwargs=order)
    hand = {"to_agent": "billing", "reason": "a refund"}
    handoff = ToolCallBlock(tool_call_id="call-1", tool_name="handoff", tool_kwargs=hand)
    triage = FunctionAgent(name="triage", description="Sorts questions.", llm=scripted(handoff))
    billing = FunctionAgent(name="billing", description="Pays back.", llm=scripted(pay, "Refunded."), tools=[refund])
    with acting_as("maya@example.com", type="user"):
        print(await AgentWorkflow(agents=[triage, billing], root_agent="triage").run("I want my money back."))

    for entry in otel_audit.read_log(path):
        said = entry.attributes
        if entry.event_name.startswith("gen_ai."):
            chain: Any = said.get("audit.delegation") or [said["audit.actor.id"]]
            print(
                f"{entry.seq:2} {' > '.join(chain)}: {said['audit.phase']} {entry.event_name} {said['audit.target.id']}"
            )


if __name__ == "__main__":
    asyncio.run(main())
