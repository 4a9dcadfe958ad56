"""Model calls: what is asked of chat, embedding and image models, within an agent's run or without.

The method that asks is each model class's own, so it is wrapped in every class there is and in
every one that is made later. A model that only passes on to others (a `WrapperModel`, a
`FallbackModel`) is left out: those are audited, each try for itself. Nothing of what is asked
or answered is recorded, whatever the settings say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import Act, model_call, token_counts
from otel_audit.instrument.frameworks.auditor import close
from otel_audit.instrument.frameworks.pydantic_ai_context import agent_name, part
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.instrument.run import CLOSED_EARLY
from otel_audit.pipeline.action import error_type_of

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction

_asked: ContextVar[object] = ContextVar("otel_audit_pydantic_ai_asked", default=None)
"""What the model call under way was asked; a model that asks the same of another makes one call of it."""


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all models.

    Raises:
        AuditConfigError: This version has its models elsewhere.
    """
    passing_on = (
        part("pydantic_ai.models.wrapper", "WrapperModel"),
        part("pydantic_ai.models.fallback", "FallbackModel"),
    )
    chat = _Asking(auditor, "chat", "messages", passing_on)
    _wrap_all(part("pydantic_ai.models", "Model"), {"request": chat.ask, "request_stream": chat.stream}, undo)
    embeddings = _Asking(
        auditor, "embeddings", "inputs", (part("pydantic_ai.embeddings.wrapper", "WrapperEmbeddingModel"),)
    )
    _wrap_all(part("pydantic_ai.embeddings", "EmbeddingModel"), {"embed": embeddings.ask}, undo)
    if find_spec("pydantic_ai.images") is not None:  # newer than the oldest version
        images = _Asking(
            auditor, "generate_content", "prompt", (part("pydantic_ai.images.wrapper", "WrapperImageGenerationModel"),)
        )
        _wrap_all(part("pydantic_ai.images", "ImageGenerationModel"), {"generate": images.ask}, undo)


def _wrap_all(base: Any, wrappers: Mapping[str, Wrapper], undo: ExitStack) -> None:
    """Wrap methods in every subclass that defines them, and in those that are made from now on."""
    own = undo.enter_context(ExitStack())

    def wrap_in(cls: type) -> None:
        for name, wrapper in wrappers.items():
            method = vars(cls).get(name)
            if method is not None and not getattr(method, "__isabstractmethod__", False):
                own.callback(wrap(cls, name, wrapper))

    def made(wrapped: Any, _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        wrap_in(wrapped.__self__)

    undo.callback(wrap(base, "__init_subclass__", made))
    for cls in _subclasses(base):
        wrap_in(cls)


def _subclasses(base: type) -> set[type]:
    direct: set[type] = set(base.__subclasses__())
    return direct.union(*map(_subclasses, direct))


@dataclass(frozen=True, slots=True)
class _Asking:
    """The wrappers around one kind of model.

    Attributes:
        auditor: Writes the entries.
        operation: ``gen_ai.operation.name``.
        parameter: The first one, what is asked.
        passing_on: Classes whose objects only pass on to other models.
    """

    auditor: Auditor
    operation: str
    parameter: str
    passing_on: tuple[type, ...]

    async def ask(
        self, wrapped: Callable[..., Awaitable[Any]], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Ask between two entries."""
        question = self._question(args, kwargs)
        if self._is_no_call(model, question):
            return await wrapped(*args, **kwargs)
        agent = _agent(kwargs)

        async def call() -> Any:
            with _asking(question):
                return await wrapped(*args, **kwargs)

        with self.auditor.acting(agent):
            return await self.auditor.arun(self._act(model, agent), call, _set_answer)

    def stream(self, wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Ask, and write the outcome when the answer was streamed."""
        question = self._question(args, kwargs)
        opened = wrapped(*args, **kwargs)
        if self._is_no_call(model, question):
            return opened
        agent = _agent({"run_context": args[3]} if len(args) > 3 else kwargs)
        return self._streamed(opened, self._act(model, agent), agent, question)

    @asynccontextmanager
    async def _streamed(
        self, opened: AbstractAsyncContextManager[Any], act: Act, agent: str | None, question: object
    ) -> AsyncIterator[Any]:
        stack = AsyncExitStack()
        # Not for the whole block: that is its consumer's, who is not the agent.
        with self.auditor.acting(agent), self.auditor.span(act):
            action = await self.auditor.astart(act)
            try:
                with _asking(question):
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

    def _is_no_call(self, model: object, question: object) -> bool:
        return isinstance(model, self.passing_on) or (question is not None and _asked.get() is question)


@contextmanager
def _asking(question: object) -> Iterator[None]:
    before = _asked.get()
    _asked.set(question)
    try:
        yield
    finally:
        # Not by token: a coroutine can be closed in another context than it was begun in.
        _asked.set(before)


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
