"""Two agents of Google ADK, audited by two statements; offline, by a model of its own.

    python3 -m uv run --with google-adk==2.13.0 examples/frameworks/with_google_adk.py

Prints the lines of its log in short, which goes where OTEL_AUDIT_FILE says, else into a new folder.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


def refund(order_id: str, amount: float) -> str:
    """Refund an order."""
    return f"refunded {amount} for {order_id}"


class Scripted(BaseLlm):  # type: ignore[misc]
    """A model that gives these answers, one after the other."""

    answers: list[types.Part]

    async def generate_content_async(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[LlmResponse]:  # noqa: D102
        yield LlmResponse(content=types.Content(role="model", parts=[self.answers.pop(0)]))


async def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["google_adk"], capture=["order_id"])

    hand = types.Part.from_function_call(name="transfer_to_agent", args={"agent_name": "billing"})
    pay = types.Part.from_function_call(name="refund", args={"order_id": "A-1027", "amount": 12.5})
    payer = Scripted(model="scripted", answers=[pay, types.Part(text="Refunded.")])
    billing = LlmAgent(name="billing", model=payer, tools=[refund])
    triage = LlmAgent(name="triage", model=Scripted(model="scripted", answers=[hand]), sub_agents=[billing])
    with acting_as("maya@example.com", type="user"):
        await InMemoryRunner(agent=triage).run_debug("I want my money back.")

    for entry in otel_audit.read_log(path):
        said = entry.attributes
        if entry.event_name.startswith("gen_ai."):
            chain = " > ".join(said.get("audit.delegation") or [said["audit.actor.id"]])  # type: ignore[arg-type]
            print(f"{entry.seq:2} {chain}: {said['audit.phase']} {entry.event_name} {said['audit.target.id']}")


asyncio.run(main())
