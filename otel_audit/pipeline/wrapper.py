"""A wrapped function that can still be copied and pickled.

wrapt passes signature, docstring, `inspect` kind and binding through, but refuses to be
pickled or deep-copied, which `multiprocessing` and frameworks that copy their tools need.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    _BoundFunctionWrapper = wrapt.BoundFunctionWrapper[Any, Any]
    _FunctionWrapper = wrapt.FunctionWrapper[Any, Any]
else:
    _BoundFunctionWrapper = wrapt.BoundFunctionWrapper
    _FunctionWrapper = wrapt.FunctionWrapper


def load(module: str, qualified_name: str) -> Any:
    """Return what stands under a dotted name in a module, importing it."""
    return reduce(getattr, qualified_name.split("."), importlib.import_module(module))


class BoundWrapper(_BoundFunctionWrapper):
    """A method of `Wrapper` functions, bound to its instance or class."""

    def __reduce__(self) -> Any:
        name = self.__wrapped__.__name__
        owner = self._self_instance
        if owner is not None:
            return getattr, (owner, name)
        return load, (self.__wrapped__.__module__, self.__wrapped__.__qualname__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __copy__(self) -> BoundWrapper:
        return self


class Wrapper(_FunctionWrapper):
    """A `wrapt.FunctionWrapper` that is copied and pickled as what it wraps is.

    A function is pickled by its dotted name, which must lead to this very object, and its copy,
    deep or not, is the object itself. Other callables are copied or pickled and wrapped again.

    Args:
        wrapped: The callable, or a descriptor of one.
        wrapper: Called as ``wrapper(wrapped, instance, args, kwargs)``.
        rewrap: Wraps another callable in the same way; picklable itself for one that is to be
            pickled and has no name.
    """

    __bound_function_wrapper__ = BoundWrapper

    def __init__(self, wrapped: Any, wrapper: Any, rewrap: Callable[[Any], Any]) -> None:
        super().__init__(wrapped, wrapper)
        self._self_rewrap = rewrap

    def __reduce__(self) -> Any:
        name = getattr(self.__wrapped__, "__qualname__", None)
        return name if isinstance(name, str) else (self._self_rewrap, (self.__wrapped__,))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __copy__(self) -> Any:
        return self._again(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._again(copy.deepcopy(self.__wrapped__, memo))

    def _again(self, copied: Any) -> Any:
        return self if copied is self.__wrapped__ else self._self_rewrap(copied)
