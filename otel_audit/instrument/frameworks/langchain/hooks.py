"""Where LangChain is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

LATER: Final = (
    "langchain_core.language_models.chat_models",
    "langchain_core.language_models.llms",
    "langchain_core.tools.base",
    "langgraph.prebuilt",
    "langgraph.pregel",
    "langchain.agents.middleware",
)

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call",
        "`BaseTool.run`, `arun`: every kind of tool, and `ToolNode`, comes through them; also what a class "
        "overrides of them, `invoke` and `ainvoke`",
        note="where the program handles tool errors itself (`handle_tool_errors=True`, retries) the error can become "
        "a message to the model: the tool still did not run",
    ),
    Hook(
        semconv.EVENT_MODEL_CALL,
        "chat and text models",
        "`generate`, `agenerate`, `stream`, `astream`; also what a class overrides of them, `invoke`, "
        "`generate_prompt` and their async forms",
    ),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "agent and graph runs",
        "`Pregel.stream`, `astream`, to which `invoke`, `batch` and events come",
    ),
    Hook(
        semconv.EVENT_AGENT_HANDOFF, "handoff", "a tool's `Command` with `goto`", note="after the tool that asks for it"
    ),
    Hook(semconv.EVENT_TOOL_APPROVE, "approval", "`interrupt` of `HumanInTheLoopMiddleware`"),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "a policy's refusal",
        "`ToolNode(wrap_tool_call=…)` that answers itself",
        stops=None,
        note="nothing is left to stop",
    ),
    Hook(
        semconv.EVENT_GUARDRAIL_CHECK,
        "guardrail",
        "middleware hooks that can jump to the end, of agents made from then on",
        note="but where the hook itself raises, its exception goes on",
    ),
)
