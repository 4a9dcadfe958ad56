"""Microsoft's Agent Framework: model calls, and the tools that the provider runs inside of them.

Every client of a model gives the framework ``_inner_get_response``, and a client of embeddings
``get_embeddings``, in a class of its own; each request of the framework or the program comes
there, behind chat middleware, and is one call. Nothing of what is asked or answered is recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import Act, model_call, token_counts, tool_call
from otel_audit.instrument.frameworks.agent_framework.part import part
from otel_audit.instrument.frameworks.agent_framework.stream import Watcher, streamed
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.begun import CALL, begin, current_agent, goes_on
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.patch import Wrapper
from otel_audit.pipeline.context import made_current

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_HOSTED: Final = {
    "code_interpreter_tool_call": "code_interpreter",
    "image_generation_tool_call": "image_generation",
    "mcp_server_tool_call": None,
    "search_tool_call": "search",
}
"""Types of contents that tell of a tool which the provider ran: the tool's name (None: the content has it)."""


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all clients of models and embeddings.

    Raises:
        AuditConfigError: This version lacks something that is wrapped.
    """
    chat, embedding = part("agent_framework", "BaseChatClient"), part("agent_framework", "BaseEmbeddingClient")
    made = "__init_subclass__"
    wrap_methods((chat,), {"_inner_get_response": lambda method: _ask(auditor, method)}, undo, maker=(chat, made))
    wrap_methods(
        (embedding,), {"get_embeddings": lambda method: _embed(auditor, method)}, undo, maker=(embedding, made)
    )


class _Answer(Watcher):
    """What an answer tells of itself, all at once or bit by bit."""

    def __init__(self, auditor: Auditor, agent: str | None) -> None:
        self._auditor = auditor
        self._agent = agent
        self._members: dict[str, object] = {}
        self._usage: dict[str, int] = {}
        self._hosted: dict[object, Any] = {}

    def see(self, update: Any) -> None:
        """Take what one update tells."""
        for name, attribute in (("model", semconv.GEN_AI_RESPONSE_MODEL), ("response_id", semconv.GEN_AI_RESPONSE_ID)):
            if isinstance(value := getattr(update, name, None), str):
                self._members[attribute] = value
        if isinstance(finish := getattr(update, "finish_reason", None), str):
            self._members[semconv.GEN_AI_RESPONSE_FINISH_REASONS] = [str(finish)]
        for content in getattr(update, "contents", None) or ():
            self._see_content(content)
            if content.type == "usage":
                self._add_usage(content.usage_details)

    def judge(self, action: AuditAction, result: Any = None) -> None:
        """Tell of the answer which model gave it, why it ended and what it cost."""
        if result is not None:
            self.see(result)
            for message in result.messages:
                for content in message.contents:
                    self._see_content(content)
            self._add_usage(getattr(result, "usage_details", None))
        for name, value in (self._members | self._usage).items():
            action.set_attribute(name, value)
        for call in self._hosted.values():
            tool = _HOSTED[call.type] or getattr(call, "tool_name", None)
            self._auditor.report(tool_call(tool, call_id=call.call_id, agent=self._agent, tool_type="extension"))

    def _see_content(self, content: Any) -> None:
        if content.type in _HOSTED:
            self._hosted.setdefault(content.call_id or id(content), content)

    def _add_usage(self, usage: Mapping[str, Any] | None) -> None:
        if usage:
            counts = token_counts(usage.get("input_token_count"), usage.get("output_token_count"))
            for name, count in counts.items():
                self._usage[name] = self._usage.get(name, 0) + count


def _ask(auditor: Auditor, method: Method) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if goes_on(CALL, client, method):
            return wrapped(*args, **kwargs)
        agent = current_agent()
        act, answer = _act(client, kwargs.get("options"), agent), _Answer(auditor, agent)
        if kwargs.get("stream"):
            call = lambda: wrapped(*args, **kwargs)  # noqa: E731
            return streamed(auditor, act, call, answer, key=CALL, instance=client, method=method)

        async def ask() -> Any:
            with made_current(begin(CALL, client, method)):
                return await wrapped(*args, **kwargs)

        return auditor.arun(act, ask, answer.judge)

    return wrapper


def _embed(auditor: Auditor, method: Method) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if goes_on(CALL, client, method):
            return await wrapped(*args, **kwargs)

        async def ask() -> Any:
            with made_current(begin(CALL, client, method)):
                return await wrapped(*args, **kwargs)

        act = _act(client, kwargs.get("options"), current_agent(), operation="embeddings")
        return await auditor.arun(act, ask, _judge_embeddings)

    return wrapper


def _judge_embeddings(action: AuditAction, result: Any) -> None:
    usage = result.usage or {}
    for name, count in token_counts(usage.get("input_token_count"), usage.get("output_token_count")).items():
        action.set_attribute(name, count)


def _act(client: Any, options: Any, agent: str | None, *, operation: str = "chat") -> Act:
    model = options.get("model") if isinstance(options, Mapping) else None
    provider = getattr(client, "otel_provider_name", None) or getattr(client, "OTEL_PROVIDER_NAME", None)
    return model_call(
        model or getattr(client, "model", None),
        provider=provider if isinstance(provider, str) and provider != "unknown" else None,
        agent=agent,
        operation=operation,
    )
