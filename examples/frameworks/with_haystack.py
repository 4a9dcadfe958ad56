"""Two agents of Haystack, audited by two statements; offline, by a model of its own.

    python3 -m uv run --with haystack-ai==3.4.0 examples/frameworks/with_haystack.py

Prints the lines of its log in short, which goes where OTEL_AUDIT_FILE says, else into a new folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"  # it would go to a service; auditing does not need it

from haystack import Pipeline
from haystack.components.agents import Agent
from haystack.components.generators.chat import MockChatGenerator
from haystack.dataclasses import ChatMessage, ToolCall
from haystack.hooks.human_in_the_loop import BlockingConfirmationStrategy, ConfirmationHook, NeverAskPolicy
from haystack.hooks.human_in_the_loop import SimpleConsoleUI as Console
from haystack.tools import AgentTool, tool

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


@tool
def refund(order_id: str, amount: float) -> str:
    """Refund an order."""
    return f"refunded {amount} for {order_id}"


def asking(name: str, **arguments: Any) -> MockChatGenerator:
    """Return a model that has one tool called, and is content then."""
    call = ToolCall(tool_name=name, arguments=arguments, id=f"call-{name}")
    return MockChatGenerator([ChatMessage.from_assistant(tool_calls=[call]), "Refunded."])


path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
otel_audit.configure(path)
AuditInstrumentor().instrument(frameworks=["haystack"], capture=["order_id"])

allow = BlockingConfirmationStrategy(confirmation_policy=NeverAskPolicy(), confirmation_ui=Console())
hooks: Any = {"before_tool": [ConfirmationHook({"refund": allow})]}
payer = Agent(chat_generator=asking("refund", order_id="A-1027", amount=12.5), tools=[refund], hooks=hooks)
billing = AgentTool(agent=payer, name="billing", description="Pays back.")
ask = asking("billing", messages=[{"role": "user", "content": "Refund A-1027."}])
pipeline = Pipeline()
pipeline.add_component("triage", Agent(chat_generator=ask, tools=[billing]))
with acting_as("maya@example.com", type="user"):
    print(pipeline.run({"messages": [ChatMessage.from_user("I want my money back.")]})["triage"]["last_message"].text)

for entry in otel_audit.read_log(path):
    said = entry.attributes
    if entry.event_name.startswith("gen_ai."):
        chain: Any = said.get("audit.delegation") or [said["audit.actor.id"]]
        phase = said.get("audit.phase") or said["audit.decision"]
        print(f"{entry.seq:2} {' > '.join(chain)}: {phase} {entry.event_name} {said['audit.target.id']}")
