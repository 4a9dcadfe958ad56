"""Two agents of strands-agents, audited by two statements; offline, by a model of its own.

    python3 -m uv run --with strands-agents==1.62.0 examples/frameworks/with_strands.py

Prints the lines of its log, which goes where OTEL_AUDIT_FILE says, else into a new temporary folder.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from strands import Agent, tool
from strands.models import Model
from strands.multiagent import Swarm

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


class Scripted(Model):  # type: ignore[misc]  # not installed where the types are checked
    """A model that says what it is told to: texts, and calls of tools."""

    def __init__(self, *answers: str | tuple[str, dict[str, Any]]) -> None:
        self.answers = list(answers)

    def update_config(self, **model_config: Any) -> None:
        """Nothing to change."""

    def get_config(self) -> dict[str, Any]:
        """Return the settings."""
        return {"model_id": "scripted"}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        """Not asked for here."""
        raise NotImplementedError

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[dict[str, Any]]:
        """Say the next one."""
        answer = self.answers.pop(0)
        yield {"messageStart": {"role": "assistant"}}
        if isinstance(answer, str):
            yield {"contentBlockDelta": {"delta": {"text": answer}}}
        else:
            name, arguments = answer
            yield {"contentBlockStart": {"start": {"toolUse": {"name": name, "toolUseId": f"call_{name}"}}}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps(arguments)}}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn" if isinstance(answer, str) else "tool_use"}}


@tool
def refund(order_id: str, amount: float) -> str:
    """Refund an order."""
    return f"refunded {amount} for {order_id}"


def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")

    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["strands"], capture=["order_id"])

    triage = Agent(
        name="triage",
        model=Scripted(("handoff_to_agent", {"agent_name": "refunds", "message": "A refund."}), "Handed over."),
        callback_handler=None,
    )
    refunds = Agent(
        name="refunds",
        tools=[refund],
        model=Scripted(("refund", {"order_id": "A-1027", "amount": 12.5}), "Done."),
        callback_handler=None,
    )
    with acting_as("maya@example.com", type="user"):
        result = Swarm([triage, refunds], id="desk")("Refund order A-1027.")
    print(result.results["refunds"].result)
    print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
