"""Two agents of LangChain, audited without a change to them; offline, with the framework's own fake model.

    python3 -m uv run --with langchain==1.4.7 --with langgraph==1.2.22 examples/frameworks/with_langchain.py

Prints the lines of its log in short, which goes where OTEL_AUDIT_FILE says, else into a new
temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


class FakeModel(FakeMessagesListChatModel):  # type: ignore[misc]  # not installed where the types are checked
    """Gives one answer after the other, whatever tools it is told of."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:  # noqa: D102
        return self


def agent(name: str, function: Any, args: dict[str, Any]) -> Any:
    """Return an agent that calls its tool, then says that it is done."""
    call = AIMessage("", tool_calls=[{"name": function.name, "args": args, "id": f"call-{name}"}])
    return create_agent(FakeModel(responses=[call, AIMessage("done")]), [function], name=name)


@tool
def refund(order_id: str) -> str:
    """Refund an order."""
    return f"refunded {order_id}"


@tool
def ask_billing(question: str) -> str:
    """Ask the agent that pays back."""
    return str(agent("billing", refund, {"order_id": "A-1027"}).invoke({"messages": [("user", question)]}))


path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
otel_audit.configure(path)
AuditInstrumentor().instrument(frameworks=["langchain"], capture=["order_id"])
with acting_as("maya@example.com", type="user"):
    agent("triage", ask_billing, {"question": "Where is it?"}).invoke({"messages": [("user", "My money, please.")]})

for entry in otel_audit.read_log(path):
    if entry.event_name.startswith("gen_ai."):
        said: dict[str, Any] = entry.attributes
        who = " > ".join(said.get("audit.delegation") or [said["audit.actor.id"]])
        print(f"{entry.seq:2} {who}: {said['audit.phase']} {entry.event_name} {said['audit.target.id']}")
