"""LangChain's middleware: what guardrails decide.

A guardrail is a hook of a middleware that may end the run, which it declares by ``can_jump_to``:
the framework's own and those of programs alike. Its decision is on record before it takes effect.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import approval, guardrail
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.langchain.approval import tool_calls
from otel_audit.instrument.frameworks.langchain.graph import current_agent, named
from otel_audit.instrument.patch import wrap
from otel_audit.pipeline.wrapper import Wrapper
from otel_audit.record import Decision

_log = logging.getLogger(__name__)


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the guardrails of agents that are made from now on.

    Raises:
        AuditConfigError: This version of langchain or langgraph lacks what is wrapped.
    """
    enabled = True

    def stop() -> None:
        nonlocal enabled
        enabled = False

    def checked(check: Any, hook: Any) -> Any:
        return Wrapper(hook, check, partial(checked, check), lambda: enabled)

    def add_node(wrapped: Callable[..., Any], _graph: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        node: Any = args[1] if len(args) > 1 else kwargs.get("action")
        sync, coroutine = (getattr(node, name, None) for name in ("func", "afunc"))
        if (_is_of(sync, base) or _is_of(coroutine, base)) and (_may_end(sync) or _may_end(coroutine)):
            # `create_agent` has just made this node of a middleware's hooks: nobody else has it.
            guard = _Guard(auditor, str(args[0] if args else kwargs.get("node")).rpartition(".")[2])
            node.func = sync and checked(guard.check, sync)
            node.afunc = coroutine and checked(guard.acheck, coroutine)
        return wrapped(*args, **kwargs)

    base = named("langchain.agents.middleware", "AgentMiddleware")
    undo.callback(stop)
    undo.callback(wrap(named("langgraph.graph", "StateGraph"), "add_node", add_node))


def _is_of(function: object, kind: type) -> bool:
    return isinstance(getattr(function, "__self__", None), kind)


def _may_end(function: object) -> bool:
    return "end" in (getattr(function, "__can_jump_to__", None) or ())


@dataclass(frozen=True, slots=True)
class _Guard:
    """Records what one hook decides.

    Attributes:
        hook: ``before_agent``, ``before_model``, ``after_model`` or ``after_agent``.
    """

    auditor: Auditor
    hook: str

    def check(self, wrapped: Any, middleware: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            result = wrapped(*args, **kwargs)
        except Exception as error:
            self.raised(middleware, error)
            raise
        self.returned(middleware, args[0] if args else kwargs.get("state"), result)
        return result

    async def acheck(self, wrapped: Any, middleware: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            result = await wrapped(*args, **kwargs)
        except Exception as error:
            self.raised(middleware, error)
            raise
        self.returned(middleware, args[0] if args else kwargs.get("state"), result)
        return result

    def returned(self, middleware: Any, state: object, result: object) -> None:
        """Record what a result tells: to end the run, or that tool calls are answered in the tools' place."""
        update: Mapping[str, Any] = result if isinstance(result, Mapping) else {}
        messages = update.get("messages")
        asked = {call["id"] for call in tool_calls(state)}
        refused = [
            message
            for message in (messages if isinstance(messages, Sequence) else ())
            if getattr(message, "status", None) == "error" and getattr(message, "tool_call_id", None) in asked
        ]
        agent = current_agent()
        for message in refused:
            act = approval(message.name, call_id=message.tool_call_id, agent=agent)
            self.auditor.decide(act, "block", reason=self.hook)
        if update.get("jump_to") == "end" or not refused:
            decision: Decision = "block" if update.get("jump_to") == "end" else "allow"
            self.auditor.decide(guardrail(middleware.name, agent=agent), decision, reason=self.hook)

    def raised(self, middleware: Any, error: Exception) -> None:
        """Record that a hook raised; that ends the run in any case, with this very exception."""
        from langgraph.errors import GraphBubbleUp

        if isinstance(error, (AuditError, GraphBubbleUp)):
            return
        # The framework's own say no by an exception; any other is a fault.
        own = type(error).__module__.startswith("langchain.agents.middleware")
        act = guardrail(middleware.name, agent=current_agent())
        try:
            self.auditor.decide(act, "block" if own else "error", reason=self.hook)
        except AuditError as lost:
            _log.error("the decision of a guardrail is not in the audit log: %s", lost)
            channel = self.auditor.logger.channel()
            if channel is not None:
                channel.provider.exporter.ledger.drops.add(time.time_ns(), lost)
