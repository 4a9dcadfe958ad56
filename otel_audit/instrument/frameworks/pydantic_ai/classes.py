"""Classes of models: the method that asks is each one's own, and is wrapped in all of them.

A class is wrapped when it is made, with what it inherits from mixins, which need not be models.
A class whose parent keeps the making to itself (an ``__init_subclass__`` that does not call
``super()``), and a method that is replaced later, are found at the framework's next use of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from otel_audit.instrument.frameworks.methods import Method, is_around, one_at_a_time
from otel_audit.instrument.patch import Wrapper, can_wrap, wrap


def wrap_classes(
    base: type, wrappers: Mapping[str, Callable[[Method], Wrapper]], uses: list[tuple[Any, str]], undo: ExitStack
) -> None:
    """Wrap methods in every class of models that there is, and in those that are made from now on.

    Args:
        base: The abstract class of the models; its own methods are left alone.
        wrappers: By name of a method, what makes its wrapper.
        uses: Owner and name of the framework's functions that begin to use models.
        undo: Takes the way back.

    Raises:
        AuditConfigError: An owner has no such function.
    """
    classes = _Classes(base, wrappers, undo.enter_context(ExitStack()))

    def made(wrapped: Any, _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        classes.wrap_in(wrapped.__self__)

    def used(wrapped: Any, _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        classes.wrap_in_all()
        return wrapped(*args, **kwargs)

    undo.callback(wrap(base, "__init_subclass__", made))
    for owner, name in uses:
        undo.callback(wrap(owner, name, used))
    classes.wrap_in_all()


class _Classes:
    """The subclasses of one class, and what was wrapped in them. Thread-safe."""

    def __init__(self, base: type, wrappers: Mapping[str, Callable[[Method], Wrapper]], way_back: ExitStack) -> None:
        self._base = base
        self._wrappers = wrappers
        self._way_back = way_back
        self._ours: dict[tuple[type, str], list[object]] = {}

    def wrap_in_all(self) -> None:
        for cls in _subclasses(self._base):
            self.wrap_in(cls)

    def wrap_in(self, cls: type) -> None:
        """Wrap what a class has and inherits, as far as it is not wrapped yet."""
        with one_at_a_time():
            for owner in cls.__mro__:
                if owner in self._base.__mro__:
                    continue
                for name, make in self._wrappers.items():
                    method = vars(owner).get(name)
                    if not can_wrap(method):
                        continue
                    ours = self._ours.setdefault((owner, name), [])
                    if not is_around(method, ours):
                        wrapper = self._of_models(make(Method(owner, name, len(ours))))
                        self._way_back.callback(wrap(owner, name, wrapper))
                        ours.append(vars(owner)[name])

    def _of_models(self, wrapper: Wrapper) -> Wrapper:
        def wrapper_of_models(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            # A mixin can be the parent of something else too.
            if not isinstance(instance, self._base):
                return wrapped(*args, **kwargs)
            return wrapper(wrapped, instance, args, kwargs)

        return wrapper_of_models


def _subclasses(base: type) -> set[type]:
    direct: set[type] = set(base.__subclasses__())
    return direct.union(*map(_subclasses, direct))
