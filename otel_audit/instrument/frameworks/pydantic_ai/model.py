"""Model calls: what is asked of chat, embedding and image models, within an agent's run or without.

The framework's own classes that only pass on to other models (`WrapperModel`, `FallbackModel`)
are left out: those others are audited, each try for itself. A class of the program's own that
asks others has entries beside theirs, as it may ask something else too. Nothing of what is asked
or answered is recorded, whatever the settings say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import Act, model_call, token_counts
from otel_audit.instrument.frameworks.auditor import close
from otel_audit.instrument.frameworks.methods import Method
from otel_audit.instrument.frameworks.pydantic_ai.call import Call
from otel_audit.instrument.frameworks.pydantic_ai.classes import wrap_classes
from otel_audit.instrument.frameworks.pydantic_ai.context import agent_name, part
from otel_audit.instrument.patch import Wrapper
from otel_audit.instrument.run import CLOSED_EARLY
from otel_audit.pipeline.action import error_type_of

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all models.

    Raises:
        AuditConfigError: This version has its models elsewhere.
    """
    models = part("pydantic_ai.models")
    passing_on = (
        part("pydantic_ai.models.wrapper", "WrapperModel"),
        part("pydantic_ai.models.fallback", "FallbackModel"),
    )
    chat = _Asking(auditor, "chat", "messages", passing_on)
    uses = [(part("pydantic_ai", "Agent"), "iter"), (models, "infer_model")]
    wrap_classes(
        part("pydantic_ai.models", "Model"),
        {"request": chat.ask_wrapper, "request_stream": chat.stream_wrapper},
        uses,
        undo,
    )
    embeddings = _Asking(
        auditor, "embeddings", "inputs", (part("pydantic_ai.embeddings.wrapper", "WrapperEmbeddingModel"),)
    )
    uses = [(part("pydantic_ai.embeddings", "Embedder"), "embed")]
    wrap_classes(part("pydantic_ai.embeddings", "EmbeddingModel"), {"embed": embeddings.ask_wrapper}, uses, undo)
    if find_spec("pydantic_ai.images") is not None:  # newer than the oldest version
        images = _Asking(
            auditor, "generate_content", "prompt", (part("pydantic_ai.images.wrapper", "WrapperImageGenerationModel"),)
        )
        uses = [(part("pydantic_ai.images", "ImageGenerator"), "generate")]
        wrap_classes(part("pydantic_ai.images", "ImageGenerationModel"), {"generate": images.ask_wrapper}, uses, undo)


@dataclass(frozen=True, slots=True)
class _Asking:
    """The wrappers around one kind of model.

    Attributes:
        auditor: Writes the entries.
        operation: ``gen_ai.operation.name``.
        parameter: The first one, what is asked.
        passing_on: The framework's classes that only pass on to other models, as do its own subclasses of them.
    """

    auditor: Auditor
    operation: str
    parameter: str
    passing_on: tuple[type, ...]

    def ask_wrapper(self, method: Method) -> Wrapper:
        """Return the wrapper of a method that returns an answer."""
        return _pass if self._is_passing_on(method) else partial(self._ask, method)

    def stream_wrapper(self, method: Method) -> Wrapper:
        """Return the wrapper of a method that returns an answer's stream."""
        return _pass if self._is_passing_on(method) else partial(self._stream, method)

    def _is_passing_on(self, method: Method) -> bool:
        return issubclass(method.cls, self.passing_on) and method.cls.__module__.startswith("pydantic_ai.")

    async def _ask(
        self,
        method: Method,
        wrapped: Callable[..., Awaitable[Any]],
        model: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Ask between two entries."""
        part_of = Call(model, self._question(args, kwargs), method)

        async def call() -> Any:
            with part_of.inside():
                return await wrapped(*args, **kwargs)

        if not part_of.begins:
            return await call()
        agent = _agent(kwargs)
        with self.auditor.acting(agent):
            return await self.auditor.arun(self._act(model, agent), call, _set_answer)

    def _stream(
        self, method: Method, wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Ask, and write the outcome when the answer was streamed."""
        opened = wrapped(*args, **kwargs)
        agent = _agent({"run_context": args[3]} if len(args) > 3 else kwargs)
        return self._streamed(opened, model, self._question(args, kwargs), method, agent)

    @asynccontextmanager
    async def _streamed(
        self,
        opened: AbstractAsyncContextManager[Any],
        model: Any,
        question: object,
        method: Method,
        agent: str | None,
    ) -> AsyncIterator[Any]:
        part_of = Call(model, question, method)
        stack = AsyncExitStack()
        if not part_of.begins:
            with part_of.inside():
                response = await stack.enter_async_context(opened)
            async with stack:
                yield response
            return
        act = self._act(model, agent)
        # Not for the whole block: that is its consumer's, who is not the agent.
        with self.auditor.acting(agent), self.auditor.span(act):
            action = await self.auditor.astart(act)
            try:
                with part_of.inside():
                    response = await stack.enter_async_context(opened)
            except BaseException as raised:
                action.fail(raised)
                raise
        try:
            async with stack:
                yield response
        except GeneratorExit:
            self.auditor.judge(action, response, _set_streamed)
            close(action)
            raise
        except BaseException as raised:
            self.auditor.judge(action, response, _set_streamed)
            action.set_outcome("failure", error_type=error_type_of(raised))
            action.end_quietly()
            raise
        self.auditor.judge(action, response, _set_streamed)
        await action.aend_quietly()

    def _act(self, model: Any, agent: str | None) -> Act:
        return model_call(model.model_name, provider=model.system, agent=agent, operation=self.operation)

    def _question(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
        return args[0] if args else kwargs.get(self.parameter)


def _pass(wrapped: Callable[..., Any], _model: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wrapped(*args, **kwargs)


def _agent(arguments: Mapping[str, Any]) -> str | None:
    """Return the name of the agent that asks: that of the run context, given or current."""
    run_context = arguments.get("run_context")
    if run_context is None:
        run_context = part("pydantic_ai._run_context", "get_current_run_context")()
    return agent_name(run_context)


def _set_answer(action: AuditAction, answer: Any) -> None:
    """Tell of an answer which model gave it, why it ended and what it cost."""
    finish_reason = getattr(answer, "finish_reason", None)
    attributes = {
        semconv.GEN_AI_RESPONSE_MODEL: answer.model_name,
        semconv.GEN_AI_RESPONSE_ID: answer.provider_response_id,
        semconv.GEN_AI_RESPONSE_FINISH_REASONS: None if finish_reason is None else [finish_reason],
        **token_counts(answer.usage.input_tokens, answer.usage.output_tokens),
    }
    for name, value in attributes.items():
        if value is not None:
            action.set_attribute(name, value)


def _set_streamed(action: AuditAction, stream: Any) -> None:
    answer = stream.get()
    _set_answer(action, answer)
    # A suspended answer is continued by another call.
    if answer.state not in ("complete", "suspended"):
        action.set_outcome("unknown", reason=CLOSED_EARLY)
