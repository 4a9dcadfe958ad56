"""Where autogen is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

LATER: Final = (
    "autogen_agentchat.agents._base_chat_agent",
    "autogen_agentchat.agents._code_executor_agent",
    "autogen_agentchat.agents._message_filter_agent",
    "autogen_agentchat.teams._group_chat._round_robin_group_chat",
)

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call",
        "`BaseTool.run_json`, `run_json_stream`, in every class; `Workbench.call_tool`, `call_tool_stream` of "
        "workbenches that are not static",
        note="the run ends, as the workbench would tell the model of it",
    ),
    Hook(semconv.EVENT_TOOL_EXECUTE, "code that an agent runs", "`CodeExecutor.execute_code_blocks`, in every class"),
    Hook(semconv.EVENT_MODEL_CALL, "model call", "`ChatCompletionClient.create`, `create_stream`, in every class"),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "agent run, team",
        "`BaseChatAgent.run`, `run_stream`, `on_messages`, `on_messages_stream`, in every class; "
        "`BaseGroupChat.run_stream`",
    ),
    Hook(
        semconv.EVENT_AGENT_HANDOFF,
        "handoff",
        "the agent's answer that is a `HandoffMessage`, before anybody gets it",
        note="the run ends",
    ),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "approval of code by the `approval_func` of a `CodeExecutorAgent`",
        "`CodeExecutor.execute_code_blocks`, which runs only what is approved; `CodeExecutorAgent.execute_code_block`",
    ),
)
