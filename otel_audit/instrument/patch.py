"""One wrapper around one attribute, and the way back."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import wrapt

from otel_audit.errors import AuditConfigError

Undo = Callable[[], None]
Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]

_ABSENT: Any = object()


def wrap(owner: Any, name: str, wrapper: Wrapper) -> Undo:
    """Put ``wrapper`` around a function of a module or a class.

    What holds a reference from before, such as a name imported into another module, goes on
    calling the function unwrapped: wrap where the name is looked up.

    Args:
        owner: The module or class that has the attribute.
        name: The attribute.
        wrapper: Called as ``wrapper(wrapped, instance, args, kwargs)`` (wrapt's form).

    Returns:
        A callable that puts the very object from before back. Where something else has wrapped
        the attribute since, that stays, and ours passes every call straight through.

    Raises:
        AuditConfigError: The owner has no such attribute.
    """
    own = vars(owner).get(name, _ABSENT)
    original = inspect.getattr_static(owner, name, _ABSENT) if own is _ABSENT else own
    if original is _ABSENT:
        raise AuditConfigError(
            f"nothing to audit: expected {owner.__name__} to have {name!r}, got a version without it"
        )
    enabled = True
    wrapped = wrapt.FunctionWrapper(original, wrapper, enabled=lambda: enabled)
    setattr(owner, name, wrapped)

    def undo() -> None:
        nonlocal enabled
        enabled = False
        if vars(owner).get(name) is not wrapped:
            return
        if own is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, own)

    return undo
