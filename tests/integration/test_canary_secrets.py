"""Nothing of an argument reaches the log, the spans or our own messages unless it is captured."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import audited, gate
from otel_audit.errors import AuditBlockedError
from otel_audit.testing import capture_audit
from tests.unit.instrument.functions import returning

CANARY = "canary-9f3b"


class LeakError(Exception):
    """Its text is the secret."""

    def __str__(self) -> str:
        return CANARY

    __repr__ = __str__


@dataclasses.dataclass
class Card:
    """Its text holds the secret, under a name that tells."""

    number: int
    password: str = CANARY


class Handle:
    """An object whose text holds the secret."""

    def __repr__(self) -> str:
        return f"Handle(token={CANARY!r})"


SECRETS: list[Any] = [
    CANARY,
    {"nested": [CANARY]},
    Card(1),
    Handle(),
    LeakError(CANARY),
    CANARY.encode(),
]


def plain(value: object, *, password: str = CANARY) -> object:
    """Returns what it got."""
    return value


def raising(value: object) -> object:
    """Raises what it got."""
    raise LeakError(value) from ValueError(CANARY)


async def coroutine(value: object) -> object:
    """Returns what it got, later."""
    await asyncio.sleep(0)
    return value


async def coroutine_raising(value: object) -> object:
    """Raises what it got, later."""
    await asyncio.sleep(0)
    raise LeakError(value)


def generator(value: object) -> Iterator[object]:
    """Yields what it got, then raises it."""
    yield value
    raise LeakError(value)


async def async_generator(value: object) -> AsyncIterator[object]:
    """Yields what it got, then raises it, later."""
    yield value
    raise LeakError(value)


class Service:
    """Methods of each kind, on an object whose own text is a secret."""

    def method(self, value: object) -> object:
        """Raises what it got."""
        raise LeakError(value)

    @classmethod
    def class_method(cls, value: object) -> object:
        """Returns what it got."""
        return value

    @staticmethod
    def static_method(value: object) -> object:
        """Raises what it got."""
        raise LeakError(value)

    @property
    def prop(self) -> object:
        """Raises what it has."""
        raise LeakError(CANARY)

    def __call__(self, value: object) -> object:
        """Returns what it got."""
        return value

    def __repr__(self) -> str:
        return CANARY


def calls(decorate: Callable[[Any], Any]) -> Iterator[Callable[[Any], Any]]:
    """A way to call each kind of function, audited."""
    yield decorate(plain)
    yield decorate(raising)
    yield lambda value: asyncio.run(decorate(coroutine)(value))
    yield lambda value: asyncio.run(decorate(coroutine_raising)(value))
    yield lambda value: list(decorate(generator)(value))

    async def consume(value: object) -> None:
        async for _ in decorate(async_generator)(value):
            pass

    yield lambda value: asyncio.run(consume(value))
    service = type("Service", (Service,), {"method": decorate(Service.method)})()
    yield service.method
    yield decorate(Service.class_method)
    yield decorate(Service.static_method)
    yield lambda value: type("Service", (Service,), {"prop": decorate(Service.__dict__["prop"])})().prop
    yield decorate(Service())
    yield decorate(functools.partial(plain, password=CANARY))
    yield lambda value: decorate(plain)(value, nope=value)
    yield lambda value: list(decorate(returning(generator))(value))
    yield decorate(type("Service", (Service,), {"method": Service.__dict__["method"]}))().method


def allowing(call: Any) -> object:
    """A policy that lets everything pass."""
    return True


def blocking(call: Any) -> object:
    """A policy that says no, in words that hold a credential."""
    return f"no: password={CANARY}, Bearer {CANARY}"


def showing(call: Any) -> object:
    """A policy that says no, with the arguments for its reason."""
    return SimpleNamespace(allowed=False, reason=call.arguments, message=LeakError(CANARY))


def unclear(call: Any) -> object:
    """A policy that answers with the arguments."""
    return call.arguments


def broken(call: Any) -> Any:
    """A callable for a part of the call that fails with what it saw."""
    raise LeakError(call.arguments)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans that end."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


def everything_written(spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture, path: str) -> str:
    """All that left the process: lines, spans, and what was logged by us."""
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("otel_audit")]
    return "\n".join([Path(path).read_text(), *(span.to_json() for span in spans.get_finished_spans()), *ours])


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: type(secret).__name__)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target": broken, "actor": broken, "attributes": broken},
        {"phases": "outcome"},
        {"attributes": {"fixed": 1}, "action": "READ", "target": "t"},
    ],
    ids=["bare", "broken", "outcome", "static"],
)
def test_uncaptured(
    spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture, secret: Any, options: dict[str, Any]
) -> None:
    """Whatever the kind of function and however the call ends, an argument stays out."""
    caplog.set_level(logging.DEBUG)
    with capture_audit(resource=Resource({"service.name": "shop"})) as log:
        count = 0
        for call in calls(audited("test", **options)):
            with contextlib.suppress(LeakError, TypeError):
                call(secret)
            count += 1
        recorded = {entry.attributes["audit.phase"] for entry in log.entries}
        assert len(log.entries) == (count if options.get("phases") == "outcome" else 2 * count)
        assert "outcome" in recorded
        assert CANARY not in everything_written(spans, caplog, log.path)


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: type(secret).__name__)
@pytest.mark.parametrize("policy", [allowing, blocking, showing, unclear, broken])
@pytest.mark.parametrize("order", ["gate", "gate of audited", "audited gate"])
def test_gate(
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    secret: Any,
    policy: Callable[[Any], object],
    order: str,
) -> None:
    """Whatever a policy makes of an argument, it stays out of the decision and of the error that blocks."""
    caplog.set_level(logging.DEBUG)

    def decorate(function: Any) -> Any:
        decide = gate(policy, "test", target=broken, actor=broken, attributes=broken)
        if order == "gate":
            return decide(function)
        return decide(audited("test")(function)) if order == "gate of audited" else audited("test")(decide(function))

    with capture_audit(resource=Resource({"service.name": "shop"})) as log:
        errors: list[BaseException] = []
        count = 0
        for call in calls(decorate):
            try:
                call(secret)
            except (LeakError, TypeError):
                assert policy is allowing
            except AuditBlockedError as error:
                errors.append(error)
            count += 1
        decisions = [entry for entry in log.entries if "audit.decision" in entry.attributes]
        assert len(decisions) == count
        assert len(errors) == (0 if policy is allowing else count)
        assert CANARY not in everything_written(spans, caplog, log.path)
        for raised in errors:
            assert CANARY not in f"{raised} {raised!r} {raised.args} {vars(raised)}"


@pytest.mark.parametrize(
    "value",
    [
        {"password": CANARY},
        {"headers": {"Authorization": f"Digest {CANARY}", "Cookie": CANARY}},
        Card(1),
        Handle(),
        [f"Bearer {CANARY}"],
        f"https://user:{CANARY}@host/path",
        f"curl -H 'X-Api-Key: {CANARY}'",
    ],
)
def test_captured(spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture, value: Any) -> None:
    """Captured, what looks like a secret inside a value stays out."""
    with capture_audit(resource=Resource({"service.name": "shop"})) as log:
        audited("test", capture="*", capture_result=True)(plain)(value)
        intent, outcome = log.entries
        assert set(intent.value("audit.arguments")) == {"value"}  # type: ignore[call-overload]
        assert "audit.result" in outcome.attributes
        assert CANARY not in everything_written(spans, caplog, log.path)


def test_failed_write(spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture) -> None:
    """Where the log cannot be written, our messages say nothing of the call either."""
    with capture_audit(resource=Resource({"service.name": "shop"})) as log:

        def work(value: object) -> None:
            log.fail(OSError(28, "full"))
            raise LeakError(value)

        with pytest.raises(LeakError):
            audited("test", capture="*")(work)({"password": CANARY})
        assert "is not in the audit log" in caplog.text
        assert CANARY not in everything_written(spans, caplog, log.path)


def test_reprs() -> None:
    """What is around a function shows nothing of its settings, nor of the calls that it is in."""
    secret = {"password": CANARY}
    with capture_audit(resource=Resource({"service.name": "shop"})) as log:
        shown = []

        @gate(lambda call: True, attributes=secret)
        @audited(attributes=secret)
        def work(value: object) -> None:
            shown.append(f"{work!r} {work}")

        work(CANARY)
        with log.provider.get_audit_logger("test").start_action("test", attributes=secret) as action:
            shown.append(f"{action!r} {action.intent!r}")
        assert len(shown) == 2
        assert CANARY not in " ".join(shown)
