"""The server's end of MCP.

mcp 2 has middleware: ours is added to each server as it is made, right behind mcp's own that
opens the SERVER span. mcp 1 has none, and nothing of OpenTelemetry: the registered request
handlers are wrapped as requests come in, and the trace context that mcp 2 puts into a
request's ``_meta`` is put there and taken out by us.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagate import extract, inject

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.mcp import OPERATIONS
from otel_audit.instrument.patch import wrap

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.mcp import RequestAuditor

_log = logging.getLogger(__name__)

_INTERNAL_ERROR = -32603


def instrument(auditor: RequestAuditor, undo: ExitStack) -> None:
    """Audit the requests that the servers of this process answer.

    Raises:
        AuditConfigError: This version of mcp lacks a function that is wrapped.
    """
    # Any: what one of the two versions has, the other one has not.
    server: Any = import_module("mcp.server.lowlevel.server")
    exceptions: Any = import_module("mcp.shared.exceptions")
    if hasattr(server.Server("probe"), "middleware"):
        _instrument_mcp_2(server, exceptions, auditor, undo)
    else:
        _instrument_mcp_1(server, exceptions, auditor, undo)


def _instrument_mcp_2(server: Any, exceptions: Any, auditor: RequestAuditor, undo: ExitStack) -> None:
    servers: WeakSet[Any] = WeakSet()

    async def audit(ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        operation = OPERATIONS.get(ctx.method)
        if operation is None or ctx.request_id is None:
            return await call_next(ctx)
        params = ctx.params or {}
        return await _serve(
            auditor,
            lambda message: exceptions.MCPError(_INTERNAL_ERROR, message),
            ctx.method,
            params.get(operation.parameter),
            params.get("arguments"),
            ctx,
            lambda: call_next(ctx),
        )

    def make(wrapped: Callable[..., None], instance: Any, args: Any, kwargs: Any) -> None:
        wrapped(*args, **kwargs)
        instance.middleware.append(audit)
        servers.add(instance)

    def remove() -> None:
        for instance in servers:
            if audit in instance.middleware:
                instance.middleware.remove(audit)

    undo.callback(remove)
    undo.callback(wrap(server.Server, "__init__", make))


def _instrument_mcp_1(server: Any, exceptions: Any, auditor: RequestAuditor, undo: ExitStack) -> None:
    session: Any = import_module("mcp.shared.session")
    types: Any = import_module("mcp.types")
    servers: WeakSet[Any] = WeakSet()

    class AuditedHandler:
        """A registered handler, and the entries around it."""

        def __init__(self, handler: Callable[[Any], Awaitable[Any]]) -> None:
            self.handler = handler

        async def __call__(self, request: Any) -> Any:
            return await _serve(
                auditor,
                lambda message: exceptions.McpError(types.ErrorData(code=_INTERNAL_ERROR, message=message)),
                request.method,
                str(getattr(request.params, OPERATIONS[request.method].parameter)),
                getattr(request.params, "arguments", None),
                server.request_ctx.get(None),
                lambda: self.handler(request),
            )

    def handle(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        # At each request, as handlers can be registered while the server runs.
        servers.add(instance)
        for kind, handler in instance.request_handlers.items():
            field = getattr(kind, "model_fields", {}).get("method")
            if field and field.default in OPERATIONS and not isinstance(handler, AuditedHandler):
                instance.request_handlers[kind] = AuditedHandler(handler)
        return wrapped(*args, **kwargs)

    def remove() -> None:
        for instance in servers:
            for kind, handler in instance.request_handlers.items():
                if isinstance(handler, AuditedHandler):
                    instance.request_handlers[kind] = handler.handler

    undo.callback(remove)
    undo.callback(wrap(server.Server, "_handle_request", handle))
    undo.callback(wrap(session.BaseSession, "send_request", _send_with_trace_context))


async def _serve(
    auditor: RequestAuditor,
    refusal: Callable[[str], Exception],
    method: str,
    name: object,
    arguments: object,
    ctx: Any,
    handle: Callable[[], Awaitable[Any]],
) -> Any:
    """Handle a request between its two entries.

    ``refusal`` makes the JSON-RPC error that the client gets. It is not told why: the reason
    names files of the server. The server's own log is. ``ctx`` is mcp's context of the request.
    """
    with _remote_context(getattr(ctx, "meta", None)):
        try:
            action = await auditor.start(method, name, arguments, _session_id(ctx))
        except AuditError as error:
            _log.error("%s refused: its intent could not be recorded: %s", method, error)
            raise refusal("refused: the request could not be recorded in the audit log") from error
        return await auditor.run(action, handle)


@contextmanager
def _remote_context(meta: Any) -> Iterator[None]:
    """Make the caller's trace and baggage current; a span of that trace stays current."""
    if meta is not None and not isinstance(meta, Mapping):
        meta = meta.model_dump()
    # Off the wire: propagators expect text.
    carrier = {key: value for key, value in (meta or {}).items() if isinstance(value, str)}
    remote = extract(carrier, otel_context.get_current())
    current = trace.get_current_span()
    # mcp 2's SERVER span. Another trace is of whoever started the server in this process.
    if current.get_span_context().trace_id == trace.get_current_span(remote).get_span_context().trace_id:
        remote = trace.set_span_in_context(current, remote)
    token = otel_context.attach(remote)
    try:
        yield
    finally:
        otel_context.detach(token)


async def _send_with_trace_context(
    wrapped: Callable[..., Awaitable[Any]], _instance: object, args: Any, kwargs: Any
) -> Any:
    """Put the trace context into a request's ``_meta``, as mcp 2 does by itself."""
    request = args[0] if args else kwargs["request"]
    carrier: dict[str, str] = {}
    inject(carrier)
    params = getattr(request.root, "params", None)
    if carrier and params is not None:
        meta = params.Meta.model_validate((params.meta.model_dump() if params.meta else {}) | carrier)
        # Copies: the caller may send the same request again, in another trace.
        params = params.model_copy(update={"meta": meta})
        root = request.root.model_copy(update={"params": params})
        request = request.model_copy(update={"root": root})
    if args:
        return await wrapped(request, *args[1:], **kwargs)
    return await wrapped(**(kwargs | {"request": request}))


def _session_id(ctx: Any) -> str | None:
    """Return ``mcp.session.id``, which only HTTP has."""
    headers = getattr(getattr(ctx, "request", None), "headers", None)
    value = headers.get("mcp-session-id") if headers is not None else None
    return value if isinstance(value, str) else None
