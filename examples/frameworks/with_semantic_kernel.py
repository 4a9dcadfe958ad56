"""Two agents of Semantic Kernel, audited without a change to them; offline, with a connector of its own.

    python3 -m uv run --with semantic-kernel==1.45.0 examples/frameworks/with_semantic_kernel.py

Prints the lines of its log in short, which goes where OTEL_AUDIT_FILE says, else into a new
temporary folder.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.chat_completion_client_base import ChatCompletionClientBase
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.prompt_execution_settings import PromptExecutionSettings
from semantic_kernel.contents import ChatMessageContent, FunctionCallContent, FunctionResultContent, TextContent
from semantic_kernel.contents.utils.author_role import AuthorRole
from semantic_kernel.functions import kernel_function

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


class Settings(PromptExecutionSettings):  # type: ignore[misc]
    """Settings with functions."""

    function_choice_behavior: FunctionChoiceBehavior | None = None


class Model(ChatCompletionClientBase):  # type: ignore[misc]
    """Calls one function, then says that it is done."""

    SUPPORTS_FUNCTION_CALLING = True
    calls: str
    argument: str

    def get_prompt_execution_settings_class(self) -> type[Settings]:
        """Return the class of its settings."""
        return Settings

    async def _inner_get_chat_message_contents(self, chat_history: Any, settings: Any) -> list[ChatMessageContent]:
        answered = any(isinstance(item, FunctionResultContent) for item in chat_history.messages[-1].items)
        call = FunctionCallContent(id="call-1", name=self.calls, arguments={self.argument: "A-1027"})
        items = [TextContent(text="done") if answered else call]
        return [ChatMessageContent(role=AuthorRole.ASSISTANT, items=items)]


class Orders:
    """What the clerk can do."""

    @kernel_function
    def refund(self, order_id: str) -> str:
        """Give the money back."""
        return f"{order_id} refunded"


def agent(name: str, plugin: Any, calls: str, argument: str) -> ChatCompletionAgent:
    """Return an agent with one plugin."""
    model = Model(ai_model_id="fake", calls=calls, argument=argument)
    return ChatCompletionAgent(name=name, service=model, plugins=[plugin])


clerk = agent("clerk", Orders(), "Orders-refund", "order_id")
desk = agent("front-desk", clerk, "clerk-clerk", "messages")


def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["semantic_kernel"], capture=["order_id"])
    with acting_as("maya@example.com", type="user"):
        print(asyncio.run(desk.get_response(messages="I want my money back for A-1027.")).content)
    for entry in otel_audit.read_log(path):
        said: Any = entry.attributes
        if entry.event_name.startswith("gen_ai."):
            who = " > ".join(map(str, said.get("audit.delegation") or [said["audit.actor.id"]]))
            print(f"{entry.seq:2} {who}: {said['audit.phase']} {entry.event_name} {said['audit.target.id']}")


if __name__ == "__main__":
    main()
