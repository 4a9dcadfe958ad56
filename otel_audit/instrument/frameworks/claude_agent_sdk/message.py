"""Claude Agent SDK: what the messages of a session tell of what happened in the other process.

Model calls are told of by their answers, and tools that the provider or the command line ran
without asking by their results: one entry each, the outcome. Nothing of that could be stopped here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import model_call, token_counts, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.claude_agent_sdk.session import Session
from otel_audit.instrument.once import warn_once
from otel_audit.interrupt import is_interrupt

NO_WORD: Final = "refused, or ended without a word of how"
DENIED: Final = "no permission: the tool did not run"

_log = logging.getLogger(__name__)


class Messages:
    """What was heard of one session. Used by one reader: no lock."""

    def __init__(self, auditor: Auditor, session: Session) -> None:
        self._auditor = auditor
        self._session = session
        self._answers: dict[str | None, dict[str, Any]] = {}
        """The latest message of a model, by the call of the sub-agent that asked it; None is the session's agent."""
        self._asked: dict[str, tuple[str, str | None]] = {}
        """Tool calls of models: name, and the sub-agent's."""

    async def hear(self, message: dict[str, Any]) -> None:
        """Take what a message tells.

        Raises:
            AuditError: Something was refused because it could not be recorded. The session must not go on.
        """
        if not self._session.is_audited:
            return
        # Not before the answer that refuses it was written.
        if self._session.refusal is not None and message.get("type") in ("assistant", "user", "result"):
            raise self._session.refusal
        try:
            await self._hear(message)
        except Exception as error:  # of a form that nobody has seen yet
            if is_interrupt(error):
                raise
            warn_once(_log, "a message of type %s is not understood: %s", str(message.get("type")), error)

    async def _hear(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "assistant":
            self._hear_answer(message)
        elif kind == "user":
            self._flush(message.get("parent_tool_use_id"))
            for block in _blocks(message, "tool_result"):
                await self._hear_tool(block)
        elif kind == "result":
            for lane in list(self._answers):
                self._flush(lane)
            for denied in message.get("permission_denials") or ():
                await self._end_tool(denied.get("tool_use_id"), failed=True, reason=DENIED)
            if self._session.runs:
                self._session.runs.popleft().end(message)

    def _hear_answer(self, message: dict[str, Any]) -> None:
        lane = message.get("parent_tool_use_id")
        before = self._answers.get(lane)
        if before is not None and before["message"].get("id") != message["message"].get("id"):
            self._flush(lane)
        self._answers[lane] = message
        for block in _blocks(message, "tool_use"):
            self._asked[str(block.get("id"))] = (str(block.get("name")), lane)
        for block in _blocks(message, "server_tool_use"):
            with self._session.inside(self._sub_agent(lane)):
                agent = self._sub_agent(lane) or self._session.agent
                self._auditor.report(
                    tool_call(block.get("name"), call_id=block.get("id"), agent=agent, tool_type="extension")
                )

    def _flush(self, lane: str | None) -> None:
        """Write the entry of a model call, now that all of its answer was heard."""
        message = self._answers.pop(lane, None)
        if message is None:
            return
        answer, error = message["message"], message.get("error")
        usage, stop = answer.get("usage") or {}, answer.get("stop_reason")
        agent = self._sub_agent(lane) or self._session.agent
        with self._session.inside(self._sub_agent(lane)):
            self._auditor.report(
                model_call(
                    answer.get("model"),
                    provider="anthropic",
                    agent=agent,
                    **{
                        semconv.GEN_AI_RESPONSE_MODEL: answer.get("model"),
                        semconv.GEN_AI_RESPONSE_ID: answer.get("id"),
                        semconv.GEN_AI_RESPONSE_FINISH_REASONS: [stop] if isinstance(stop, str) else None,
                        **token_counts(usage.get("input_tokens"), usage.get("output_tokens")),
                    },
                ),
                "success" if error is None else "failure",
                error_type=error if isinstance(error, str) else None,
            )

    async def _hear_tool(self, block: dict[str, Any]) -> None:
        call_id, failed = str(block.get("tool_use_id")), bool(block.get("is_error"))
        name, lane = self._asked.pop(call_id, (None, None))
        if call_id in self._session.hooked:
            self._session.hooked.discard(call_id)
            await self._end_tool(call_id, failed=failed, reason=NO_WORD)
        elif name is not None:
            sub_agent = self._sub_agent(lane)
            with self._session.inside(sub_agent):
                self._auditor.report(
                    tool_call(name, call_id=call_id, agent=sub_agent or self._session.agent),
                    "failure" if failed else "success",
                    error_type="tool_error" if failed else None,
                )

    async def _end_tool(self, call_id: object, *, failed: bool, reason: str) -> None:
        self._session.forget(call_id)
        action = self._session.tools.pop(str(call_id), None)
        if action is not None:
            if failed:
                action.set_outcome("failure", error_type="tool_error", reason=reason)
            await action.aend_quietly()

    def _sub_agent(self, lane: str | None) -> str | None:
        return None if lane is None else self._session.sub_agents.get(lane)


def _blocks(message: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    content = (message.get("message") or {}).get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == kind:
            yield block
