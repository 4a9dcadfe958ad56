from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.instrumentation", reason="needs the extra 'instrument'")

from otel_audit import AuditInstrumentor, audited
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.functions import function_name
from otel_audit.testing import CapturedAudit, capture_audit

ORDERS = """
import os
from market.impl import helper
LIMIT = 3
def refund(order, password=None): return order
def _hidden(): return "hidden"
def tool_a(): return "a"
async def tool_b(): return "b"
class Till:
    def open(self, amount): return amount
    @classmethod
    def make(cls): return cls()
    @staticmethod
    def count(): return 1
    @property
    def balance(self): return 5
    def _secret(self): return "s"
class Other:
    def close(self): return "closed"
class Derived(Till):
    pass
"""


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    with capture_audit() as captured:
        yield captured


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package `market` on the path, imported by nobody yet; the instrumentor is put back."""
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "__init__.py").touch()
    (tmp_path / "market" / "orders.py").write_text(ORDERS)
    (tmp_path / "market" / "impl.py").write_text("def helper(): return 'helped'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "market.orders"
    if AuditInstrumentor().is_instrumented_by_opentelemetry:
        AuditInstrumentor().uninstrument()
    for name in tuple(sys.modules):
        if name.partition(".")[0] == "market":
            del sys.modules[name]


def instrument(*functions: str, **options: Any) -> None:
    AuditInstrumentor().instrument(functions=functions, frameworks=[], **options)


def members(module: Any) -> dict[str, Any]:
    """Return every function of a module and its classes, as it stands there."""
    found = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    for owner in (module.Till, module.Other, module.Derived):
        found |= {f"{owner.__name__}.{name}": value for name, value in vars(owner).items()}
    return found


@pytest.mark.parametrize("imported", ["before", "after"])
@pytest.mark.parametrize(
    ("text", "audits"),
    [
        ("market.orders:refund", {"refund"}),
        ("market.orders:_hidden", {"_hidden"}),
        ("market.orders:helper", {"helper"}),
        ("market.orders:Till.open", {"Till.open"}),
        ("market.orders:Till._secret", {"Till._secret"}),
        ("market.orders:Till.balance", {"Till.balance"}),
        ("market.orders:Derived.open", {"Derived.open"}),
        ("market.orders:Till", {"Till.open", "Till.make", "Till.count"}),
        ("market.orders:Till.*", {"Till.open", "Till.make", "Till.count"}),
        ("market.orders:tool_*", {"tool_a", "tool_b"}),
        ("market.orders:tool_?", {"tool_a", "tool_b"}),
        ("market.orders:*", {"refund", "tool_a", "tool_b", "Till.open", "Till.make", "Till.count", "Other.close"}),
        ("market.orders.*", {"refund", "tool_a", "tool_b", "Till.open", "Till.make", "Till.count", "Other.close"}),
        ("market.orders:*.close", {"Other.close"}),
    ],
)
def test_exactly_what_is_named_is_audited(market: str, text: str, audits: set[str], imported: str) -> None:
    """A name, a class or a pattern stands for these functions and no others; undone, every object is the one before."""
    if imported == "before":
        module = importlib.import_module(market)
        before = members(module)
        instrument(text)
    else:
        instrument(text)
        module = importlib.import_module(market)
        audited_now = members(module)
        AuditInstrumentor().uninstrument()
        before = members(module)
        instrument(text)
        assert {name for name in audited_now if audited_now[name] is not before.get(name)} == audits
    after = members(module)
    assert {name for name in after if after[name] is not before.get(name)} == audits
    AuditInstrumentor().uninstrument()
    assert members(module) == before


def test_calls_are_recorded(market: str, log: CapturedAudit) -> None:
    """A function that is named writes its intent and its outcome, and keeps result, kind and signature."""
    instrument("market.orders:refund", "market.orders:Till.open", capture=["amount"])
    module: Any = importlib.import_module(market)
    assert module.refund(7, password="hunter2hunter2") == 7
    assert module.Till().open(3) == 3
    assert inspect.signature(module.refund) == inspect.Signature.from_callable(lambda order, password=None: None)
    entries = [entry for entry in log.entries if entry.event_name.startswith("market.")]
    assert [(entry.event_name, entry.attributes["audit.phase"]) for entry in entries] == [
        ("market.orders.refund", "intent"),
        ("market.orders.refund", "outcome"),
        ("market.orders.Till.open", "intent"),
        ("market.orders.Till.open", "outcome"),
    ]
    assert entries[2].attributes["audit.arguments"] == {"amount": 3}
    assert not any(b"hunter2" in entry.raw for entry in log.entries)


def test_who_imported_it_by_name_calls_it_unaudited_afterwards(market: str, log: CapturedAudit) -> None:
    """After ``uninstrument`` a reference that another module holds lets calls straight through."""
    instrument("market.orders:refund")
    module: Any = importlib.import_module(market)
    held = module.refund
    AuditInstrumentor().uninstrument()
    count = len(log.entries)
    assert held(7) == 7
    assert len(log.entries) == count


def test_what_is_decorated_already_stays(market: str, log: CapturedAudit) -> None:
    """A function that is audited already is not audited twice."""
    module: Any = importlib.import_module(market)
    own = module.refund = audited("own.name")(module.refund)
    instrument("market.orders:refund")
    assert module.refund is own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("market.orders:refnd", "market.orders:refnd: the module 'market.orders' has no 'refnd'"),
        ("market.orders:Till.opn", "has no 'Till.opn'"),
        ("market.orders:tol_*", "has no 'tol_*'"),
        ("market.order:refund", "there is no module 'market.order'"),
        ("markt.*", "there is no module 'markt'"),
        ("market.orders", "expected pkg.mod:function"),
        ("market.orders:", "expected pkg.mod:function"),
        (":refund", "expected pkg.mod:function"),
        ("market orders:refund", "expected pkg.mod:function"),
        ("market.orders:re fund", "expected pkg.mod:function"),
        ("*", "expected pkg.mod:function"),
        ("__main__:refund", "the program's own file is run as __main__ and not imported"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_wrapped(market: str, text: str, message: str) -> None:
    """A misspelt function is an error at once, though its module is imported later; nothing is instrumented then."""
    with pytest.raises(AuditConfigError) as caught:
        instrument("market.orders:refund", text)
    assert message in str(caught.value)
    assert not AuditInstrumentor().is_instrumented_by_opentelemetry
    module: Any = importlib.import_module(market)
    assert type(module.refund).__name__ == "function"


@pytest.mark.parametrize("command", [["{folder}/market/orders.py"], ["-m", "market.orders"]])
def test_the_file_that_is_run_is_refused(
    market: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """A function of the program's own file is refused by whatever name; other modules are not."""
    monkeypatch.setattr(sys, "orig_argv", ["python", *(part.format(folder=tmp_path) for part in command)])
    with pytest.raises(AuditConfigError, match=r"market\.orders:refund: the program's own file is run as __main__"):
        instrument("market.impl:helper", "market.orders:refund")
    instrument("market.impl:helper")


def test_what_turns_out_to_be_missing(market: str, tmp_path: Path) -> None:
    """Where only the import can tell, the import fails, or whoever asked for it is told."""
    (tmp_path / "market" / "late.py").write_text("from os.path import *\n")
    (tmp_path / "market" / "later.py").write_text("from os.path import *\n")
    instrument("market.late:nothing")
    with pytest.raises(AuditConfigError, match=r"market\.late:nothing: the module 'market\.late' has no 'nothing'"):
        importlib.import_module("market.late")
    AuditInstrumentor().uninstrument()
    told: list[str] = []
    instrument("market.later:nothing", on_missing=lambda error: told.append(str(error)))
    importlib.import_module("market.later")
    assert len(told) == 1


def test_what_was_never_imported_is_said(market: str, caplog: pytest.LogCaptureFixture) -> None:
    """A function whose module the program never imported was not audited, and that is said at its end."""
    name = function_name("market.orders:refund")
    from otel_audit.instrument.functions import NamedFunctions

    functions = NamedFunctions([name], lambda error: None)
    functions.instrument()
    with caplog.at_level(logging.WARNING):
        functions.report_pending()
    said = f"market.orders:refund was not audited in process {os.getpid()}: it never imported the module market.orders"
    assert said in caplog.text
    functions.uninstrument()
