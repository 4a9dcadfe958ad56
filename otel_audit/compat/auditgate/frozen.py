"""A detail as it was at the call: copied, and closed to change.

Still dicts and lists: they compare, print, pickle and serialize as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NoReturn

from otel_audit.entry import unescape
from otel_audit.semconv import GATE_DETAIL
from otel_audit.value import INT_MAX, INT_MIN, clean, pointer_to

_POINTER: Final = pointer_to("/attributes", GATE_DETAIL)


def _refuse(_self: object, *_args: object, **_kwargs: object) -> NoReturn:
    raise TypeError("the detail of an audit entry cannot be changed: copy it with dict() or list() first")


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> Any:
        return FrozenDict, (dict(self),)


class FrozenList(list[Any]):
    """A list that cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> Any:
        return FrozenList, (list(self),)


NOTHING: Final = FrozenDict()


def freeze(detail: Mapping[str, Any] | None, altered: list[str]) -> tuple[FrozenDict, object]:
    """Return a copy that nothing changes any more, of the values as a log stores them. Total.

    What JSON has no form for becomes its text (docs/format.md, "Values"); bytes stay bytes.

    Args:
        altered: Receives the pointer of each value that is not as it was given.

    Returns:
        The copy, and the JSON values that a line has for it; None for none.
    """
    if detail is None:
        return NOTHING, None
    if type(detail) is dict:
        copied = FrozenDict(detail)  # in one step: another thread may be changing it
        for name, value in copied.items():
            if type(name) is not str or not name.isascii() or name[:1] == "$":
                break
            kind: Any = type(value)
            # what nearly all details hold: stored just as it is
            if not (
                (kind is int and INT_MIN <= value <= INT_MAX)
                or (kind is str and value.isascii())
                or kind is bool
                or value is None
                or (kind is float and isfinite(value))
            ):
                break
        else:
            return copied, copied or None
        detail = copied
    stored = clean(detail, _POINTER, altered, 3)
    return freeze_plain(unescape(stored)), stored or None


def freeze_plain(value: object) -> FrozenDict:
    """Return JSON values in a form that cannot be changed; what is no map is put into one."""
    closed = _close(value)
    return closed if type(closed) is FrozenDict else FrozenDict(detail=closed)


def _close(value: object) -> object:
    if type(value) is dict:
        return FrozenDict({name: _close(item) for name, item in value.items()})
    if type(value) is list:
        return FrozenList([_close(item) for item in value])
    return value
