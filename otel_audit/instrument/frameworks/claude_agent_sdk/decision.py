"""Claude Agent SDK: what the program decides of tool calls: by its permission callback, and by its own hooks.

A decision is on disk before the other process is told of it. One that cannot be written permits
nothing; a refusal takes effect in any case.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import Act, approval, guardrail
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.claude_agent_sdk.session import REFUSED, TOOL_DENIED, Session
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.context import made_current
from otel_audit.record import Decision

Hook = Callable[[Any, Any, Any], Awaitable[Any]]

_log = logging.getLogger(__name__)

_DENIALS = {
    "PreToolUse": TOOL_DENIED,
    "PermissionRequest": {
        "hookSpecificOutput": {
            "hookEventName": "PermissionRequest",
            "decision": {"behavior": "deny", "message": REFUSED},
        }
    },
}
"""What is answered in place of a permission that could not be recorded."""


class Decisions:
    """The decisions of one session."""

    def __init__(self, auditor: Auditor, session: Session) -> None:
        self._auditor = auditor
        self._session = session

    def of_permission(self, ask: Hook) -> Hook:
        """Return the program's ``can_use_tool``, whose answers are recorded."""

        @functools.wraps(ask)
        async def can_use_tool(name: Any, given: Any, context: Any) -> Any:
            agent = self._session.agent
            call_id = getattr(context, "tool_use_id", None)
            act = approval(name, call_id=call_id, agent=agent)
            try:
                answer = await ask(name, given, context)
            except Exception as raised:
                self._session.forget(call_id)
                await self._record(act, "error", error_type_of(raised))
                raise
            allowed = getattr(answer, "behavior", None) == "allow"
            recorded = await self._record(act, "allow" if allowed else "block")
            if not allowed or not recorded:
                self._session.forget(call_id)
            if allowed and not recorded:
                return import_module("claude_agent_sdk").PermissionResultDeny(message=REFUSED)
            return answer

        return can_use_tool

    def of_matcher(self, event: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Return what has the decisions of a matcher's hooks recorded, where its event is one to decide of."""
        if event not in _DENIALS and event != "UserPromptSubmit":
            return lambda matcher: matcher
        return lambda matcher: {**matcher, "hooks": [self._of_hook(event, hook) for hook in matcher["hooks"]]}

    def _of_hook(self, event: str, hook: Hook) -> Hook:
        @functools.wraps(hook)
        async def deciding(data: Any, tool_use_id: Any, context: Any) -> Any:
            output = await hook(data, tool_use_id, context)
            decision = _decision(output)
            if decision is None:
                return output
            agent, call_id = data.get("agent_type") or self._session.agent, data.get("tool_use_id") or tool_use_id
            act = (
                guardrail(getattr(hook, "__name__", None), agent=agent)
                if event == "UserPromptSubmit"
                else approval(data.get("tool_name"), call_id=call_id, agent=agent)
            )
            recorded = await self._record(act, decision)
            if decision == "block" or not recorded:
                self._session.forget(call_id)
            if decision == "allow" and not recorded:
                return _DENIALS.get(event, output)
            return output

        return deciding

    async def _record(self, act: Act, decision: Decision, reason: str | None = None) -> bool:
        if not self._session.is_audited:
            return True
        try:
            with made_current(self._session.of_caller()):
                await self._auditor.adecide(act, decision, reason=reason)
        except AuditError as error:
            _log.error("a decision could not be recorded, and permits nothing: %s", error)
            return False
        return True


def _decision(output: Any) -> Decision | None:
    """Return what a hook decides, in either form that there is; None where it leaves it to others."""
    if not isinstance(output, dict):
        return None
    of_event = output.get("hookSpecificOutput") or {}
    said = of_event.get("permissionDecision")
    if said is None and isinstance(of_event.get("decision"), dict):
        said = of_event["decision"].get("behavior")
    if said is None:
        said = output.get("decision")
    words: dict[object, Decision] = {"allow": "allow", "approve": "allow", "deny": "block", "block": "block"}
    return words.get(said) if isinstance(said, str) else None
