"""LangChain: what is recorded of a model's answer, which may come in pieces. Nothing of its content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import token_counts

_FINISH_REASONS: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_MODEL_NAMES: Final = ("model_name", "model", "model_id")
"""Each provider has names of its own; LangChain has one form for the tokens only."""


class Answer:
    """An answer, or as much of it as has come."""

    __slots__ = ("_finish_reasons", "_id", "_input_tokens", "_model", "_output_tokens")

    def __init__(self) -> None:
        self._input_tokens: Any = None
        self._output_tokens: Any = None
        self._finish_reasons: list[str] = []
        self._model: str | None = None
        self._id: str | None = None

    def add(self, message: Any, info: object = None) -> None:
        """Take a message, or a piece of one, into account.

        Args:
            message: Anything; what has neither usage nor metadata tells nothing.
            info: What a generation says beside its message.
        """
        usage = getattr(message, "usage_metadata", None)
        if isinstance(usage, Mapping):
            self._input_tokens = (self._input_tokens or 0) + usage.get("input_tokens", 0)
            self._output_tokens = (self._output_tokens or 0) + usage.get("output_tokens", 0)
        metadata = getattr(message, "response_metadata", None)
        told = [each for each in (metadata, info) if isinstance(each, Mapping)]
        reasons = [reason for each in told if (reason := _first_text(each, _FINISH_REASONS)) is not None]
        self._finish_reasons += reasons[:1]
        if isinstance(metadata, Mapping):
            self._model = _first_text(metadata, _MODEL_NAMES) or self._model
            self._id = _first_text(metadata, ("id",)) or self._id

    def add_result(self, result: Any) -> None:
        """Take an `LLMResult` into account, those of several prompts added up, or what a method has of its own."""
        if not hasattr(result, "generations"):
            self.add(result)
            return
        for generations in result.generations:
            for generation in generations:
                self.add(getattr(generation, "message", None), getattr(generation, "generation_info", None))
        if self._input_tokens is None:
            usage = (result.llm_output or {}).get("token_usage") or {}
            self._input_tokens, self._output_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")

    def attributes(self) -> dict[str, object]:
        """Return what the outcome says of it."""
        attributes = {
            **token_counts(self._input_tokens, self._output_tokens),
            semconv.GEN_AI_RESPONSE_FINISH_REASONS: self._finish_reasons or None,
            semconv.GEN_AI_RESPONSE_MODEL: self._model,
            semconv.GEN_AI_RESPONSE_ID: self._id,
        }
        return {key: value for key, value in attributes.items() if value is not None}


def _first_text(values: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if isinstance(value := values.get(name), str) and value), None)
