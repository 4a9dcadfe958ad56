"""Haystack: chat generators, by ``run`` and ``run_async`` of every class.

A chat generator is a component that takes ``messages`` and gives ``replies``, or whatever an agent
uses as one. Classes are found where their instances are made, and where an agent begins to use one. A stream
goes to a callback: it is over when the call returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from otel_audit import semconv
from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import Act, model_call, token_counts
from otel_audit.instrument.frameworks.haystack.run import current_agent, refuse
from otel_audit.instrument.frameworks.methods import Method, entered, is_around, one_at_a_time
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.patch import Wrapper, can_wrap, wrap

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction

_INTEGRATIONS: Final = "haystack_integrations.components.generators."
"""Where the packages of single providers put their modules."""
_PROVIDERS: Final = {
    "AzureOpenAIChatGenerator": "azure.ai.openai",
    "AzureOpenAIResponsesChatGenerator": "azure.ai.openai",
    "OpenAIChatGenerator": "openai",
    "OpenAIResponsesChatGenerator": "openai",
    "amazon_bedrock": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "mistral": "mistral_ai",
    "watsonx": "ibm.watsonx.ai",
}
"""``gen_ai.provider.name`` of the framework's own classes, and of packages that have another name."""

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Models:
    """Writes what chat generators are asked; nothing of what is asked or answered. Thread-safe."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self._way_back = ExitStack()
        self._ours: dict[tuple[type, str], list[object]] = {}
        self._known: set[type] = set()
        self._ended = False

    def instrument(self, undo: ExitStack) -> None:
        """Audit all chat generators.

        Raises:
            AuditConfigError: This version makes components in another way.
        """
        from haystack.components.generators.chat.fallback import FallbackChatGenerator
        from haystack.core.component.component import ComponentMeta, component

        undo.enter_context(self._way_back)
        undo.callback(self._end)
        self._leave = FallbackChatGenerator  # asks others, which are audited
        undo.callback(wrap(ComponentMeta, "__call__", self._make))
        for cls in list(component.registry.values()):
            for found in _with_subclasses(cls):
                self.find(found)

    def find(self, cls: type, *, asked: bool = False) -> None:
        """Wrap the methods of a class, if it is one of chat generators and not wrapped yet.

        Args:
            cls: The class.
            asked: Whether an agent asks it, so that it is one in any case.
        """
        if asked:
            self._known.add(cls)
        if not self._is_model(cls):
            return
        with one_at_a_time():
            if self._ended:
                return
            for owner in cls.__mro__[:-1]:
                for name, make in (("run", self._wrap), ("run_async", self._wrap_async)):
                    method = vars(owner).get(name)
                    ours = self._ours.setdefault((owner, name), [])
                    if can_wrap(method) and not is_around(method, ours):
                        self._way_back.callback(wrap(owner, name, make(Method(owner, name, len(ours)))))
                        ours.append(vars(owner)[name])

    def _make(self, wrapped: Callable[..., Any], cls: type, args: Args, kwargs: Kwargs) -> Any:
        self.find(cls)
        return wrapped(*args, **kwargs)

    def _is_model(self, cls: type) -> bool:
        if issubclass(cls, self._leave):
            return False
        if cls in self._known:
            return True
        run: Any = getattr(cls, "run", None)
        if "replies" not in getattr(run, "_output_types_cache", ()) or "messages" not in _parameters(run):
            return False
        self._known.add(cls)
        return True

    def _end(self) -> None:
        with one_at_a_time():
            self._ended = True

    def _wrap(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], model: Any, args: Args, kwargs: Kwargs) -> Any:
            if not self._is_model(type(model)):  # a parent class can be one of something else too
                return wrapped(*args, **kwargs)
            with entered(model, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                try:
                    return self._auditor.run(_act(model), lambda: wrapped(*args, **kwargs), _note_answer)
                except AuditError as error:
                    refuse(error)
                    raise

        return wrapper

    def _wrap_async(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Awaitable[Any]], model: Any, args: Args, kwargs: Kwargs) -> Any:
            if not self._is_model(type(model)):
                return await wrapped(*args, **kwargs)
            with entered(model, method) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                try:
                    return await self._auditor.arun(_act(model), lambda: wrapped(*args, **kwargs), _note_answer)
                except AuditError as error:
                    refuse(error)
                    raise

        return wrapper


def _with_subclasses(cls: type) -> list[type]:
    found = [cls]
    subclasses: list[type] = cls.__subclasses__()
    for subclass in subclasses:
        found += _with_subclasses(subclass)
    return found


def _parameters(method: Any) -> Mapping[str, object]:
    try:
        return inspect.signature(method).parameters
    except (TypeError, ValueError):  # of a method that has none
        return {}


def _act(model: Any) -> Act:
    name = read(model, "model") or read(model, "azure_deployment")
    return model_call(name, provider=_provider(type(model)), agent=current_agent())


def _provider(kind: type) -> str:
    for cls in kind.__mro__:
        package = cls.__module__.removeprefix(_INTEGRATIONS).split(".")[0]
        name = package if cls.__module__.startswith(_INTEGRATIONS) else cls.__name__
        if name in _PROVIDERS:
            return _PROVIDERS[name]
        if name is package:
            return name
    return kind.__name__


def _note_answer(action: AuditAction, answer: Any) -> None:
    replies = answer.get("replies") if isinstance(answer, dict) else None
    meta = getattr(replies[0], "meta", None) if isinstance(replies, list) and replies else None
    if not isinstance(meta, dict):
        return
    usage = meta.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    reason, model = meta.get("finish_reason"), meta.get("model")
    attributes = {
        **token_counts(
            counts.get("prompt_tokens", counts.get("input_tokens")),
            counts.get("completion_tokens", counts.get("output_tokens")),
        ),
        semconv.GEN_AI_RESPONSE_FINISH_REASONS: [reason[:256]] if isinstance(reason, str) and reason else None,
        semconv.GEN_AI_RESPONSE_MODEL: model[:256] if isinstance(model, str) and model else None,
    }
    for name, value in attributes.items():
        if value is not None:
            action.set_attribute(name, value)
