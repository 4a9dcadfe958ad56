"""MCP: tool calls, resource reads and prompts, on the client and on the server.

Works with mcp 1 and mcp 2. The client is wrapped at `ClientSession.call_tool`, `read_resource` and
`get_prompt`, and at the ``call_tool_as_task`` of mcp 1; how the server is, stands in `server`. What both ends
share is here: which requests are audited, and what an entry says of them.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

from opentelemetry import trace

from otel_audit import semconv
from otel_audit.instrument import under_way
from otel_audit.instrument.capture import capture_result
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import Act, short_name
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.instrument.span import current_tracer, in_span
from otel_audit.pipeline.action import error_type_of
from otel_audit.record import Outcome, Target

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "mcp"
MODULE: Final = "mcp"
VERSIONS: Final = ">=1.20,<3"

_INVALID_PARAMS: Final = "-32602"


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of MCP request that is audited."""

    event_name: str
    action: str
    parameter: str
    """The parameter that names the target."""
    target_type: str
    name_attribute: str
    attributes: Mapping[str, object]


OPERATIONS: Final = {
    "tools/call": Operation(
        semconv.EVENT_TOOL_EXECUTE,
        "EXECUTE",
        "name",
        "tool",
        semconv.GEN_AI_TOOL_NAME,
        {semconv.GEN_AI_OPERATION_NAME: "execute_tool"},
    ),
    "resources/read": Operation(
        semconv.EVENT_MCP_RESOURCE_READ, "READ", "uri", "resource", semconv.MCP_RESOURCE_URI, {}
    ),
    "prompts/get": Operation(semconv.EVENT_MCP_PROMPT_GET, "READ", "name", "prompt", semconv.GEN_AI_PROMPT_NAME, {}),
}
"""By the JSON-RPC method."""


@dataclass(frozen=True, slots=True)
class RequestAuditor:
    """Writes the two entries of a request, on one end of the connection.

    Attributes:
        span_kind: Which end, in the words of span kinds: a process can be both, and a tool call
            then has entries of each.
    """

    logger: AuditLogger
    settings: FrameworkSettings
    span_kind: Literal["client", "server"]

    async def start(self, method: str, name: object, arguments: object, session_id: str | None = None) -> AuditAction:
        """Write the intent; it is durable on return.

        Args:
            method: A key of `OPERATIONS`.
            name: The tool's or prompt's name, or the resource's URI; from the wire, so of any
                type.
            arguments: As given; recorded only as far as the settings ask for it.
            session_id: ``mcp.session.id``, where the transport has one.

        Raises:
            AuditError: The intent could not be written. The request must not go on.
        """
        operation = OPERATIONS[method]
        attributes: dict[str, object] = {
            semconv.MCP_METHOD_NAME: method,
            semconv.SPAN_KIND: self.span_kind,
            **operation.attributes,
        }
        target = None
        if isinstance(name, str):
            attributes[operation.name_attribute] = name
        if (shown := short_name(name)) is not None:
            target = Target(shown, operation.target_type)
        if session_id is not None:
            attributes[semconv.MCP_SESSION_ID] = session_id
        act = Act(
            event_name=operation.event_name,
            action=operation.action,
            target=target,
            attributes=attributes,
            arguments=arguments if isinstance(arguments, Mapping) else None,
        )
        return await Auditor(self.logger, self.settings).astart(act)

    async def run(self, action: AuditAction, request: Callable[[], Awaitable[Any]]) -> Any:
        """Make the request and write its outcome, durable on return.

        What the request returns or raises comes through unchanged, whatever becomes of the outcome.
        """
        # A result is captured here, in the form that it has on the wire.
        auditor = Auditor(self.logger, replace(self.settings, capture_result=False))
        try:
            with under_way.inside(action):
                result = await request()
        except BaseException as raised:
            auditor.judge(action, raised, _excuse)
            action.fail(raised)
            raise
        auditor.judge(action, result, self._judge)
        await action.aend_quietly()
        return result

    def _judge(self, action: AuditAction, result: object) -> None:
        if self.settings.capture_result:
            action.set_result(capture_result(_plain(result), redact=self.logger.redact))
        outcome, error = _outcome(result)
        action.set_outcome(outcome, error_type=error)


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit both ends of every MCP connection of this process.

    Sessions that exist are audited from now on; servers those made from now on (mcp 1: all).

    Raises:
        AuditConfigError: This version of mcp lacks a function that is wrapped.
    """
    import mcp.client.stdio
    from mcp.client.session import ClientSession

    from otel_audit.instrument.frameworks.mcp import server as mcp_server

    auditor = RequestAuditor(logger, settings, "client")
    for function, method in (
        ("call_tool", "tools/call"),
        ("read_resource", "resources/read"),
        ("get_prompt", "prompts/get"),
    ):
        undo.callback(wrap(ClientSession, function, _client_wrapper(auditor, method)))
    try:
        tasks: Any = import_module("mcp.client.experimental.tasks").ExperimentalClientFeatures
    except ImportError:  # of the last versions of mcp 1 only
        pass
    else:
        undo.callback(wrap(tasks, "call_tool_as_task", _client_wrapper(auditor, "tools/call")))
    # Not `stdio_client`, which programs import by name before they get here: it looks this up.
    undo.callback(wrap(mcp.client.stdio, "get_default_environment", _with_telemetry_environment))
    mcp_server.instrument(RequestAuditor(logger, settings, "server"), undo)


def _client_wrapper(auditor: RequestAuditor, method: str) -> Wrapper:
    parameter = OPERATIONS[method].parameter

    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]],
        _instance: object,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        name = args[0] if args else kwargs.get(parameter)
        arguments = args[1] if len(args) > 1 else kwargs.get("arguments")
        with _span(f"{method} {name}"):
            action = await auditor.start(method, None if name is None else str(name), arguments)
            return await auditor.run(action, lambda: wrapped(*args, **kwargs))

    return wrapper


def _span(name: str) -> AbstractContextManager[object]:
    """Open a span where there is none, so that both ends' entries are of one trace."""
    if trace.get_current_span().get_span_context().is_valid:
        return nullcontext()
    tracer = current_tracer()
    if tracer is None:
        return nullcontext()
    return in_span(tracer.start_span(name), end=True)


def _with_telemetry_environment(
    wrapped: Callable[..., dict[str, str]],
    _instance: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> dict[str, str]:
    """Hand a stdio server the settings of telemetry and audit log, which mcp keeps from it.

    Not ``OTEL_…_HEADERS``: they hold credentials, and the server may be anybody's.
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if (name.startswith("OTEL_") and not name.endswith("_HEADERS")) or name == "PYTHONPATH"
    }
    return wrapped(*args, **kwargs) | ours


def _excuse(action: AuditAction, raised: BaseException) -> None:
    if isinstance(raised, Exception):
        action.set_outcome("failure", error_type=_error_type(raised))


def _error_type(error: Exception) -> str:
    """Return ``error.type``: the JSON-RPC code as text, as MCP's conventions have it."""
    code = getattr(getattr(error, "error", None), "code", None)
    if isinstance(code, int):
        return str(code)
    if type(error).__name__ == "ValidationError" and type(error).__module__.startswith("pydantic"):
        return _INVALID_PARAMS
    return error_type_of(error)


def _outcome(result: object) -> tuple[Outcome, str | None]:
    """Judge a result, given as a model or in the form it has on the wire."""
    # mcp 1 wraps a server's results in a RootModel.
    result = getattr(result, "root", result)
    if isinstance(result, Mapping):
        failed, kind = result.get("isError"), result.get("resultType")
        unfinished = "task" in result
    else:
        # Not both: with fastmcp, asking mcp 2 for the name of mcp 1 is a warning.
        failed = result.is_error if hasattr(result, "is_error") else getattr(result, "isError", None)
        kind = getattr(result, "result_type", None)
        unfinished = hasattr(result, "task")
    if failed is True:
        return "failure", "tool_error"
    # An `InputRequiredResult`, a task or an extension's result: the work is not done.
    if unfinished or kind not in (None, "complete"):
        return "unknown", None
    return "success", None


def _plain(result: Any) -> object:
    """Return a result as it is on the wire, if it lets us; the caller gets it in any case."""
    try:
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)
    except Exception:  # not a model, or one whose own code fails
        return result
