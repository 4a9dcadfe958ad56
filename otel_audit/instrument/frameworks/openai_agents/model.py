"""openai-agents: model calls, and the tools that the provider runs inside of them.

A run asks for the model of its agent; what it gets is the model itself behind a proxy, whose
every attempt is recorded, retries too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import wrapt
from opentelemetry.context import get_current

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import Act, model_call, parsed_arguments, token_counts, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.openai_agents.handoff import acting
from otel_audit.instrument.frameworks.openai_agents.stream import StreamedCall
from otel_audit.instrument.patch import Wrapper, wrap

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_HOSTED: Final = {
    "code_interpreter_call": ("code_interpreter", ("code",)),
    "file_search_call": ("file_search", ("queries",)),
    "image_generation_call": ("image_generation", ()),
    "mcp_call": (None, ("arguments",)),
    "shell_call_output": ("shell", ()),  # said by a model, it is of the provider's own container
    "web_search_call": ("web_search", ("action",)),
}
"""Types of output items: the tool's name (None: the item has it), and where its arguments are."""


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the model calls of every run.

    Raises:
        AuditConfigError: This version lacks the function that is wrapped.
    """
    undo.callback(wrap(import_module("agents.run_internal.run_loop"), "get_model", _get_model(auditor)))


if TYPE_CHECKING:
    _Proxy = wrapt.ObjectProxy[Any]
else:  # wrapt 1 takes no parameter
    _Proxy = wrapt.ObjectProxy


class _Model(_Proxy):
    """A model in the hands of one agent."""

    def __init__(self, model: Any, auditor: Auditor, agent: str, asked_for: object) -> None:
        super().__init__(model)
        self._self_auditor = auditor
        self._self_agent = agent
        self._self_act = _act(model, agent, asked_for)

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the model between two entries."""
        auditor, model = self._self_auditor, self.__wrapped__
        with acting(auditor, self._self_agent):
            return await auditor.arun(
                self._self_act, lambda: model.get_response(*args, **kwargs), _judge(auditor, self._self_agent)
            )

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Stream the model's answer between two entries."""
        auditor, model = self._self_auditor, self.__wrapped__
        judge = _judge(auditor, self._self_agent)

        def judge_last(action: AuditAction, event: Any) -> None:
            _judge_last(action, event)
            judge(action, event.response)

        with acting(auditor, self._self_agent):
            call = StreamedCall(auditor, self._self_act, get_current(), judge_last)
        return call.over(lambda: model.stream_response(*args, **kwargs))


def _get_model(auditor: Auditor) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        model = wrapped(*args, **kwargs)
        agent = args[0] if args else kwargs["agent"]
        run_config = args[1] if len(args) > 1 else kwargs["run_config"]
        asked_for = next((name for name in (run_config.model, agent.model) if isinstance(name, str)), None)
        return _Model(model, auditor, agent.name, asked_for)

    return wrapper


def _act(model: Any, agent: str, asked_for: object) -> Act:
    name = getattr(model, "model", None)
    if not isinstance(name, str):
        name = asked_for
    provider = None
    module = vars(type(model)).get("__module__")  # not by attribute: a class can make that anything
    if isinstance(module, str) and str.startswith(module, "agents.models.openai_"):
        provider = "openai"
    elif isinstance(name, str):
        named, slash, _ = str.partition(name, "/")  # not by its own method: it may be of a subclass
        provider = named if slash else None  # how litellm and any-llm name a provider's model
    return model_call(name, provider=provider, agent=agent)


def _judge(auditor: Auditor, agent: str) -> Callable[[AuditAction, Any], None]:
    """Return what notes the usage of a response, and what the provider did for it."""

    def judge(action: AuditAction, response: Any) -> None:
        response_id = getattr(response, "response_id", None) or getattr(response, "id", None)
        if isinstance(response_id, str) and response_id:
            action.set_attribute(semconv.GEN_AI_RESPONSE_ID, response_id)
        model = getattr(response, "model", None)
        if isinstance(model, str):
            action.set_attribute(semconv.GEN_AI_RESPONSE_MODEL, model)
        usage: Any = getattr(response, "usage", None)
        if getattr(usage, "total_tokens", None):
            for name, count in token_counts(usage.input_tokens, usage.output_tokens).items():
                action.set_attribute(name, count)
        for item in getattr(response, "output", None) or ():
            _report_hosted(auditor, item, agent)

    return judge


def _judge_last(action: AuditAction, event: Any) -> None:
    """Let the outcome say how a streamed answer ended."""
    response = event.response
    reason = getattr(getattr(response, "incomplete_details", None), "reason", None)
    finish = reason or getattr(response, "status", None)
    if isinstance(finish, str):
        action.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, [finish])
    if event.type == "response.failed":
        code = getattr(getattr(response, "error", None), "code", None)
        action.set_outcome("failure", error_type=code if isinstance(code, str) else event.type)
    else:
        action.set_outcome("success")


def _report_hosted(auditor: Auditor, item: object, agent: str) -> None:
    """Write an entry of a tool that the provider ran: it is over, and nothing could have stopped it."""
    name, arguments = _HOSTED.get(str(_member(item, "type")), (None, None))
    if arguments is None:
        return
    captured: dict[str, object] = {}
    if auditor.settings.capture:
        for key in arguments:
            value = _member(item, key)
            captured |= parsed_arguments(value) or {} if key == "arguments" else {key: value}
    failed = _member(item, "status") in ("failed", "incomplete") or bool(_member(item, "error"))
    auditor.report(
        tool_call(
            name or _member(item, "name"),
            call_id=_member(item, "call_id") or _member(item, "id"),
            arguments=captured,
            agent=agent,
            tool_type="extension",
        ),
        "failure" if failed else "success",
        error_type="tool_error" if failed else None,
    )


def _member(item: object, name: str) -> object:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
