"""Methods of abstract classes, wrapped in every subclass that has one of its own.

A call of a tool or a model can go through several methods of one object: through what a
subclass overrides, through ``__call__`` to ``call``, from an async method to a sync one. They
are one act, and the outermost is the one that is audited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.patch import Wrapper, wrap

T = TypeVar("T")
Method = tuple[type, str]
"""A method by the class in whose body it stands, and its name."""
Inside = tuple[object, frozenset[Method]]
"""An object, and those of its methods that an act went through so far."""

_inside: ContextVar[Inside | None] = ContextVar("otel-audit-llama-index-inside", default=None)


def wrap_methods(
    base: type,
    wrappers: Mapping[str, Callable[[Method], Wrapper]],
    undo: ExitStack,
    *,
    maker: tuple[type, str],
    leave: type | None = None,
) -> None:
    """Wrap methods of a class and of its subclasses, those that are made later too.

    Args:
        base: The class.
        wrappers: By name of a method, what makes its wrapper.
        undo: Takes the way back.
        maker: Class and name of the method that is called for each new class, with it as the instance.
        leave: A class whose objects are left out, whichever class their methods come from.

    Raises:
        AuditConfigError: There is no such maker, or no class with one of the methods.
    """
    # Not `undo` itself: whoever made it may have handed its callbacks on by the time a class is made.
    way_back = undo.enter_context(ExitStack())

    def wrap_own(cls: type) -> None:
        for name, make in wrappers.items():
            method = vars(cls).get(name)
            if callable(method) and not getattr(method, "__isabstractmethod__", False):
                way_back.callback(wrap(cls, name, _unless(leave, make((cls, name)))))

    def make_class(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        if issubclass(instance, base):
            wrap_own(instance)
        return result

    classes = _with_subclasses(base)
    for name in wrappers:
        if not any(hasattr(cls, name) for cls in classes):
            raise AuditConfigError(
                f"nothing to audit: expected {base.__name__} to have {name!r}, got a version without it"
            )
    way_back.callback(wrap(*maker, make_class))
    for cls in classes:
        wrap_own(cls)


def _unless(leave: type | None, wrapper: Wrapper) -> Wrapper:
    if leave is None:
        return wrapper

    def wrapper_of_others(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped(*args, **kwargs) if isinstance(instance, leave) else wrapper(wrapped, instance, args, kwargs)

    return wrapper_of_others


@contextmanager
def entered(instance: object, method: Method, *, last: bool = False) -> Iterator[bool]:
    """Enter a method of an object; yield whether an act begins here, rather than goes on.

    A method that is entered once more begins an act: it is called anew.

    Args:
        instance: The object.
        method: What of it is entered.
        last: Whether it calls no other method of the object for the same act: if one is
            called inside of it, that is by the program.
    """
    inside = _inside.get()
    before: frozenset[Method] = frozenset()
    if inside is not None and inside[0] is instance and method not in inside[1]:
        before = inside[1]
    with having(_inside, None if last else (instance, before | {method})):
        yield not before


def stepping(inside: Inside) -> AbstractContextManager[None]:
    """Take one step of a generator as a part of the act that it was made in."""
    return having(_inside, inside)


@contextmanager
def having(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Set a variable for a block, also of a coroutine that is closed in another context than it began in."""
    token = variable.set(value)
    try:
        yield
    finally:
        with suppress(ValueError):
            variable.reset(token)


def _with_subclasses(base: type) -> list[type]:
    found = [base]
    for cls in found:
        subclasses: list[type] = cls.__subclasses__()
        found += [subclass for subclass in subclasses if subclass not in found]
    return found
