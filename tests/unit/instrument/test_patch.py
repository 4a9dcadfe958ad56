from __future__ import annotations

from typing import Any

import pytest

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.patch import wrap


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
    return {name: id(member) for name, member in vars(owner).items()}


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


@pytest.fixture(autouse=True)
def _restored() -> Any:
    before = {name: vars(Owner)[name] for name in ("own", "static")}
    yield
    for name, member in before.items():
        setattr(Owner, name, member)
    if "inherited" in vars(Owner):
        del Owner.inherited
