"""Two agents of crewai, audited by two statements; offline, by a model of its own.

    python3 -m uv run --with crewai==1.15.30 examples/frameworks/with_crewai.py

Prints the lines of its log, which goes where OTEL_AUDIT_FILE says, else into a new temporary folder.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

folder = tempfile.mkdtemp(prefix="otel-audit-")
os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",  # it would go to a service; auditing does not need it
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_STORAGE_DIR": folder,
}
# ruff: noqa: E402
warnings.simplefilter("ignore")  # of the framework's own modules
logging.getLogger("crewai").setLevel(logging.ERROR)

from crewai import Agent, Crew, Process, Task
from crewai.events.utils.console_formatter import set_suppress_console_output
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


class Scripted(BaseLLM):  # type: ignore[misc]  # not installed where the types are checked
    """A model that says what it is told to: texts, and calls of tools."""

    answers: list[Any]

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        """Say the next one."""
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            return answer
        name, arguments = answer
        return [{"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments}}]

    def supports_function_calling(self) -> bool:
        """Tools are called by the model's own calls."""
        return True


@tool("refund")
def refund(order_id: str, amount: float) -> str:
    """Refund an order."""
    return f"refunded {amount} for {order_id}"


def agent(role: str, *answers: Any, tools: Any = ()) -> Agent:
    model = Scripted(model="scripted", answers=list(answers))
    return Agent(role=role, goal="To help.", backstory="None.", llm=model, tools=list(tools))


def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(folder) / "audit.jsonl")
    set_suppress_console_output(True)

    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["crewai"], capture=["order_id"])

    work = {"task": "Refund order A-1027.", "context": "Asked for by mail.", "coworker": "refunds"}
    crew = Crew(
        name="desk",
        agents=[agent("refunds", ("refund", {"order_id": "A-1027", "amount": 12.5}), "Refunded.", tools=[refund])],
        tasks=[Task(description="Refund order A-1027.", expected_output="What was done.")],
        manager_agent=agent("triage", ("delegate_work_to_coworker", work), "Done."),
        process=Process.hierarchical,
    )
    with acting_as("maya@example.com", type="user"):
        print(crew.kickoff().raw)
    print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
