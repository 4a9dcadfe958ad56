"""The entries of a log in short, and runs of agents in the ways that there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import Any

from otel_audit import AuditInstrumentor, get_audit_logger, semconv
from otel_audit.entry import Entry
from tests.frameworks.conformance.driver import Call, Driver

PROMPT = "go"

KINDS = {
    semconv.EVENT_TOOL_EXECUTE: "tool",
    semconv.EVENT_MODEL_CALL: "model",
    semconv.EVENT_AGENT_INVOKE: "agent",
}


@contextlib.contextmanager
def audited(driver: Driver, **settings: Any) -> Iterator[None]:
    """Audit a framework meanwhile."""
    AuditInstrumentor().instrument(frameworks=[driver.framework], **settings)
    try:
        yield
    finally:
        AuditInstrumentor().uninstrument()


def play(driver: Driver, way: str, agent: Any, runner: asyncio.Runner, prompt: str = PROMPT) -> Any:
    """Run an agent to its end; return its answer, of a stream the items."""
    if way == "run":
        return driver.run(agent, prompt)
    if way == "arun":
        return runner.run(driver.arun(agent, prompt), context=copy_context())
    if way == "stream":
        return list(driver.stream(agent, prompt))

    async def collected() -> list[object]:
        return [item async for item in driver.astream(agent, prompt)]

    return runner.run(collected(), context=copy_context())


def ending(call: Callable[[], Any]) -> str:
    """Return how a call ends for the program: type and text of what it raises and of the cause, or what it returns."""
    try:
        result = call()
    except Exception as raised:
        return f"raised {_described(raised)}"
    return f"returned {result}" if isinstance(result, str) else "returned"


def _described(error: BaseException) -> str:
    parts = [_described(inner) for inner in getattr(error, "exceptions", ())]
    return f"{type(error).__name__}: {error} from {type(error.__cause__).__name__} {parts}"


def of_run(entries: Iterable[Entry], driver: Driver, *tools: str) -> list[Entry]:
    """Return the entries of agent runs, model calls and the program's own tools, as far as the framework has them."""
    return [
        entry
        for entry in entries
        if KINDS.get(entry.event_name, "") in {"tool", "model", "agent"} - driver.cannot.keys()
        and (entry.event_name != semconv.EVENT_TOOL_EXECUTE or entry.attributes.get(semconv.AUDIT_TARGET_ID) in tools)
    ]


def short(entry: Entry) -> str:
    """Return ``tool intent note``, ``tool success note`` and so on."""
    attributes = entry.attributes
    stage = "intent" if attributes.get(semconv.AUDIT_PHASE) == "intent" else attributes[semconv.AUDIT_OUTCOME]
    kind = KINDS.get(entry.event_name, entry.event_name)
    return f"{kind} {stage} {attributes.get(semconv.AUDIT_TARGET_ID)}"


def of_kind(entries: Iterable[Entry], kind: str, target: str | None = None) -> list[Entry]:
    """Return the entries of one kind of act, upon one target, if one is given."""
    return [
        entry
        for entry in entries
        if KINDS.get(entry.event_name) == kind and target in (None, entry.attributes.get(semconv.AUDIT_TARGET_ID))
    ]


def pairs(entries: Iterable[Entry]) -> list[tuple[Entry, Entry]]:
    """Return each intent with its outcome.

    Raises:
        AssertionError: One has no outcome, or two.
    """
    entries = list(entries)
    found = []
    for intent in entries:
        if intent.attributes.get(semconv.AUDIT_PHASE) == "intent":
            record_id = intent.attributes[semconv.AUDIT_RECORD_ID]
            mine = [entry for entry in entries if entry.attributes.get(semconv.AUDIT_INTENT_ID) == record_id]
            assert len(mine) == 1, f"{short(intent)}: expected one outcome, got {len(mine)}"
            found.append((intent, mine[0]))
    return found


def chain(entry: Entry) -> list[Any]:
    """Return who acts, the originating principal first."""
    actors = entry.attributes.get(semconv.AUDIT_DELEGATION) or [entry.attributes[semconv.AUDIT_ACTOR_ID]]
    assert isinstance(actors, list)
    return actors


def note(text: str) -> str:
    """Note a text."""
    get_audit_logger("program").emit("program.note")
    return f"noted {text}"


def asking(name: str = "note", call_id: str = "c1", **arguments: str) -> tuple[Call, ...]:
    """Return the turn that has a tool called."""
    return (Call(name, arguments or {"text": "hello"}, call_id),)
