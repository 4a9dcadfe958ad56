"""Instrumenting leaves nothing behind in the frameworks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from otel_audit.instrument.frameworks import load_framework
from otel_audit.instrument.frameworks.hook import later_modules
from tests.optional import installed_frameworks

CHECK = """
import importlib, json, sys
from otel_audit import AuditInstrumentor

OURS = {"__main__", "__mp_main__", "otel_audit", "opentelemetry", "wrapt"} | set(sys.stdlib_module_names)

def members():
    # every attribute of every module, and of every class where it is defined
    found = {}
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in OURS or not hasattr(module, "__dict__"):
            continue
        for name, value in list(vars(module).items()):
            found[f"{module_name}.{name}"] = value
            if isinstance(value, type) and value.__module__ == module_name:
                for member, inner in list(vars(value).items()):
                    if member.startswith("__pydantic_"):
                        continue  # made by pydantic when it first needs them
                    found[f"{module_name}.{name}.{member}"] = inner
    return found

def changed(before):
    # what is gone or another object, as of now; of what there was
    now = members()
    return sorted(name for name in before if name not in now or now[name] is not before[name])

def added(before):
    loaded = {name.rpartition(".")[0] for name in before}
    return sorted(name for name in members() if name not in before and name.rpartition(".")[0] in loaded)

for name in sys.argv[1:]:
    importlib.import_module(name)
at_first = members()
instrumentor = AuditInstrumentor()
instrumentor.instrument(frameworks="all")
instrumentor.uninstrument()
told = {"at first": changed(at_first)}
before = members()  # with the modules that instrumenting has imported
for turn in ("again", "a third time"):
    instrumentor.instrument(frameworks="all")
    told[f"instrumented {turn}"] = changed(before)
    instrumentor.uninstrument()
    told[turn] = changed(before) + added(before)
print(json.dumps(told))
"""


@pytest.mark.parametrize("name", sorted({"hummbl", "mcp"} | installed_frameworks()))
def test_every_object_is_the_one_before(name: str) -> None:
    """Instrumented and uninstrumented three times, each module and class of a framework has the objects it had."""
    modules = [load_framework(name).MODULE, *later_modules(name)]
    command = [sys.executable, "-c", CHECK, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["at first"] == []
    assert told["again"] == []
    assert told["a third time"] == []
    assert told["instrumented again"] == told["instrumented a third time"] != []
