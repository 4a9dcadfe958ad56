"""Any Python value to a JSON value, by exact type (docs/format.md, "Values").

Total: no value can make this fail, and none is dropped. What is not stored as it was given is
listed in ``altered`` by its JSON Pointer. This is the only place that cleans; what comes out
is safe for JSON, for the OpenTelemetry SDK and for protobuf alike.
"""

from __future__ import annotations

from .value_sharing import SharingWalk
from .value_text import clean_text, describe, name_of, unprintable
from .value_walk import INT_MAX, INT_MIN, MAX_DEPTH, MAX_NODES, Endless, Walk, escape_name, pairs_of, pointer_to

__all__ = [
    "INT_MAX",
    "INT_MIN",
    "MAX_DEPTH",
    "MAX_NODES",
    "clean",
    "clean_body",
    "clean_text",
    "describe",
    "escape_name",
    "name_of",
    "pairs_of",
    "pointer_to",
]


def clean(value: object, pointer: str, altered: list[str], depth: int) -> object:
    """Return ``value`` as JSON can hold it, without a change where there need be none.

    Args:
        value: Anything.
        pointer: Its place in the line as a JSON Pointer, such as ``/attributes/x``.
        altered: Receives the pointer of each value that is stored otherwise than it was given.
        depth: How deep in the line it stands: 3 for a container in ``attributes``, 2 for ``body``.

    Returns:
        None, bool, int, float, str, list or dict, nested; no cycle, no lone surrogate. What is
        shared in it may be shared in what is returned: for reading only.
    """
    # Nearly every value is one of these; the walk below would only repeat this.
    kind = type(value)
    if kind is str:
        return value if value.isascii() else clean_text(value, pointer, altered)  # type: ignore[attr-defined, arg-type]
    if kind is int:
        if INT_MIN <= value <= INT_MAX:  # type: ignore[operator]
            return value
    elif kind is bool or value is None:
        return value
    mark = len(altered)
    try:
        return Walk(altered).clean(value, pointer, depth)
    except Endless:
        del altered[mark:]
    try:
        return SharingWalk(altered).clean(value, pointer, depth)
    except Endless:
        altered[mark:] = [pointer]
    return unprintable(value)


def clean_body(body: object, altered: list[str]) -> object:
    """Return a body as the line holds it: where there is one, never null."""
    cleaned = clean(body, "/body", altered, 2)
    return describe(body) if cleaned is None and body is not None else cleaned
