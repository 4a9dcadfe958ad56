"""strands-agents: model calls, by agents and by the framework for itself (summaries, steering).

Each class of models has a ``stream`` of its own, and some a ``structured_output`` that may ask by it:
that is one call. Nothing of what is asked or answered is recorded, whatever the settings say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import create_key, get_value

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import Act, model_call, token_counts
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted, asking
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.patch import Wrapper

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

AGENT: Final = create_key("otel-audit-strands-agent")
"""Under which the context of a run has the agent's name."""
CALLER: Final = create_key("otel-audit-strands-caller")
"""Under which the context of a run has the actors of whoever started the outermost one."""
_MODEL: Final = create_key("otel-audit-strands-model")
"""Under which the context of a call has the model, and those of its methods that the call went through."""

_PACKAGE: Final = "strands.models."
_PROVIDERS: Final = {
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "llamaapi": "meta.llama_api",
    "mistral": "mistral_ai",
    "openai_responses": "openai",
    "sagemaker": "aws.sagemaker",
}
"""``gen_ai.provider.name`` of those whose module has another name."""


def instrument(auditor: Auditor, undo: ExitStack) -> Callable[[], None]:
    """Audit all models; return what finds those that were made or changed unnoticed (`wrap_methods`).

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    model = import_module("strands.models.model").Model

    def ask(method: Method) -> Wrapper:
        return _ask(auditor, method)

    return wrap_methods((model,), {"stream": ask, "structured_output": ask}, undo, maker=(model, "__init_subclass__"))


def _ask(auditor: Auditor, method: Method) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before = _methods_under_way(model)
        if before and method not in before:
            return wrapped(*args, **kwargs)
        agent = get_value(AGENT)
        return acted(
            auditor,
            _act(model, agent),
            asking(wrapped, args, kwargs),
            _ModelWatcher(),
            values={_MODEL: (model, frozenset({method}))},
        )

    return wrapper


def _methods_under_way(model: object) -> frozenset[Method]:
    call = get_value(_MODEL)
    return call[1] if isinstance(call, tuple) and call[0] is model else frozenset()


def _act(model: Any, agent: object) -> Act:
    try:
        config = model.get_config()
    except Exception:  # the program's own code
        config = None
    name = None
    if isinstance(config, Mapping):
        name = config.get("model_id") or config.get("model")
    return model_call(name, provider=_provider(type(model)), agent=agent)


def _provider(kind: type) -> str:
    for cls in kind.__mro__:
        if cls.__module__.startswith(_PACKAGE):
            name = cls.__module__.removeprefix(_PACKAGE)
            return kind.__name__ if name == "model" else _PROVIDERS.get(name, name)
    return kind.__name__


class _ModelWatcher(Watcher):
    """Learns from an answer's chunks why it ended and what it cost."""

    def __init__(self) -> None:
        self._attributes: dict[str, object] = {}

    def see(self, item: Any) -> None:
        if not isinstance(item, Mapping):
            return
        chunk = item.get("event", item)  # structured output hands on chunks in events
        if not isinstance(chunk, Mapping):
            return
        reason = _member(chunk.get("messageStop"), "stopReason")
        if isinstance(reason, str):
            self._attributes[semconv.GEN_AI_RESPONSE_FINISH_REASONS] = [reason]
        usage = _member(chunk.get("metadata"), "usage")
        self._attributes |= token_counts(_member(usage, "inputTokens"), _member(usage, "outputTokens"))

    def judge(self, action: AuditAction) -> None:
        for name, value in self._attributes.items():
            action.set_attribute(name, value)
        if semconv.GEN_AI_RESPONSE_FINISH_REASONS in self._attributes:
            action.set_outcome("success")


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None
