"""Wrapped functions are copied, pickled and bound anew without losing what is around them."""

from __future__ import annotations

import copy
import inspect
import pickle
import types
from typing import Any

import pytest

from otel_audit.pipeline.wrapper import Wrapper


class Wrapped(Wrapper):
    """A wrapper that says that it was there."""


def wrap(function: Any) -> Any:
    """Return a function whose result is marked."""
    return Wrapped(function, lambda wrapped, instance, args, kwargs: ("wrapped", wrapped(*args, **kwargs)), wrap)


@wrap
def named(value: int) -> int:
    """At the top of a module."""
    return value


def plain(value: int) -> int:
    """Wrapped under no name."""
    return value


class Tool:
    """Has a wrapped method of each kind."""

    def __init__(self) -> None:
        self.state = [1]

    @wrap
    def method(self, value: int) -> tuple[Any, int]:
        """A method."""
        return self, value

    outside = wrap(classmethod(lambda cls, value: (cls, value)))
    inside: Any = classmethod(wrap(lambda cls, value: (cls, value)))
    static_outside = wrap(staticmethod(plain))
    static_inside = staticmethod(wrap(plain))

    def __call__(self, value: int) -> tuple[Any, int]:
        """Be called."""
        return self, value


METHODS = ("method", "outside", "inside", "static_outside", "static_inside")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("owner", [Tool, Tool()], ids=["class", "object"])
def test_deep_copy_of_a_bound_method(name: str, owner: Any) -> None:
    """A deep copy of what holds a method holds one that is wrapped, of a copy of the object."""
    tools = {"owner": owner, "tool": getattr(owner, name)}
    copied = copy.deepcopy(tools)
    copied_owner: Any = copied["owner"]
    args = (copied_owner, 7) if name == "method" and owner is Tool else (7,)
    if name == "method" and owner is Tool:
        args = (Tool(), 7)
    marked, result = copied["tool"](*args)
    assert marked == "wrapped"
    if name == "method" and owner is not Tool:
        assert result[0] is copied_owner
        assert copied_owner is not owner
        assert copied_owner.state == owner.state
        assert copied_owner.state is not owner.state


@pytest.mark.parametrize("name", ["method", "outside", "inside"])
def test_bound_anew(name: str) -> None:
    """Whoever takes the function out of a method and binds it again still gets the wrapper."""
    tool = Tool()
    method = getattr(tool, name)
    function = method.__func__
    assert function is getattr(tool, name).__func__
    owner = method.__self__
    assert owner is (tool if name == "method" else Tool)
    assert types.MethodType(function, owner)(7) == ("wrapped", (owner, 7))
    assert function(owner, 7) == ("wrapped", (owner, 7))


@pytest.mark.parametrize("name", ["static_outside", "static_inside"])
def test_static_method_is_no_method(name: str) -> None:
    """A static method is bound to nothing, and what it gives as its function is wrapped."""
    function = getattr(Tool(), name)
    assert not inspect.ismethod(function)
    assert getattr(function, "__func__", function)(7) == ("wrapped", 7)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled(protocol: int) -> None:
    """By its name where that leads to it; else with its wrapper: functions, methods, callable objects."""

    def again(value: Any) -> Any:
        return pickle.loads(pickle.dumps(value, protocol))

    assert again(named) is named
    assert again(wrap(plain))(7) == ("wrapped", 7)
    assert again(Tool().method)(7)[0] == "wrapped"
    marked, (tool, value) = again(wrap(Tool().__call__))(7)
    assert (marked, type(tool), value) == ("wrapped", Tool, 7)
    assert again(wrap([5, 7].index))(7) == ("wrapped", 1)
    assert again(wrap(len))([1]) == ("wrapped", 1)
    assert again(wrap(str.upper))("x") == ("wrapped", "X")
    if protocol > 1:
        marked, (tool, value) = again(wrap(Tool()))(7)
        assert (marked, tool.state, value) == ("wrapped", [1], 7)


def test_not_picklable() -> None:
    """What cannot be pickled bare cannot be pickled wrapped, and the error names it."""
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(wrap(lambda: 1))


def test_name_that_leads_elsewhere() -> None:
    """A name that leads to another object, or to none, is not pickled as this one's."""
    other = wrap(plain)
    assert pickle.loads(pickle.dumps(other)) is not plain
    assert pickle.loads(pickle.dumps(other)) is not named
    moved = types.FunctionType(plain.__code__, globals(), "gone")
    moved.__qualname__ = "gone"
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(wrap(moved))


def test_compared() -> None:
    """Methods of one object are equal and hash alike, as bare ones do."""
    tool = Tool()
    assert tool.method == tool.method
    assert len({tool.method, tool.method}) == 1
