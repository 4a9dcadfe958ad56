"""What a newer version of a framework may lack, one thing after the other."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import pytest
import wrapt

from otel_audit import AuditInstrumentor
from otel_audit.errors import AuditConfigError
from otel_audit.instrument import instrumentor
from otel_audit.instrument.frameworks import FRAMEWORKS, load_framework
from otel_audit.instrument.frameworks.hook import later_modules
from tests.frameworks.conformance.driver import Driver, Script
from tests.frameworks.conformance.drivers import frameworks
from tests.frameworks.conformance.told import audited


def wrapped(packages: set[str]) -> dict[tuple[int, str], Any]:
    """Return the owners of all that is wrapped in these packages, by their ids and the names."""
    found = {}
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in packages:
            for owner in (module, *(value for value in list(vars(module).values()) if isinstance(value, type))):
                for name, value in list(vars(owner).items()):
                    if issubclass(type(value), wrapt.FunctionWrapper):
                        found[id(owner), name] = owner
    return found


def inherits(target: tuple[Any, str], other: tuple[Any, str]) -> bool:
    """Return whether a class would have the method from another class without its own."""
    (owner, name), (parent, parents_name) = target, other
    return name == parents_name and owner is not parent and isinstance(owner, type) and parent in owner.__mro__


def can_do_without(owner: Any, name: str, found: dict[tuple[int, str], Any]) -> bool:
    """Return whether a class has a method from its parents, or is one of several that have methods of that name."""
    if not isinstance(owner, type):
        return False
    return hasattr(owner, name) or sum(key[1] == name for key in found) > 1


@frameworks("missing")
def test_each(driver: Driver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without what is wrapped, a framework that is named is an error, of ``all`` it is a warning in the same words."""
    monkeypatch.setattr(instrumentor, "FRAMEWORKS", {driver.framework: FRAMEWORKS[driver.framework]})
    modules = (load_framework(driver.framework).MODULE, *later_modules(driver.framework))
    packages = {name.partition(".")[0] for name in modules}
    driver.agent("clerk", Script(), [])  # imports what programs import
    with audited(driver):
        pass  # imports what we import
    before = wrapped(packages)  # a framework can use wrapt itself
    with audited(driver):
        found = wrapped(packages)
    targets = [(owner, key[1]) for key, owner in found.items() if key not in before and key[1] in vars(owner)]
    targets = [target for target in targets if not any(inherits(target, other) for other in targets)]
    assert targets
    told, silent = 0, set[str]()
    for owner, name in targets:
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(owner, name)
            try:
                with audited(driver):
                    silent |= set() if can_do_without(owner, name, found) else {name}
                    continue
            except AuditConfigError as error:
                said = str(error)
            assert re.fullmatch(
                rf"{driver.framework} is not audited: .*\b{name}\b.* \(\S+ [0-9][^ ]*\); not recorded: .+", said
            ), said
            caplog.clear()
            AuditInstrumentor().instrument(frameworks="all")
            AuditInstrumentor().uninstrument()
            ours = [record for record in caplog.records if record.name.partition(".")[0] == "otel_audit"]
            assert [(record.levelno, record.getMessage()) for record in ours] == [(logging.WARNING, said)]
            assert wrapped(packages).keys() == before.keys()
        told += 1
    assert told
    assert silent == set(driver.optional)
