"""Nothing of a guarded function's arguments reaches the log, a store, a message or a text of ours."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_audit.compat.auditgate import (
    AuditError,
    AuditPolicy,
    Decision,
    Engine,
    MemoryStore,
    QueryFilter,
    Result,
)
from otel_audit.testing import capture_audit
from tests.auditgate import POLICIES, TRAIL, FailingStore

CANARY = "canary-9f3b"
FULL = OSError(errno.ENOSPC, "no space left on device")


class LeakError(Exception):
    """Its text is the secret."""

    def __str__(self) -> str:
        return CANARY

    __repr__ = __str__


class Handle:
    """An object whose text is the secret."""

    def __repr__(self) -> str:
        return CANARY


def plain(value: object, *, password: str = CANARY) -> object:
    return value


def raising(value: object) -> object:
    raise LeakError(value) from ValueError(CANARY)


async def coroutine(value: object) -> object:
    await asyncio.sleep(0)
    return value


async def coroutine_raising(value: object) -> object:
    await asyncio.sleep(0)
    raise LeakError(value)


def generator(value: object) -> Iterator[object]:
    yield value
    raise LeakError(value)


async def async_generator(value: object) -> AsyncIterator[object]:
    yield value
    raise LeakError(value)


class Service:
    """A method on an object whose own text is the secret."""

    def method(self, value: object) -> object:
        raise LeakError(value)

    def __repr__(self) -> str:
        return CANARY


def calls(engine: Engine, policy: AuditPolicy | None) -> Iterator[Callable[[Any], Any]]:
    """A way to call each kind of function under each kind of guard."""
    guard, guard_result = engine.guard(TRAIL, policy=policy), engine.guard_result(TRAIL, policy=policy)
    for decorate in (guard, guard_result):
        yield decorate(plain)
        yield decorate(raising)
    for adecorate in (engine.async_guard(TRAIL, policy=policy), engine.async_guard_result(TRAIL, policy=policy)):
        for function in (coroutine, coroutine_raising):
            guarded = adecorate(function)
            yield lambda value, f=guarded: asyncio.run(f(value))  # type: ignore[misc]
    yield lambda value: list(guard(generator)(value))

    async def consume(value: object) -> None:
        async for _ in guard(async_generator)(value):
            pass

    yield lambda value: asyncio.run(consume(value))
    yield type("Service", (Service,), {"method": guard(Service.method)})().method
    yield lambda value: guard(plain)(value, nope=value)  # type: ignore[call-arg]


@pytest.mark.parametrize("secret", [CANARY, {"nested": [CANARY]}, Handle(), LeakError(), CANARY.encode()], ids=type)
@pytest.mark.parametrize("policy", [None, *POLICIES.values()], ids=["default", *POLICIES])
@pytest.mark.parametrize("store", ["log", "log that fails", "memory", "store that fails"])
def test_nothing_of_an_argument(
    caplog: pytest.LogCaptureFixture, secret: Any, policy: AuditPolicy | None, store: str
) -> None:
    """Whatever the kind of function, the way it ends and what fails: the argument stays out."""
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    with capture_audit() as log:
        engine = Engine(store={"memory": MemoryStore(), "store that fails": FailingStore()}.get(store))

        def hear(decision: Decision) -> None:
            said.append(repr(decision))

        engine.on_decision(hear)
        count = 0
        for call in calls(engine, policy):
            if store == "log that fails":
                log.fail(FULL, times=2)
            with contextlib.suppress(LeakError, TypeError):
                try:
                    answer = call(secret)
                except AuditError as error:
                    answer = error.result
                    said += [str(error), repr(error), repr(error.__cause__)]
                if isinstance(answer, Result):
                    said.append(repr(answer))
            log.provider.exporter.failures.clear()  # type: ignore[attr-defined]
            count += 1
        assert count == 12
        if store in ("log", "memory"):
            entries = engine._store.query(QueryFilter())
            assert len(entries) == 2 * count
            said += [repr(entry) for entry in entries] + [repr(entry.to_dict()) for entry in entries]
        said.append(Path(log.path).read_text(encoding="utf-8"))
    said += [record.getMessage() for record in caplog.records if record.name.startswith("otel_audit")]
    # what the failing store itself says comes out where a program asks for the cause, and nowhere else
    assert not [text for text in said if CANARY in text.replace("OSError('redis://user:canary-9f3b@host refused')", "")]
