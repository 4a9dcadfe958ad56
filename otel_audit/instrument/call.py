"""One call of an audited function, as `target`, `actor` and `attributes` callables see it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_SIMPLE = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is about to run.

    Attributes:
        function: What is called, as it was before it was audited.
        instance: The object or the class that it is called on; None for a plain function.
        arguments: The arguments by parameter, without the instance, defaults applied. Empty
            where they do not fit the signature: the function raises its own TypeError.
    """

    function: Callable[..., Any]
    instance: object
    arguments: Mapping[str, Any]


class Binder:
    """Binds arguments to the parameters of one function, as `inspect.Signature.bind` does.

    Args:
        function: What is called; a class or static method as it stands in its class.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        # What is bound to an object already has no parameter for it.
        self._bound = getattr(function, "__self__", None) is not None
        raw = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
        try:
            self._signature = inspect.signature(raw)
        except (TypeError, ValueError):  # a descriptor, or written in C
            self._signature = inspect.Signature()
        parameters = list(self._signature.parameters.values())
        self._simple = all(parameter.kind in _SIMPLE for parameter in parameters)
        self._names = [parameter.name for parameter in parameters]
        self._positional = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        self._defaults = {p.name: p.default for p in parameters}
        self._takes_self = self._names[:1] in (["self"], ["cls"])
        without_self = parameters[1:]
        self._signature_without_self = inspect.Signature(without_self)
        self.keywords = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD), None)

    def has_parameter(self, name: str) -> bool:
        """Return whether a call may have an argument of this name."""
        return name in self._defaults or self.keywords is not None

    def call(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return the call with its arguments bound."""
        if instance is None and self._takes_self and args:
            # Behind a property or a class method the instance is an argument like others.
            instance, args = args[0], args[1:]
        skipped = instance is not None and not self._bound
        bind = self._bind_simple if self._simple else self._bind
        return Call(self._function, instance, bind(skipped, args, kwargs))

    def _bind_simple(self, skipped: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, object]:
        positional = self._positional[1:] if skipped else self._positional
        names = self._names[1:] if skipped else self._names
        if len(args) > len(positional):
            return {}
        given = dict(zip(positional, args, strict=False))
        for name, value in kwargs.items():
            if name in given or name not in names:
                return {}
            given[name] = value
        arguments = {}
        for name in names:
            value = given[name] if name in given else self._defaults[name]
            if value is inspect.Parameter.empty:
                return {}
            arguments[name] = value
        return arguments

    def _bind(self, skipped: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, object]:
        signature = self._signature_without_self if skipped else self._signature
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return {}
        bound.apply_defaults()
        return dict(bound.arguments)
