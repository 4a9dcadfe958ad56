"""Claude Agent SDK: sessions with the Claude Code command line, a process of its own.

That process asks the model and runs most tools; it asks this one before and after each tool call
(hooks), before what needs a permission, and for the tools that run here (in-process MCP servers). What
is audited hangs on those questions: every session is a `Query` of the SDK, which is given hooks
of ours beside the program's. That a tool of the other process does not run where its intent could not be written
rests on that process, which is answered ``deny``. A tool that runs here is refused here.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import wrapt

from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.claude_agent_sdk.decision import Decisions
from otel_audit.instrument.frameworks.claude_agent_sdk.message import Messages
from otel_audit.instrument.frameworks.claude_agent_sdk.run import Runs, beginning
from otel_audit.instrument.frameworks.claude_agent_sdk.session import Session
from otel_audit.instrument.patch import wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "claude-agent-sdk"
MODULE: Final = "claude_agent_sdk"
VERSIONS: Final = ">=0.2.187,<0.3"


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit the sessions that are connected from now on.

    Raises:
        AuditConfigError: This version of the SDK lacks something that is wrapped.
    """
    auditor = Auditor(logger, settings)
    sessions = _Sessions(auditor)
    undo.callback(sessions.stop)
    query: Any = import_module("claude_agent_sdk._internal.query").Query
    undo.callback(wrap(query, "__init__", sessions.make))
    undo.callback(wrap(query, "_handle_sdk_mcp_request", sessions.serve))
    undo.callback(wrap(query, "close", sessions.close))
    runs = Runs(auditor, sessions.of)
    internal: Any = import_module("claude_agent_sdk._internal.client").InternalClient
    undo.callback(wrap(internal, "process_query", runs.stream))
    client: Any = import_module("claude_agent_sdk").ClaudeSDKClient
    undo.callback(wrap(client, "connect", runs.connect))
    undo.callback(wrap(client, "query", runs.ask))


class _Sessions:
    """The sessions that are audited."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self._of: WeakKeyDictionary[object, Session] = WeakKeyDictionary()

    def of(self, query: object) -> Session | None:
        """Return what is known of the session of a `Query`."""
        return None if query is None else self._of.get(query)

    def stop(self) -> None:
        """Let the sessions that there are go on unaudited."""
        for session in list(self._of.values()):
            session.is_audited = False

    def make(self, wrapped: Callable[..., None], query: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Make a session, with hooks of ours and ears on what comes in."""
        given = inspect.signature(wrapped).bind(*args, **kwargs).arguments
        session = Session(self._auditor, beginning())
        decisions = Decisions(self._auditor, session)
        hooks = {
            event: list(map(decisions.of_matcher(event), ones)) for event, ones in (given.get("hooks") or {}).items()
        }
        for event, matcher in session.hooks().items():
            hooks.setdefault(event, []).append(matcher)
        given["hooks"] = hooks
        if given.get("can_use_tool") is not None:
            given["can_use_tool"] = decisions.of_permission(given["can_use_tool"])
        given["transport"] = _Heard(given["transport"], session, Messages(self._auditor, session))
        wrapped(**given)
        self._of[query] = session

    async def serve(
        self, wrapped: Callable[..., Awaitable[Any]], query: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Serve a message to an MCP server of this process."""
        session = self.of(query)
        if session is None or not session.is_audited:
            return await wrapped(*args, **kwargs)
        given = inspect.signature(wrapped).bind(*args, **kwargs).arguments
        return await session.serve(given["server_name"], given["message"], lambda: wrapped(*args, **kwargs))

    async def close(
        self, wrapped: Callable[..., Awaitable[Any]], query: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Close a session, and what it left open."""
        try:
            return await wrapped(*args, **kwargs)
        finally:
            session = self.of(query)
            if session is not None:
                session.close()


if TYPE_CHECKING:
    _Proxy = wrapt.ObjectProxy[Any]
else:  # wrapt 1 takes no parameter
    _Proxy = wrapt.ObjectProxy


class _Heard(_Proxy):
    """A transport, all of whose incoming messages are heard first."""

    def __init__(self, transport: Any, session: Session, messages: Messages) -> None:
        super().__init__(transport)
        self._self_session = session
        self._self_messages = messages

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the messages of the other process."""
        incoming = self.__wrapped__.read_messages()
        try:
            async for message in incoming:
                await self._self_messages.hear(message)
                yield message
        except Exception as raised:
            self._self_session.fail(raised)
            raise
        finally:
            if hasattr(incoming, "aclose"):
                await incoming.aclose()
