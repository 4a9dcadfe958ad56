"""One wrapper around one attribute, and the way back."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from operator import itemgetter
from types import ModuleType
from typing import Any, cast

from otel_audit.errors import AuditConfigError
from otel_audit.pipeline import wrapper as copyable

Undo = Callable[[], None]
Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]

_ABSENT: Any = object()


def can_wrap(member: object) -> bool:
    """Return whether what stands in a class is, or gives, a callable that `wrap` can be put around.

    That is a function, a method of any kind, a ``functools.partialmethod`` or
    ``singledispatchmethod``, or a property, unless it is abstract. A ``cached_property`` is not:
    the object has what it gave once and does not ask the class again. Nor is a descriptor that is
    also set, other than a property.
    """
    kind: Any = type(member)
    if getattr(member, "__isabstractmethod__", False):
        return False
    if callable(member) or isinstance(member, property):
        return True
    if isinstance(member, functools.cached_property):
        return False
    return hasattr(kind, "__get__") and not (hasattr(kind, "__set__") or hasattr(kind, "__delete__"))


def wrap(owner: Any, name: str, wrapper: Wrapper) -> Undo:
    """Put ``wrapper`` around a function of a module or a class.

    What holds a reference from before, such as a name imported into another module, goes on
    calling the function unwrapped: wrap where the name is looked up. A bound method is copied,
    deep-copied and pickled as without the wrapper: it is again the class's, of a copy of its
    object, and a plain one where nothing is wrapped. Of a property, what it gives is wrapped.

    Args:
        owner: The module or class that has the attribute.
        name: The attribute.
        wrapper: Called as ``wrapper(wrapped, instance, args, kwargs)`` (wrapt's form), except that
            a class or static method of an object has the object as ``instance`` too.

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
    kind = _OfObject if isinstance(original, (classmethod, staticmethod)) else _Patch
    patch = kind(original, wrapper, lambda: enabled, owner, name)
    wrapped: Any = original.getter(_Getter(original, patch)) if isinstance(original, property) else patch
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


class _Getter:
    """What reads a property, around what read it before."""

    def __init__(self, original: property, patch: _Patch) -> None:
        functools.update_wrapper(self, cast("Any", original.fget))
        self._plain = original.fget
        self._patch = patch

    def __call__(self, instance: Any) -> Any:
        given = self._patch.__get__(instance, type(instance))
        return given if callable(given.__wrapped__) else given.__wrapped__

    def __reduce__(self) -> Any:
        return itemgetter(0), ((self._plain,),)


class _Bound(copyable.BoundWrapper):
    """A patched method of an object or a class."""

    @property
    def __func__(self) -> Any:
        raw = getattr(self.__wrapped__, "__func__", None)
        if raw is None:
            return self  # that it has none cannot be said, as wrapt then asks what is wrapped
        return self._self_parent._self_function_of(raw)  # noqa: SLF001 - wrapt passes other names on

    def __reduce__(self) -> Any:
        patch = self._self_parent
        bound_to = self._self_instance
        if isinstance(patch.__wrapped__, (classmethod, staticmethod)):
            bound_to = getattr(self.__wrapped__, "__self__", None)
        return getattr, (patch._self_of if bound_to is None else bound_to, patch._self_as)  # noqa: SLF001

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = copy.deepcopy(self.__wrapped__, memo)
        if copied is self.__wrapped__:
            return self
        bind: Any = type(self)
        return bind(
            copied,
            copy.deepcopy(self._self_instance, memo),
            self._self_wrapper,
            self._self_enabled,
            self._self_binding,
            self._self_parent,
            self._self_owner,
        )


class _BoundOfObject(_Bound):
    """A class or static method: who looked it up on an object is known, which wrapt does not say."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        instance = self._self_instance
        wrapper: Any = self._self_wrapper
        enabled: Any = self._self_enabled
        if instance is None or not enabled():
            return super().__call__(*args, **kwargs)
        return wrapper(self.__wrapped__, instance, args, kwargs)


class _Patch(copyable.Wrapper):
    """What `wrap` puts in place of an attribute.

    Args:
        of: The module or class.
        name: The name of the attribute.
    """

    __bound_function_wrapper__ = _Bound

    def __init__(self, wrapped: Any, wrapper: Wrapper, enabled: Callable[[], bool], of: Any, name: str) -> None:
        def again(other: Any) -> Any:
            return type(self)(other, wrapper, enabled, of, name)

        super().__init__(wrapped, wrapper, again, enabled)
        self._self_of = of
        self._self_as = name

    def _self_function_of(self, raw: Any) -> Any:
        if isinstance(self.__wrapped__, (classmethod, property)):
            return raw  # it takes a class first, or is another one each time
        if self._self_unbound is None:
            self._self_unbound = self.__get__(None, self._self_of)
        return self._self_unbound

    def __reduce__(self) -> Any:
        if isinstance(self._self_of, ModuleType):
            return copyable.load, (self._self_of.__name__, self._self_as)
        # In a class that is pickled with all that it has: the method itself, which is wrapped again, or not,
        # where the class is made anew.
        return itemgetter(0), ((self.__wrapped__,),)


class _OfObject(_Patch):
    """A class or static method."""

    __bound_function_wrapper__ = _BoundOfObject
