"""Methods of abstract classes, wrapped in every class that gives one to a subclass.

A call of a tool or a model can go through several methods of one object: through what a
subclass overrides, through ``__call__`` to ``call``, from an async method to a sync one. They
are one act, and the outermost is the one that is audited.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, can_wrap, wrap


class Method(NamedTuple):
    """A method of a class.

    Attributes:
        cls: The class in whose body it stands.
        name: Its name.
        layer: How often it had been wrapped before: what stands there can be replaced, or
            wrapped by others, and is then wrapped anew.
    """

    cls: type
    name: str
    layer: int


class Inside:
    """An act of an object.

    Attributes:
        instance: The object.
        methods: Those of its methods that the act went through so far, also where they have returned.
        is_over: Whether it has ended: a task or thread that was begun inside still has it in its context.
    """

    __slots__ = ("instance", "is_over", "methods")

    def __init__(self, instance: object, *methods: Method) -> None:
        self.instance = instance
        self.methods = set(methods)
        self.is_over = False


_inside: ContextVar[Inside | None] = ContextVar("otel-audit-inside", default=None)
_MADE: Final = "__init_subclass__"
_lock = threading.RLock()


def wrap_methods(
    bases: tuple[type, ...],
    wrappers: Mapping[str, Callable[[Method], Wrapper]],
    undo: ExitStack,
    *,
    maker: tuple[type, str],
    leave: type | None = None,
) -> Callable[[], None]:
    """Wrap methods of classes and of their subclasses, those that are made later too.

    What a subclass has from a class that is none (a mixin) is wrapped there, for objects of ``bases``.

    Args:
        bases: The classes, each of which has the methods, or a subclass that has them.
        wrappers: By name of a method, what makes its wrapper.
        undo: Takes the way back.
        maker: Class and name of the method that is called for each new class, with it as the instance.
        leave: A class whose objects are left out, whichever class their methods come from.

    Returns:
        A callable that wraps what was put on classes since, and classes that were made
        unnoticed. Thread-safe.

    Raises:
        AuditConfigError: There is no such maker, or no class of the base's package with one of the methods.
    """
    for base in bases:
        # A program's own class may have what the framework's no longer do.
        classes = [cls for cls in _with_subclasses((base,)) if _package(cls) == _package(base)]
        for name in wrappers:
            if not any(hasattr(cls, name) for cls in classes):
                raise AuditConfigError(
                    f"nothing to audit: expected {base.__name__} to have {name!r}, got a version without it"
                )
    # Not `undo` itself: whoever made it may have handed its callbacks on by the time a class is made.
    way_back = undo.enter_context(ExitStack())
    ours: dict[tuple[type, str], dict[int, object]] = {}
    ended = False

    def put(cls: type, name: str, wrapper: Wrapper) -> None:
        try:
            way_back.callback(wrap(cls, name, wrapper))
        except TypeError as error:
            raise AuditConfigError(
                f"expected a class whose {name!r} can be wrapped, got {cls.__qualname__!r}"
            ) from error
        wrapped = vars(cls)[name]
        ours.setdefault((cls, name), {})[id(wrapped)] = wrapped

    def wrap_own(cls: type) -> None:
        for name, make in wrappers.items():
            method = vars(cls).get(name)
            if method is None:
                continue
            known = ours.get((cls, name), {})
            if id(method) in known:
                continue
            if can_wrap(method):
                only = (object,) if issubclass(cls, bases) else bases
                put(cls, name, _for(only, leave, make(Method(cls, name, len(known)))))
        # Its own, which may not call the one of its base.
        if _MADE in vars(cls) and issubclass(cls, bases) and (cls, _MADE) not in ours:
            put(cls, _MADE, make_class)

    def wrap_all(classes: list[type]) -> None:
        with one_at_a_time():
            if not ended:
                for owner in dict.fromkeys(owner for cls in classes for owner in cls.__mro__):
                    wrap_own(owner)

    def make_class(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        # wrapt does not tell what `object`'s own is bound to.
        made = instance if isinstance(instance, type) else wrapped.__self__
        if issubclass(made, bases):
            wrap_all([made])
        return result

    def end() -> None:
        nonlocal ended
        with one_at_a_time():
            ended = True

    put(*maker, make_class)
    wrap_all(_with_subclasses(bases))
    way_back.callback(end)
    return lambda: wrap_all(_with_subclasses(bases))


def one_at_a_time() -> AbstractContextManager[object]:
    """Return what is held while classes are looked at and wrapped; a forked child has one that nobody holds."""
    return _lock


def is_around(method: Any, ours: Collection[object]) -> bool:
    """Return whether one of our wrappers is called by this method, or is it, as far as ``__wrapped__`` tells."""
    while method is not None:
        if any(method is wrapper for wrapper in ours):
            return True
        method = getattr(method, "__wrapped__", None)
    return False


def _for(only: tuple[type, ...], leave: type | None, wrapper: Wrapper) -> Wrapper:
    def wrapper_of_some(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        # A class or static method that is called by its class is of no object.
        if instance is None or isinstance(instance, type) or not isinstance(instance, only):
            return wrapped(*args, **kwargs)
        if leave is not None and isinstance(instance, leave):
            return wrapped(*args, **kwargs)
        return wrapper(wrapped, instance, args, kwargs)

    return wrapper_of_some


@contextmanager
def entered(instance: object, method: Method, *, last: bool = False) -> Iterator[bool]:
    """Enter a method of an object; yield whether an act begins here, rather than goes on.

    A method that is entered once more begins an act: it is called anew, also where it has returned before.
    So does any method once the act is over that it would go on.

    Args:
        instance: The object.
        method: What of it is entered.
        last: Whether it calls no other method of the object for the same act: if one is
            called inside of it, that is by the program.
    """
    inside = _inside.get()
    begins = inside is None or inside.is_over or inside.instance is not instance or method in inside.methods
    if inside is None or begins:
        inside = Inside(instance)
    inside.methods.add(method)
    try:
        with having(_inside, None if last else inside):
            yield begins
    finally:
        if begins:
            inside.is_over = True


def stepping(inside: Inside) -> AbstractContextManager[None]:
    """Take one step of a generator as a part of the act that it was made in; whoever sees its end says `is_over`."""
    return having(_inside, inside)


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()  # another thread may have held the old one


os.register_at_fork(after_in_child=_renew_lock)


def _package(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _with_subclasses(bases: tuple[type, ...]) -> list[type]:
    found = dict.fromkeys(bases)
    waiting = list(bases)
    while waiting:
        subclasses: list[type] = waiting.pop().__subclasses__()
        waiting += [cls for cls in subclasses if cls not in found]
        found.update(dict.fromkeys(subclasses))
    return list(found)
