"""LangChain: methods of abstract classes, wrapped in every subclass that has one of its own.

A class may override what the framework's own way through it is hooked at, and may or may not
call what it overrides. The outermost of an object's methods is the one that is audited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

from otel_audit.instrument.patch import Wrapper, can_wrap, wrap

Method = tuple[type, str]
"""A method by the class that has it, and its name."""

_MAKER: Final = "__pydantic_init_subclass__"


class _Way:
    """How far a call has come through the methods of one object.

    Args:
        instance: The object.
        methods: Those that it went through so far, also where they have returned.
        first: Where it began; itself if None.
    """

    __slots__ = ("first", "instance", "is_over", "methods")

    def __init__(self, instance: object, methods: set[Method], first: _Way | None) -> None:
        self.instance = instance
        self.methods = methods
        self.first = self if first is None else first
        self.is_over = False


_way: ContextVar[_Way | None] = ContextVar("otel-audit-langchain-way", default=None)


def wrap_overrides(
    base: type, makers: Mapping[str, Callable[[Method, Any], Wrapper]], undo: ExitStack, *, leave: str | None = None
) -> None:
    """Wrap what the subclasses of a class override, those that are made later too.

    Args:
        base: The class, one of pydantic's; its own methods are left to the caller.
        makers: By name of a method, what makes its wrapper, given the method.
        undo: Takes the way back.
        leave: A package whose own classes all end in the methods of the base.

    Raises:
        AuditConfigError: Nothing is called when a class is made.
    """
    # Not `undo` itself: whoever made it may have handed its callbacks on by the time a class is made.
    way_back = undo.enter_context(ExitStack())
    inherited = _MAKER not in vars(base)

    def made(wrapped: Any, _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        cls = wrapped.__self__
        # Of the class behind the base in the new one's order, which need not be the base's own.
        (getattr(super(base, cls), _MAKER) if inherited else wrapped)(*args, **kwargs)
        wrap_own(cls)

    def wrap_own(cls: type) -> None:
        if leave is not None and cls.__module__.startswith(leave):
            return
        for name, make in makers.items():
            owner = next((each for each in cls.__mro__ if name in vars(each)), None)
            if owner is None or (owner is not cls and (issubclass(owner, base) or owner in base.__mro__)):
                continue
            method = vars(owner)[name]
            if can_wrap(method):
                wrapper = make((cls, name), _function(method))
                if isinstance(method, (classmethod, staticmethod)):
                    wrapper = _of_objects(wrapper)
                way_back.callback(wrap(cls, name, wrapper if owner is cls else _of_super(cls, name, wrapper)))

    way_back.callback(wrap(base, _MAKER, made))
    for cls in _subclasses(base):
        wrap_own(cls)


@contextmanager
def entered(instance: object, method: Method, *, last: bool = False) -> Iterator[bool]:
    """Enter a method of an object; yield whether an act begins here, rather than goes on.

    A method that is entered once more begins an act: it is called anew, also where it has returned before.

    Args:
        instance: The object.
        method: What of it is entered.
        last: Whether it calls no other method of the object for the same act: if one is
            called inside of it, that is by the program.
    """
    way = _way.get()
    if way is not None and (way.instance is not instance or method in way.methods or way.first.is_over):
        way = None
    here = _Way(instance, set() if way is None else way.methods, way and way.first)
    here.methods.add(method)
    token = _way.set(None if last else here)
    try:
        yield way is None
    finally:
        here.is_over = True
        with suppress(ValueError):  # a coroutine that is closed in another context than it began in
            _way.reset(token)


def _function(member: Any) -> Any:
    """Return the function in a descriptor that says which one it has."""
    while inner := getattr(member, "func", None) or getattr(member, "__func__", None):
        member = inner
    return member


def _of_objects(wrapper: Wrapper) -> Wrapper:
    """Return the wrapper around a class or static method: what is called by the class is of no object."""

    def wrapper_of_objects(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if instance is None or isinstance(instance, type):
            return wrapped(*args, **kwargs)
        return wrapper(wrapped, instance, args, kwargs)

    return wrapper_of_objects


def _of_super(cls: type, name: str, wrapper: Wrapper) -> Wrapper:
    """Return the wrapper around a method that a class has of one that is not of the framework's."""

    def wrapper_of_super(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        method = wrapped if instance is None else getattr(super(cls, instance), name)
        return wrapper(method, instance, args, kwargs)

    return wrapper_of_super


def _subclasses(cls: type) -> set[type]:
    direct: set[type] = set(cls.__subclasses__())
    return direct.union(*map(_subclasses, direct))
