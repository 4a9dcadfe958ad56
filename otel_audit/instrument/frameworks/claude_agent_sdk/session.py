"""Claude Agent SDK: what a session asks of this process: hooks, and tools that run here."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, get_current

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import agent_run, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor, close
from otel_audit.instrument.frameworks.claude_agent_sdk.run import Beginning, Run
from otel_audit.pipeline.context import made_current, with_actors

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

REFUSED: Final = "refused: the tool call could not be recorded in the audit log"
TOOL_DENIED: Final[dict[str, Any]] = {
    "hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "permissionDecision": "deny",
        "permissionDecisionReason": REFUSED,
    }
}
"""What a ``PreToolUse`` hook answers in place of a permission that could not be recorded."""
INTERRUPTED: Final = "interrupted"
_INTERNAL_ERROR: Final = -32603


class Session:
    """One session under way. Used by the tasks of one event loop: no lock.

    Attributes:
        agent: Name of its agent.
        runs: Of a client, the one under way first.
        tools: Tool calls whose intent is written, by id.
        hooked: Ids of the tool calls that a hook told of.
        sub_agents: Names of sub-agents, by the id of the tool call that begins them.
        refusal: Why something was refused; the session does not go on then.
        is_audited: False once uninstrumented.
    """

    def __init__(self, auditor: Auditor, begun: Beginning) -> None:
        self.agent = begun.agent
        self.runs: deque[Run] = deque([] if begun.run is None else [begun.run])
        self.tools: dict[str, AuditAction] = {}
        self.hooked: set[str] = set()
        self.sub_agents: dict[str, str] = {}
        self.refusal: AuditError | None = None
        self.is_audited = True
        self._auditor = auditor
        self._outer = Run(begun.caller, get_current())
        self._names: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._agents: dict[str, AuditAction] = {}

    def hooks(self) -> dict[str, dict[str, Any]]:
        """Return a matcher of ours for each event, as the SDK passes them on."""
        channel = self._auditor.logger.channel()
        closed = channel is not None and (self._auditor.settings.on_failure or channel.provider.on_failure) == "closed"
        # A hook that cannot be asked, or does not answer, is no permission.
        on_failure = {"on_failure": "block"} if closed else {}
        return {
            "PreToolUse": {"matcher": None, "hooks": [self._before_tool], **on_failure},
            "PostToolUse": {"matcher": None, "hooks": [self._after_tool]},
            "PostToolUseFailure": {"matcher": None, "hooks": [self._after_tool]},
            "SubagentStart": {"matcher": None, "hooks": [self._before_agent], **on_failure},
            "SubagentStop": {"matcher": None, "hooks": [self._after_agent]},
        }

    @contextmanager
    def inside(self, sub_agent: object = None) -> Iterator[None]:
        """Let the session's agent act, or a sub-agent for it, in the run under way."""
        with made_current(self._run.context), self._auditor.acting(self.agent), self._auditor.acting(sub_agent):
            yield

    def of_caller(self) -> Context:
        """Return the context of who began the run under way: decisions about it are theirs."""
        return with_actors(self._run.caller, self._run.context)

    def forget(self, call_id: object) -> None:
        """Take it that a tool will not be called any more: it was denied, or its call has ended."""
        self._names.pop(str(call_id), None)

    def fail(self, raised: BaseException) -> None:
        """Write that the session failed, as the outcome of its runs. Never raises."""
        while self.runs:
            self.runs.popleft().fail(raised)

    def close(self) -> None:
        """Write that what is still open was left before its end. Never raises."""
        for action in (*self.tools.values(), *self._agents.values()):
            close(action)
        for run in self.runs:
            run.close()
        self.tools.clear()
        self._agents.clear()
        self.runs.clear()

    async def _before_tool(self, data: dict[str, Any], tool_use_id: str | None, _context: object) -> dict[str, Any]:
        if not self.is_audited:
            return {}
        name, call_id = data.get("tool_name"), str(data.get("tool_use_id") or tool_use_id)
        self.hooked.add(call_id)
        try:
            with self.inside(data.get("agent_type")):
                self.tools[call_id] = await self._auditor.astart(
                    tool_call(
                        name,
                        call_id=call_id,
                        arguments=data.get("tool_input"),
                        agent=data.get("agent_type") or self.agent,
                    )
                )
        except AuditError as error:
            self.refusal = error
            return TOOL_DENIED
        self._names[call_id] = (str(name), data)
        sub_agent = (data.get("tool_input") or {}).get("subagent_type")
        if isinstance(sub_agent, str):
            self.sub_agents[call_id] = sub_agent
        return {}

    async def _after_tool(self, data: dict[str, Any], tool_use_id: str | None, _context: object) -> dict[str, Any]:
        call_id = str(data.get("tool_use_id") or tool_use_id)
        self._names.pop(call_id, None)
        action = self.tools.pop(call_id, None)
        if action is not None:
            if data.get("hook_event_name") == "PostToolUse":
                self._auditor.judge(action, data.get("tool_response"), None)
            elif data.get("is_interrupt"):
                action.set_outcome("unknown", reason=INTERRUPTED)
            else:
                action.set_outcome("failure", error_type="tool_error")
            await action.aend_quietly()
        return {}

    async def _before_agent(self, data: dict[str, Any], _tool_use_id: str | None, _context: object) -> dict[str, Any]:
        if self.is_audited:
            agent_id, session_id = data.get("agent_id"), data.get("session_id")
            act = agent_run(data.get("agent_type"), agent_id=agent_id, conversation_id=session_id)
            try:
                with self.inside():
                    self._agents[str(agent_id)] = await self._auditor.astart(act)
            except AuditError as error:
                self.refusal = error
                raise RuntimeError("refused: the run could not be recorded in the audit log") from None
        return {}

    async def _after_agent(self, data: dict[str, Any], _tool_use_id: str | None, _context: object) -> dict[str, Any]:
        action = self._agents.pop(str(data.get("agent_id")), None)
        if action is not None:
            await action.aend_quietly()
        return {}

    async def serve(self, server: str, message: dict[str, Any], answer: Callable[[], Awaitable[Any]]) -> Any:
        """Answer a message to a server of this process; a tool call that no hook told of is audited here.

        Returns:
            The answer; an error where the intent could not be written, and the tool did not run then.
        """
        params = message.get("params") or {}
        name = f"mcp__{server}__{params.get('name')}"
        is_call = message.get("method") == "tools/call"
        known = self._known(name) if is_call else None
        if not is_call or known is not None:
            with self.inside(None if known is None else known.get("agent_type")):
                return await answer()
        act = tool_call(name, arguments=params.get("arguments"), agent=self.agent)
        called = False

        async def call() -> Any:
            nonlocal called
            called = True
            return await answer()

        try:
            with self.inside():
                return await self._auditor.arun(act, call, _judge_answer)
        except AuditError as error:
            if called:
                raise
            self.refusal = error
            return {
                "jsonrpc": "2.0",
                "id": message.get("id"),
                "error": {"code": _INTERNAL_ERROR, "message": REFUSED},
            }

    @property
    def _run(self) -> Run:
        return self.runs[0] if self.runs else self._outer

    def _known(self, name: str) -> Mapping[str, Any] | None:
        """Take the hook's input for a tool of this name that was told of and not called yet."""
        for call_id, (known, data) in self._names.items():
            if known == name:
                del self._names[call_id]
                return data
        return None


def _judge_answer(action: AuditAction, answer: Any) -> None:
    result = answer.get("result") or {}
    if "error" in answer or result.get("isError"):
        action.set_outcome("failure", error_type="tool_error")
