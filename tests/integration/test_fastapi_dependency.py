"""Who acts, said in a FastAPI dependency, reaches every line of its request and of no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Header
from fastapi.responses import StreamingResponse
from opentelemetry.sdk.resources import Resource
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request

from otel_audit import acting_as, audited
from otel_audit.pipeline.context import current_actors
from otel_audit.testing import CapturedAudit, capture_audit

AGENT = acting_as("agent")


async def by_user(user: Annotated[str, Header()]) -> AsyncIterator[None]:
    """The dependency that users write."""
    async with acting_as(user, type="user"):
        with AGENT:
            yield


def by_user_in_a_thread() -> Iterator[None]:
    """What users had better not write."""
    with AGENT:
        yield


@audited("order.refund", capture=("order",))
async def refund(order: int) -> None:
    """An action that takes a while."""
    await asyncio.sleep(0.001)


@audited("order.close", capture=("order",))
def close(order: int) -> None:
    """An action that runs in a worker thread."""


@audited("order.list", capture=("order",))
async def rows(order: int) -> AsyncIterator[bytes]:
    """A stream."""
    yield b"a"
    await asyncio.sleep(0)
    yield b"b"


@audited("user.load")
async def load_user(user: Annotated[str, Header()]) -> AsyncIterator[str]:
    """An audited dependency."""
    yield user.upper()


def application() -> FastAPI:
    """Endpoints of each kind, all behind the dependency."""
    app = FastAPI(dependencies=[Depends(by_user)])

    @app.get("/refund/{order}")
    async def refund_order(order: int) -> list[str]:
        await refund(order)
        return [actor.id for actor in current_actors()]

    @app.get("/close/{order}")
    def close_order(order: int) -> list[str]:
        close(order)
        return [actor.id for actor in current_actors()]

    @app.get("/fail/{order}")
    async def fail(order: int) -> None:
        await refund(order)
        raise RuntimeError

    @app.get("/rows/{order}")
    async def list_rows(order: int) -> StreamingResponse:
        return StreamingResponse(rows(order))

    return app


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """The log of one test."""
    with capture_audit(resource=Resource({"service.name": "shop"})) as captured:
        yield captured


@pytest.fixture(autouse=True)
def no_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry logs an error where a context is detached in the wrong place."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@asynccontextmanager
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that talks to the application in this process."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


def actors_by_order(log: CapturedAudit) -> dict[int, tuple[str, list[str]]]:
    """Who acted on each order, and for whom, by the lines of the log."""
    orders: dict[str, int] = {}
    seen: dict[int, tuple[str, list[str]]] = {}
    for entry in log.entries:
        attributes: Any = entry.attributes
        who = (attributes["audit.actor.id"], attributes["audit.delegation"])
        if attributes["audit.phase"] == "intent":
            order = attributes["audit.arguments"]["order"]
            orders[attributes["audit.record.id"]] = order
            seen[order] = who
        else:
            assert seen[orders[attributes["audit.intent.id"]]] == who
    return seen


@pytest.mark.parametrize("path", ["refund", "close", "rows"])
async def test_fifty_requests_at_once(log: CapturedAudit, path: str) -> None:
    """Fifty interleaved requests each act as their own user, in every kind of endpoint."""
    async with client(application()) as http:
        answers = await asyncio.gather(
            *(http.get(f"/{path}/{number}", headers={"user": f"user-{number}"}) for number in range(50))
        )
    assert {answer.status_code for answer in answers} == {200}
    if path != "rows":
        assert [answer.json() for answer in answers] == [[f"user-{number}", "agent"] for number in range(50)]
    assert len(log.entries) == 100
    assert actors_by_order(log) == {number: ("agent", [f"user-{number}", "agent"]) for number in range(50)}
    assert current_actors() == ()


async def test_endpoint_that_fails(log: CapturedAudit) -> None:
    """A request that fails leaves no actor behind for the next."""
    async with client(application()) as http:
        assert (await http.get("/fail/1", headers={"user": "alice"})).status_code == 500
        assert (await http.get("/refund/2", headers={"user": "bob"})).json() == ["bob", "agent"]
    assert [entry.attributes["audit.delegation"] for entry in log.entries[::2]] == [
        ["alice", "agent"],
        ["bob", "agent"],
    ]


async def test_sync_dependency(log: CapturedAudit) -> None:
    """A sync dependency runs in a thread of its own: the endpoint does not see it, and nothing complains."""
    app = FastAPI(dependencies=[Depends(by_user_in_a_thread)])

    @app.get("/")
    async def endpoint() -> int:
        return len(current_actors())

    async with client(app) as http:
        assert (await http.get("/")).json() == 0


async def test_behind_a_middleware(log: CapturedAudit) -> None:
    """Behind a middleware that runs the endpoint in another task the lines are the same."""
    app = application()

    async def dispatch(request: Request, call_next: Any) -> Any:
        with acting_as("gateway"):
            return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    async with client(app) as http:
        answer = await http.get("/refund/1", headers={"user": "alice"})
    assert answer.json() == ["gateway", "alice", "agent"]
    assert actors_by_order(log) == {1: ("agent", ["gateway", "alice", "agent"])}


async def test_audited_endpoints(log: CapturedAudit) -> None:
    """FastAPI sees through an audited endpoint and an audited dependency to their parameters."""
    app = FastAPI()

    @app.get("/later/{order}")
    @audited("order.later", capture="*")
    async def later(order: int, user: Annotated[str, Depends(load_user)]) -> tuple[int, str]:
        return order, user

    @app.get("/now/{order}")
    @audited("order.now", capture="*")
    def now(order: int) -> int:
        return order

    async with client(app) as http:
        assert (await http.get("/later/1", headers={"user": "bob"})).json() == [1, "BOB"]
        assert (await http.get("/now/2")).json() == 2
        assert (await http.get("/now/x")).status_code == 422
    assert [entry.event_name for entry in log.entries] == [
        "user.load", "order.later", "order.later", "user.load", "order.now", "order.now",
    ]  # fmt: skip
    assert {entry.attributes["audit.outcome"] for entry in log.entries[2:]} >= {"success"}
    assert log.entries[1].attributes["audit.arguments"] == {"order": 1, "user": "BOB"}
