from __future__ import annotations

import copy
import functools
import inspect
import pickle
import types
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

import tests.unit.instrument.test_patch as here
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.patch import can_wrap, wrap


class Base:
    def inherited(self) -> str:
        """Be defined one class up."""
        return "inherited"


class Owner(Base):
    def own(self) -> str:
        """Be a method."""
        return "own"

    @staticmethod
    def static() -> str:
        """Be a static method."""
        return "static"


def members(owner: type) -> dict[str, int]:
    """Return the identity of each member: a wrapper is equal to what it wraps."""
    # `copyreg` leaves names of slots in classes whose objects it copied.
    return {name: id(member) for name, member in vars(owner).items() if name != "__slotnames__"}


def _loud(wrapped: Any, _instance: object, args: Any, kwargs: Any) -> str:
    return str(wrapped(*args, **kwargs)).upper()


def _louder(wrapped: Any, _instance: object, args: Any, kwargs: Any) -> str:
    return str(wrapped(*args, **kwargs)) + "!"


class TestWrap:
    @pytest.mark.parametrize("name", ["own", "static", "inherited"])
    def test_wraps_and_restores(self, name: str) -> None:
        """The wrapper is called until undo, which leaves the class with the very members it had."""
        before = members(Owner)
        undo = wrap(Owner, name, _loud)
        assert getattr(Owner(), name)() == name.upper()
        undo()
        assert getattr(Owner(), name)() == name
        assert members(Owner) == before

    def test_does_not_remove_a_later_wrapper(self) -> None:
        """A wrapper that somebody put over ours stays, and ours is called through."""
        undo = wrap(Owner, "own", _loud)
        undo_theirs = wrap(Owner, "own", _louder)
        assert Owner().own() == "OWN!"
        undo()
        assert Owner().own() == "own!"
        undo_theirs()
        assert Owner().own() == "own"

    def test_held_references_pass_through_after_undo(self) -> None:
        """A bound method taken while wrapped is the plain one once undone."""
        undo = wrap(Owner, "own", _loud)
        held = Owner().own
        undo()
        assert held() == "own"

    def test_names_what_is_missing(self) -> None:
        """An attribute that is not there is an error that names the owner and the attribute."""
        with pytest.raises(AuditConfigError, match=r"expected Owner to have 'gone'"):
            wrap(Owner, "gone", _loud)


class Tool:
    """Has a callable of each kind."""

    def __init__(self) -> None:
        self.state = [1]
        self.given = Inner()

    def method(self, value: object) -> Any:
        """Be a method."""
        return self, value

    async def amethod(self, value: object) -> Any:
        """Be a coroutine function."""
        return self, value

    partial = functools.partialmethod(method)

    @functools.singledispatchmethod
    def dispatched(self, value: object) -> Any:
        """Be chosen by the type of the argument."""
        return self, value

    @dispatched.register
    def _of_int(self, value: int) -> Any:
        return self, value

    @property
    def read(self) -> Callable[..., Any]:
        """Give a function."""
        return self.method

    @property
    def inner(self) -> Callable[..., Any]:
        """Give a function of another object."""
        return self.given.method

    @classmethod
    def by_class(cls, value: object) -> Any:
        """Be of the class."""
        return cls, value

    @staticmethod
    def static(value: object) -> Any:
        """Be of nothing."""
        return None, value

    @property
    def settable(self) -> Callable[..., Any] | None:
        """Give what it was set to."""
        return self.__dict__.get("set")

    @settable.setter
    def settable(self, value: Callable[..., Any]) -> None:
        self.__dict__["set"] = value


class Inner:
    """Is not audited."""

    def method(self, value: object) -> Any:
        """Be a method."""
        return self, value


class SubTool(Tool):
    """Has them by inheritance."""


def function(value: object) -> object:
    """Be of a module."""
    return value


KINDS = ("method", "partial", "dispatched", "read", "inner", "by_class", "static")
seen: list[tuple[Any, tuple[Any, ...]]] = []


def _note(wrapped: Any, instance: object, args: Any, kwargs: Any) -> Any:
    seen.append((instance, args))
    return wrapped(*args, **kwargs)


@pytest.fixture
def noting() -> Any:
    """Wrap each callable of a tool, and the function."""
    seen.clear()
    before = members(Tool)
    with ExitStack() as undo:
        for name in (*KINDS, "settable"):
            undo.callback(wrap(Tool, name, _note))
        undo.callback(wrap(here, "function", _note))
        yield undo.close
    assert members(Tool) == before


@pytest.mark.usefixtures("noting")
class TestKinds:
    @pytest.mark.parametrize("name", KINDS)
    @pytest.mark.parametrize("cls", [Tool, SubTool])
    def test_instance_and_arguments(self, name: str, cls: type[Tool]) -> None:
        """The wrapper is given the object and the arguments, whatever kind of descriptor the callable is."""
        tool = cls()
        assert getattr(tool, name)(1)[1] == 1
        assert [instance for instance, _ in seen if instance is tool]
        assert all(args == (1,) for _, args in seen)

    @pytest.mark.parametrize("name", ["method", "partial", "dispatched"])
    def test_by_the_class(self, name: str) -> None:
        """A method that is called by its class is given the object that is its first argument."""
        tool = Tool()
        getattr(Tool, name)(tool, 1)
        assert (tool, (1,)) in seen

    @pytest.mark.parametrize(("name", "bound_to"), [("by_class", Tool), ("static", None)])
    def test_class_and_static_methods_by_the_class(self, name: str, bound_to: object) -> None:
        """A class method that is called by its class is given the class, a static one nothing."""
        assert getattr(Tool, name)(1) == (bound_to, 1)
        assert seen == [(bound_to, (1,))]

    def test_property_stays_one(self) -> None:
        """A property keeps its docstring and its setter, and what it gives that is no callable."""
        tool = Tool()
        assert isinstance(inspect.getattr_static(Tool, "settable"), property)
        assert Tool.settable.__doc__ == "Give what it was set to."
        assert tool.settable is None
        tool.settable = function
        assert "settable" not in vars(tool)
        assert tool.settable is not None
        tool.settable(1)
        assert (tool, (1,)) in seen
        with pytest.raises(AttributeError):
            setattr(tool, "read", function)  # noqa: B010 - as the types say


class TestCanWrap:
    @pytest.mark.parametrize("name", [*KINDS, "amethod"])
    def test_callables(self, name: str) -> None:
        """What gives a callable can be wrapped."""
        assert can_wrap(vars(Tool)[name])

    def test_others(self) -> None:
        """What is no callable, is abstract, or keeps what it gave in the object cannot."""
        abstract = functools.partialmethod(_abstract)
        for other in (
            None,
            1,
            "text",
            _abstract,
            property(_abstract),
            abstract,
            vars(Slots)["run"],
            vars(Cached)["run"],
        ):
            assert not can_wrap(other)


def _abstract(_self: object) -> None:
    pass


_abstract.__isabstractmethod__ = True  # type: ignore[attr-defined]


class Slots:
    __slots__ = ("run",)


class Cached:
    @functools.cached_property
    def run(self) -> Any:
        """Give a function."""
        return function


def _function_of(method: Any) -> Any:
    return method.__func__


@pytest.mark.usefixtures("noting")
class TestCopies:
    @pytest.mark.parametrize("name", KINDS)
    @pytest.mark.parametrize("copied", [copy.copy, lambda held: copy.copy([held])[0]])
    def test_copy(self, name: str, copied: Any) -> None:
        """A copy of a bound method is that of the same object, audited."""
        tool = Tool()
        copied(getattr(tool, name))(1)
        assert any(instance is tool for instance, _ in seen)

    @pytest.mark.parametrize("name", ["method", "partial", "read", "inner"])
    def test_deep_copy(self, name: str) -> None:
        """A deep copy of a bound method is bound to a copy of the object, the one that is copied beside it, audited."""
        tool = Tool()
        other, method = copy.deepcopy([tool, getattr(tool, name)])
        assert other is not tool
        owner, value = method(1)
        assert value == 1
        assert owner is (other.given if name == "inner" else other)
        assert seen[0] == (other, (1,))

    def test_deep_copy_of_a_method_alone(self) -> None:
        """A method that is copied without its object has a copy of it."""
        tool = Tool()
        copied = copy.deepcopy({"h": tool.method})["h"]
        owner, _ = copied(1)
        assert owner is not tool
        assert owner.state == [1]
        assert owner.state is not tool.state

    @pytest.mark.parametrize("name", ["by_class", "static", "dispatched"])
    def test_deep_copy_of_what_is_a_function(self, name: str) -> None:
        """A deep copy of what is a function, or bound to a class, is as good as itself."""
        assert copy.deepcopy(getattr(Tool(), name))(1)[1] == 1
        assert len(seen) == 1

    @pytest.mark.parametrize("name", KINDS)
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickle(self, name: str, protocol: int) -> None:
        """A pickled bound method is again the class's, audited, of a copy of the object."""
        tool = Tool()
        method = pickle.loads(pickle.dumps(getattr(tool, name), protocol))
        owner, value = method(1)
        assert value == 1
        assert seen
        assert owner is not tool
        if name in ("method", "partial", "dispatched", "read"):
            assert isinstance(owner, Tool)

    @pytest.mark.parametrize("name", KINDS)
    def test_pickle_needs_nothing_of_ours(self, name: str, noting: Callable[[], None]) -> None:
        """Where nothing is audited, an unpickled method is the plain one; nothing of ours is in the pickle."""
        data = pickle.dumps(getattr(Tool(), name))
        noting()
        assert b"otel_audit" not in data
        method = pickle.loads(data)
        assert type(method) in (types.MethodType, types.FunctionType, functools.partial)
        assert method(1)[1] == 1
        assert not seen

    @pytest.mark.parametrize("by", ["__func__", "class", "subclass"])
    def test_pickle_of_a_function(self, by: str) -> None:
        """The function of a method is pickled by the name of its class, and takes the object first."""
        tool = Tool()
        held = {"__func__": _function_of(tool.method), "class": Tool.method, "subclass": SubTool.method}[by]
        assert pickle.loads(pickle.dumps(held))(tool, 1) == (tool, 1)
        assert seen == [(tool, (1,))]

    def test_function_is_one(self) -> None:
        """The function of a method is the same object each time, and audited for whom it is bound to."""
        one, other = Tool(), Tool()
        assert _function_of(one.method) is _function_of(other.method)
        types.MethodType(_function_of(one.method), other)(1)
        assert seen == [(other, (1,))]

    @pytest.mark.parametrize("name", [*KINDS, "settable"])
    def test_pickled_with_its_class(self, name: str) -> None:
        """What a class that is pickled as a whole has is the plain method, as it would be wrapped again."""
        member = vars(Tool)[name]
        if isinstance(member, property):
            assert type(member.fget) is not types.FunctionType
            member = member.fget
        make, given = member.__reduce__()
        assert type(make(*given)) in (
            *(types.FunctionType, functools.partialmethod, functools.singledispatchmethod),
            *(classmethod, staticmethod),
        )

    def test_function_of_a_module(self) -> None:
        """A module's function is its own copy, and pickled by name."""
        assert copy.copy(function) is function
        assert copy.deepcopy(function) is function
        assert pickle.loads(pickle.dumps(function)) is function

    def test_held_while_audited(self, noting: Callable[[], None]) -> None:
        """What is still held once auditing has ended is copied and pickled as the plain method."""
        tool = Tool()
        held = tool.method
        noting()
        assert pickle.loads(pickle.dumps(held))(1)[1] == 1
        assert copy.deepcopy(held)(1)[1] == 1
        assert not seen

    def test_inspected_as_before(self) -> None:
        """Signatures and kinds are those of the method."""
        assert str(inspect.signature(Tool().method)) == "(value: 'object') -> 'Any'"
        assert inspect.ismethod(Tool().method)
        with ExitStack() as undo:
            undo.callback(wrap(Tool, "amethod", _note))
            assert inspect.iscoroutinefunction(Tool().amethod)
            assert inspect.iscoroutinefunction(copy.deepcopy(Tool().amethod))


@pytest.fixture(autouse=True)
def _restored() -> Any:
    before = {name: vars(Owner)[name] for name in ("own", "static")}
    yield
    for name, member in before.items():
        setattr(Owner, name, member)
    if "inherited" in vars(Owner):
        del Owner.inherited
