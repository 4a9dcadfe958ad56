"""A chat model of LangChain that says what a script says."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from tests.frameworks.conformance.driver import Script


class ConformanceModel(BaseChatModel):  # type: ignore[misc]  # not installed where the types are checked
    """Asks the script for each answer."""

    script: Any
    model_name: str

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        script: Script = self.script
        said = script.turn()
        if isinstance(said, str):
            message = AIMessage(said)
        else:
            message = AIMessage(
                "", tool_calls=[{"name": call.tool, "args": dict(call.arguments), "id": call.id} for call in said]
            )
        return ChatResult(generations=[ChatGeneration(message=message)])
