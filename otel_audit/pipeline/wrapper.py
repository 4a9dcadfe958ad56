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


def _stands_at(module: str, qualified_name: str) -> Any:
    """Return what stands under a dotted name in a module; None where nothing does."""
    try:
        return load(module, qualified_name)
    except (AttributeError, ImportError):
        return None


def load(module: str, qualified_name: str) -> Any:
    """Return what stands under a dotted name in a module, importing it."""
    return reduce(getattr, qualified_name.split("."), importlib.import_module(module))


class BoundWrapper(_BoundFunctionWrapper):
    """A method of `Wrapper` functions, bound to its instance or class."""

    @property
    def __func__(self) -> Any:
        """The function that is bound, wrapped: who binds it anew must not lose the wrapper."""
        raw = getattr(self.__wrapped__, "__func__", None)
        if raw is None:
            return self  # a static method: that it has none cannot be said, as wrapt then asks the parent
        parent = self._self_parent
        if not isinstance(parent.__wrapped__, classmethod):
            return parent
        return parent._self_function_of(raw)  # noqa: SLF001 - wrapt passes other names on

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

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        owner = getattr(self.__wrapped__, "__self__", None)
        copied = copy.deepcopy(owner, memo)
        return self if copied is owner else self._self_parent.__get__(copied, type(copied))


class Wrapper(_FunctionWrapper):
    """A `wrapt.FunctionWrapper` that is copied and pickled as what it wraps is.

    A function is pickled by its dotted name where that leads to this very object, and its copy,
    deep or not, is the object itself. Other callables are copied or pickled and wrapped again.

    Args:
        wrapped: The callable, or a descriptor of one.
        wrapper: Called as ``wrapper(wrapped, instance, args, kwargs)``.
        enabled: Asked at each call; where it says False, the wrapper is passed over.
        rewrap: Wraps another callable in the same way; picklable itself for one that is to be
            pickled and has no name.
    """

    __bound_function_wrapper__ = BoundWrapper

    def __init__(
        self, wrapped: Any, wrapper: Any, rewrap: Callable[[Any], Any], enabled: Callable[[], bool] | None = None
    ) -> None:
        super().__init__(wrapped, wrapper, enabled)
        self._self_rewrap = rewrap
        self._self_unbound: Any = None

    def _self_function_of(self, raw: Any) -> Any:
        """Return the function of a class method, wrapped: the same object each time."""
        if self._self_unbound is None:
            self._self_unbound = self._self_rewrap(raw)
        return self._self_unbound

    def __reduce__(self) -> Any:
        module, name = (getattr(self.__wrapped__, what, None) for what in ("__module__", "__qualname__"))
        if isinstance(module, str) and isinstance(name, str) and _stands_at(module, name) is self:
            return name
        return self._self_rewrap, (self.__wrapped__,)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __copy__(self) -> Any:
        return self._again(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._again(copy.deepcopy(self.__wrapped__, memo))

    def _again(self, copied: Any) -> Any:
        return self if copied is self.__wrapped__ else self._self_rewrap(copied)
