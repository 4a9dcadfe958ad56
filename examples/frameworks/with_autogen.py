"""Two agents of autogen, audited by two statements; offline, by a model of its own.

    python3 -m uv run --with autogen-agentchat==0.7.5 examples/frameworks/with_autogen.py

Prints the lines of its log, which goes where OTEL_AUDIT_FILE says, else into a new temporary folder.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import SourceMatchTermination
from autogen_agentchat.teams import Swarm
from autogen_core import FunctionCall
from autogen_core.models import ChatCompletionClient, CreateResult, ModelInfo, RequestUsage

import otel_audit
from otel_audit import AuditInstrumentor, acting_as

NOTHING = RequestUsage(prompt_tokens=0, completion_tokens=0)


class Scripted(ChatCompletionClient):  # type: ignore[misc]  # not installed where the types are checked
    """A model that says what it is told to: texts, and calls of tools."""

    component_type = "model"
    model = "scripted"
    model_info: Any = ModelInfo(
        vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False
    )
    capabilities: Any = model_info

    def __init__(self, *answers: str | tuple[str, str]) -> None:
        self.answers = list(answers)

    async def create(self, messages: Any, **kwargs: Any) -> Any:
        """Say the next one."""
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            return CreateResult(finish_reason="stop", content=answer, usage=NOTHING, cached=False)
        name, arguments = answer
        calls = [FunctionCall(id=f"call_{name}", name=name, arguments=arguments)]
        return CreateResult(finish_reason="function_calls", content=calls, usage=NOTHING, cached=False)

    def create_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Not asked for here."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to close."""

    def actual_usage(self) -> Any:
        """Count nothing."""
        return NOTHING

    def total_usage(self) -> Any:
        """Count nothing."""
        return NOTHING

    def count_tokens(self, *args: Any, **kwargs: Any) -> int:
        """Count nothing."""
        return 0

    def remaining_tokens(self, *args: Any, **kwargs: Any) -> int:
        """Count nothing."""
        return 1000


async def refund(order_id: str, amount: float) -> str:
    """Refund an order."""
    return f"refunded {amount} for {order_id}"


def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")

    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["autogen"], capture=["order_id"])

    triage = AssistantAgent("triage", model_client=Scripted(("transfer_to_refunds", "{}")), handoffs=["refunds"])
    refunds = AssistantAgent(
        "refunds",
        tools=[refund],
        model_client=Scripted(("refund", '{"order_id": "A-1027", "amount": 12.5}'), "Done."),
        max_tool_iterations=2,
    )
    desk = Swarm([triage, refunds], name="desk", termination_condition=SourceMatchTermination(["refunds"]))
    with acting_as("maya@example.com", type="user"):
        result = asyncio.run(desk.run(task="Refund order A-1027."))
    print(result.messages[-1].to_text())
    print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
