"""The callables that a class, a property or a descriptor is made of, and their names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

_IMPLICIT: Final[dict[str, Callable[[Any], Any]]] = {
    "__init_subclass__": classmethod,
    "__class_getitem__": classmethod,
    "__new__": staticmethod,
}


def public_methods(cls: type) -> dict[str, Any]:
    """Return the public methods in a class's own body, and its being called, as they stand there."""
    return {
        name: member
        for name, member in vars(cls).items()
        if (name == "__call__" or not name.startswith("_"))
        and (inspect.isroutine(member) or isinstance(member, (classmethod, staticmethod, functools.partialmethod)))
    }


def as_class_body_makes_it(function: Any) -> Any:
    """Return a plain function as a class body makes it of its name alone, which it does not of a wrapped one."""
    if isinstance(function, FunctionType):
        return _IMPLICIT.get(function.__name__, lambda plain: plain)(function)
    return function


def map_property(member: property, wrap: Callable[[Any, str], Any]) -> property:
    """Return a property with each accessor wrapped.

    Args:
        wrap: Gets the accessor, and the action that it stands for.
    """
    return property(
        member.fget and wrap(member.fget, "READ"),
        member.fset and wrap(member.fset, "WRITE"),
        member.fdel and wrap(member.fdel, "DELETE"),
        member.__doc__,
    )


def dotted_name(function: Any) -> str:
    """Return module and qualified name; of a callable instance, those of its class."""
    while True:
        if isinstance(function, (functools.partial, functools.partialmethod, functools.singledispatchmethod)):
            function = function.func
        elif isinstance(function, (classmethod, staticmethod)):
            function = function.__func__
        elif isinstance(getattr(function, "__qualname__", None), str):
            break
        else:
            function = getattr(function, "__wrapped__", type(function))
    # A method of a class written in C names its module only there.
    module = getattr(function, "__module__", None) or getattr(function, "__objclass__", object).__module__
    return f"{module}.{function.__qualname__}"
