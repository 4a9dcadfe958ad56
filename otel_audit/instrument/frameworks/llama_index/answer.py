"""What a model's answer tells of the call: token counts, finish reason, model and id.

llama-index hands on what the provider's own client returned, as ``raw``, in the client's own form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import token_counts

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_USAGES: Final = ("usage", "usage_metadata")
_INPUT_TOKENS: Final = ("prompt_tokens", "input_tokens", "prompt_token_count", "inputTokens", "prompt_eval_count")
_OUTPUT_TOKENS: Final = (
    "completion_tokens",
    "output_tokens",
    "candidates_token_count",
    "outputTokens",
    "eval_count",
)
_FINISH_REASONS: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason")


def note_answer(action: AuditAction, answer: Any) -> None:
    """Set what an answer, or a part of one, tells of the call: never what it says."""
    raw = getattr(answer, "raw", None)
    choice = _first(_of(raw, "choices")) or _first(_of(raw, "candidates"))
    usages = [_of(raw, name) for name in _USAGES] + [raw, getattr(answer, "additional_kwargs", None)]
    reason = _text(
        next((_of(part, name) for part in (choice, raw) for name in _FINISH_REASONS if _of(part, name)), None)
    )
    attributes = {
        **token_counts(_count(usages, _INPUT_TOKENS), _count(usages, _OUTPUT_TOKENS)),
        semconv.GEN_AI_RESPONSE_FINISH_REASONS: None if reason is None else [reason],
        semconv.GEN_AI_RESPONSE_MODEL: _text(_of(raw, "model")),
        semconv.GEN_AI_RESPONSE_ID: _text(_of(raw, "id")),
    }
    for name, value in attributes.items():
        if value is not None:
            action.set_attribute(name, value)


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, (list, tuple)) and values else None


def _count(usages: list[Any], names: tuple[str, ...]) -> object:
    return next((count for usage in usages for name in names if type(count := _of(usage, name)) is int), None)


def _text(value: Any) -> str | None:
    """Return a word of the provider's: a text, or the name of a member of an enumeration."""
    value = getattr(value, "name", value)
    return value[:256] if isinstance(value, str) and value else None
