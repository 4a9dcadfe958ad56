"""autogen: model calls. Nothing of what is asked or answered is recorded, whatever the settings say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import create_key, get_value, set_value

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import Act, model_call, token_counts
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted, asking
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.patch import Wrapper
from otel_audit.pipeline.context import made_current

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

AGENT: Final = create_key("otel-audit-autogen-agent")
"""Under which the context of a run has the agent's name."""
CALL: Final = create_key("otel-audit-autogen-call")
"""Under which the context has the tool call that it is in; none inside of a run, a model call or code."""
RUN: Final = create_key("otel-audit-autogen-run")
"""Under which the context has the agent's run that it is in; none inside of a tool call, a model call or code."""
_MODEL: Final = create_key("otel-audit-autogen-model")
"""Under which the context of a call has the model, and those of its methods that the call went through so far."""

_PACKAGE: Final = "autogen_ext.models."
_PASSING_ON: Final = "autogen_ext.models.cache"
"""Whose model asks another one, which is audited, unless it knows the answer."""
_PROVIDERS: Final = {"azure": "azure.ai.inference"}


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all models.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    model = import_module("autogen_core.models").ChatCompletionClient
    models = _Models(auditor)
    wrap_methods(
        (model,), {"create": models.ask, "create_stream": models.stream}, undo, maker=(model, "__init_subclass__")
    )


class _Models:
    """The wrappers around a model's methods. Thread-safe."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    def ask(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Awaitable[Any]], model: Any, args: Any, kwargs: Any) -> Any:
            if _goes_on(model, method):
                return await wrapped(*args, **kwargs)

            async def call() -> Any:
                with made_current(set_value(RUN, None, set_value(CALL, None, set_value(_MODEL, (model, {method}))))):
                    return await wrapped(*args, **kwargs)

            return await self._auditor.arun(_act(model), call, _judge)

        return wrapper

    def stream(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
            ask = asking(wrapped, args, kwargs)
            if _goes_on(model, method):
                return ask()
            values = {_MODEL: (model, {method}), CALL: None, RUN: None}
            return acted(self._auditor, _act(model), ask, _ModelWatcher(), values=values)

        return wrapper


def _goes_on(model: Any, method: Method) -> bool:
    """Return whether a call is the one under way: of a class that has its parent ask, or streams what it asked for.

    A method that is called once more begins another call.
    """
    if method.cls.__module__.startswith(_PASSING_ON):
        return True
    before = get_value(_MODEL)
    if not isinstance(before, tuple) or before[0] is not model or method in before[1]:
        return False
    before[1].add(method)
    return True


def _act(model: Any) -> Act:
    return model_call(_name(model), provider=_provider(type(model)), agent=get_value(AGENT))


def _name(model: Any) -> object:
    for name in ("model", "model_name", "_model", "_model_name"):
        value = getattr(model, name, None)
        if isinstance(value, str) and value:
            return value
    for name in ("_create_args", "_raw_config"):
        config = getattr(model, name, None)
        if isinstance(config, Mapping) and isinstance(value := config.get("model"), str):
            return value
    return None


def _provider(kind: type) -> str:
    for cls in kind.__mro__:
        if cls.__module__.startswith(_PACKAGE):
            if cls.__name__.startswith("AzureOpenAI"):
                return "azure.ai.openai"
            name = cls.__module__.removeprefix(_PACKAGE).partition(".")[0]
            return _PROVIDERS.get(name, name)
    return kind.__name__


def _judge(action: AuditAction, answer: Any) -> None:
    """Tell of an answer why it ended and what it cost."""
    usage = getattr(answer, "usage", None)
    counts = token_counts(getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None))
    for name, count in counts.items():
        action.set_attribute(name, count)
    if isinstance(reason := getattr(answer, "finish_reason", None), str):
        action.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, [reason])


class _ModelWatcher(Watcher):
    """Learns from the last item of a stream, which is the whole answer."""

    def __init__(self) -> None:
        self._last: Any = None

    def see(self, item: Any) -> None:
        self._last = item

    def judge(self, action: AuditAction) -> None:
        _judge(action, self._last)
        if hasattr(self._last, "finish_reason"):
            action.set_outcome("success")
