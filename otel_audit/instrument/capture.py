"""What of a call goes into the log, and in which form.

Nothing, unless it is named. What is named is copied into plain data, so that a secret inside
an object is found by its name rather than printed by the object's ``repr``; then redacted;
then shown to the provider's own ``redact``. Bounded in size and depth.
"""

from __future__ import annotations

import enum
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.once import warn_once
from otel_audit.instrument.secrets import REDACTED, looks_secret, redact_text
from otel_audit.interrupt import is_interrupt
from otel_audit.semconv import AUDIT_ARGUMENTS, AUDIT_RESULT
from otel_audit.value import pointer_to
from otel_audit.value_text import MAX_TEXT_NODES, nodes_shown, text_of, unprintable

Redact = Callable[[str, object], object]

MAX_DEPTH: Final = 16
MAX_VALUES: Final = 10_000
MAX_TEXT_CHARACTERS: Final = 64 * 1024
MAX_CHARACTERS: Final = 1024 * 1024
"""Of all texts of one call together: no line holds more."""
TRUNCATED: Final = "[TRUNCATED]"
CIRCULAR: Final = "[CIRCULAR]"

_OVERLAP_CHARACTERS: Final = 4096
"""Read beyond the limit, so that a credential that is cut in two is still seen whole."""

_logger = logging.getLogger(__name__)


def names_to_capture(capture: Any) -> tuple[str, ...]:
    """Return the names that a ``capture`` setting means; ``("*",)`` for all.

    Raises:
        AuditConfigError: It is neither a name nor names.
    """
    names = (capture,) if isinstance(capture, str) else tuple(capture)
    for name in names:
        if not isinstance(name, str) or not name:
            raise AuditConfigError(f"capture: expected names of arguments or '*', got {name!r}")
    return names


def capture_arguments(
    arguments: Mapping[str, object],
    capture: Collection[str],
    *,
    redact: Redact | None = None,
    altered: list[str] | None = None,
) -> dict[str, object] | None:
    """Return what ``audit.arguments`` records of a call.

    Args:
        arguments: The bound arguments.
        capture: Names to record, secret-looking ones too where they are named; ``*`` for all
            but those that look secret.
        redact: The provider's last word on each value.
        altered: Receives the JSON Pointer of each value that is not recorded as it was given.

    Returns:
        Plain data; None where nothing is to be recorded.
    """
    everything = "*" in capture
    chosen = {
        name: value for name, value in arguments.items() if name in capture or (everything and not looks_secret(name))
    }
    if not chosen:
        return None
    walk = _Walk(redact, [] if altered is None else altered)
    pointer = pointer_to("/attributes", AUDIT_ARGUMENTS)
    return {name: walk.copy(name, value, pointer_to(pointer, name)) for name, value in chosen.items()}


def capture_result(result: object, *, redact: Redact | None = None, altered: list[str] | None = None) -> object:
    """Return what ``audit.result`` records of a result; see `capture_arguments`."""
    walk = _Walk(redact, [] if altered is None else altered)
    return walk.copy("result", result, pointer_to("/attributes", AUDIT_RESULT))


class _Walk:
    """One walk through the values of one call."""

    __slots__ = ("altered", "characters_left", "inside", "left", "redact", "text_left")

    def __init__(self, redact: Redact | None, altered: list[str]) -> None:
        self.redact = redact
        self.altered = altered
        self.inside: list[int] = []
        self.left = MAX_VALUES
        self.text_left = MAX_TEXT_NODES
        self.characters_left = MAX_CHARACTERS

    def copy(self, name: str, value: object, pointer: str) -> object:
        """Return a value as plain data without secrets, the provider's ``redact`` applied."""
        self.left -= 1
        if self.left < 0:
            return self._instead(TRUNCATED, pointer)
        try:
            plain = self._plain(name, value, pointer)
        except BaseException as error:  # the value's own code may raise anything
            if is_interrupt(error):
                raise
            plain = self._instead(unprintable(value), pointer)
        if self.redact is None:
            return plain
        try:
            return self.redact(name, plain)
        except BaseException as error:
            if is_interrupt(error):
                raise
            warn_once(_logger, "redact %s raised %s: the value is recorded as " + REDACTED, self.redact, error)
            return REDACTED

    def _plain(self, name: str, value: object, pointer: str) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return self._text(value, pointer)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(bytes(value[: self._room(len(value))]), len(value), pointer)
        if id(value) in self.inside:
            return self._instead(CIRCULAR, pointer)
        if len(self.inside) >= MAX_DEPTH:
            return self._instead(TRUNCATED, pointer)
        self.inside.append(id(value))
        try:
            return self._compound(name, value, pointer)
        finally:
            self.inside.pop()

    def _compound(self, name: str, value: object, pointer: str) -> object:
        if isinstance(value, Mapping):
            return self._map(value.items(), pointer)
        members = _members(value)
        if members is not None:
            self.altered.append(pointer)
            return self._map(members, pointer)
        if isinstance(value, (list, tuple)):
            return self._list(name, value, pointer)
        if isinstance(value, AbstractSet):
            self.altered.append(pointer)
            return self._list(name, sorted(value, key=self._describe), pointer)
        if isinstance(value, enum.Enum):
            self.altered.append(pointer)
            return self._plain(name, value.value, pointer)
        kind = type(value)
        if kind.__module__ in _TEXT_MODULES:
            return value
        if looks_secret(kind.__name__):
            return REDACTED
        return self._instead(self._text(self._describe(value), pointer), pointer)

    def _map(self, items: Iterable[tuple[Any, object]], pointer: str) -> dict[Any, object]:
        copied: dict[Any, object] = {}
        for key, value in items:
            if self.left <= 0:
                copied[TRUNCATED] = self._instead(TRUNCATED, pointer)
                break
            if not isinstance(key, str):
                name = self._describe(key)
                copied[key] = self.copy(name, value, pointer_to(pointer, name))
                continue
            name = self._text(key, pointer)
            copied[name] = REDACTED if looks_secret(key) else self.copy(name, value, pointer_to(pointer, name))
        return copied

    def _list(self, name: str, values: Collection[object], pointer: str) -> list[object]:
        copied = []
        for index, value in enumerate(itertools.islice(values, max(self.left, 0))):
            copied.append(self.copy(name, value, pointer_to(pointer, index)))
        if len(copied) < len(values):
            copied.append(self._instead(TRUNCATED, pointer))
        return copied

    def _describe(self, value: object) -> str:
        """Return the ``repr`` of a value; what nests and shares its parts is bounded for the whole call."""
        if self.characters_left <= 0:
            return TRUNCATED
        self.text_left -= nodes_shown(value, self.text_left)
        if self.text_left < 0:
            self.text_left = 0
            return unprintable(value)
        return text_of(value)

    def _room(self, size: int) -> int:
        """Return how much is recorded of a text or of bytes, and count it."""
        room = max(0, min(size, MAX_TEXT_CHARACTERS, self.characters_left))
        self.characters_left -= room
        return room

    def _text(self, text: str, pointer: str) -> str:
        text = str.__str__(text)
        room = self._room(len(text))
        if len(text) == room:
            return redact_text(text)
        self.altered.append(pointer)
        return redact_text(text[: room + _OVERLAP_CHARACTERS])[:room] + TRUNCATED if room else TRUNCATED

    def _bytes(self, data: bytes, size: int, pointer: str) -> object:
        if size > len(data):
            self.altered.append(pointer)
        text = data.decode("latin-1")
        return data if redact_text(text) == text else REDACTED

    def _instead(self, text: str, pointer: str) -> str:
        self.altered.append(pointer)
        return text


_TEXT_MODULES: Final = frozenset({"datetime", "decimal", "uuid", "pathlib", "pathlib._local", "fractions", "ipaddress"})
"""Types that the format stores as their own text, which can hold no secret."""


def _members(value: object) -> Iterable[tuple[str, object]] | None:
    """Return the named members of a dataclass, attrs, pydantic or named tuple object."""
    kind: Any = type(value)
    names: Iterable[str] | None = None
    for attribute in ("__dataclass_fields__", "model_fields", "__struct_fields__", "_fields"):
        names = getattr(kind, attribute, None)
        if isinstance(names, (dict, tuple)):
            break
    else:
        attrs = getattr(kind, "__attrs_attrs__", None)
        names = [attribute.name for attribute in attrs] if isinstance(attrs, tuple) else None
    if names is None:
        return None
    return [(name, getattr(value, name)) for name in names if isinstance(name, str) and hasattr(value, name)]
