"""Arguments bound to parameters, as `inspect.Signature.bind` binds them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.instrument.call import Binder

plain: Callable[..., None] = lambda a, b=2, *, c=3, d: None  # noqa: E731
variable: Callable[..., None] = lambda a, *more, c=3, **rest: None  # noqa: E731


class Own:
    """Methods of each kind."""

    def method(self, a: int, b: int = 2) -> None:
        """Do nothing."""

    @classmethod
    def class_method(cls, a: int, b: int = 2) -> None:
        """Do nothing."""

    @staticmethod
    def static_method(a: int, b: int = 2) -> None:
        """Do nothing."""


FUNCTIONS: list[Callable[..., None]] = [
    plain,
    variable,
    lambda a, /, b, *, c=3: None,
    lambda: None,
    functools.partial(plain, 1, d=5),
]


def bound(function: Callable[..., None], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What the standard library makes of a call; empty where it refuses."""
    try:
        arguments = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return {}
    arguments.apply_defaults()
    return arguments.arguments


@given(
    function=st.sampled_from(FUNCTIONS),
    args=st.lists(st.integers(0, 9), max_size=4).map(tuple),
    kwargs=st.dictionaries(st.sampled_from("abcdx"), st.integers(0, 9), max_size=4),
)
def test_as_the_standard_library(function: Callable[..., None], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Any call is bound as the standard library binds it, in the same order."""
    call = Binder(function).call(None, args, kwargs)
    assert list(call.arguments.items()) == list(bound(function, args, kwargs).items())
    assert call.instance is None
    assert call.function is function


@given(
    args=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    kwargs=st.dictionaries(st.sampled_from("abx"), st.integers(0, 9), max_size=3),
)
def test_methods(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A method's instance is not among its arguments, whichever way it is called."""
    own = Own()
    expected = bound(own.method, args, kwargs)
    for function, instance, given_args in (
        (Own.method, own, args),
        (Own.method, None, (own, *args)),
        (own.method, own, args),
        (Own.__dict__["class_method"], Own, args),
        (Own.class_method, Own, args),
    ):
        call = Binder(function).call(instance, given_args, kwargs)
        assert call.arguments == expected
        assert call.instance in {own, Own}
    assert Binder(Own.__dict__["static_method"]).call(None, args, kwargs).arguments == expected


def test_instance_alone() -> None:
    """A function of nothing but its instance has no arguments."""
    assert Binder(lambda self: None).call(None, (1,), {}).arguments == {}


@pytest.mark.parametrize("function", [dict, functools.partialmethod(plain)])
def test_without_a_signature(function: Any) -> None:
    """Where there is no signature there are no arguments."""
    assert Binder(function).call(None, (1,), {}).arguments == {}


def test_has_parameter() -> None:
    """A parameter is one by name, or any where there are variable keywords."""
    assert Binder(plain).has_parameter("d")
    assert not Binder(plain).has_parameter("x")
    assert Binder(variable).has_parameter("x")
