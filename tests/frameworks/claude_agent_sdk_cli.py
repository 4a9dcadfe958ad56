"""A stand-in for the Claude Code command line: it speaks the control protocol, and asks a script instead of a model.

A transport, as the SDK takes one: it asks the SDK's hooks before and after each tool call, honours
what they answer, asks for permissions, and has in-process servers run their tools.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, Transport, query

from otel_audit import AuditInstrumentor
from otel_audit.testing import CapturedAudit

Say = str | list[tuple[str, str, dict[str, Any]]]
"""What the model says: a text, or tool calls: name, id and input."""


class CLI(Transport):  # type: ignore[misc]
    """One session.

    Args:
        turn: Says what the model says now; what it raises ends the run as an error.
        tools: Those of the command line, by name; any other is one of an in-process server.
        sub_agents: What the model says as a sub-agent, by the sub-agent's name.
        ask: Names of tools that need a permission.
        hooks: Whether it knows of hooks at all, and of ``onFailure``.
    """

    def __init__(
        self,
        turn: Callable[[], Say],
        tools: Mapping[str, Callable[..., Any]] | None = None,
        sub_agents: Mapping[str, Callable[[], Say]] | None = None,
        ask: tuple[str, ...] = (),
        *,
        hooks: bool = True,
    ) -> None:
        self.turn = turn
        self.tools = dict(tools or {})
        self.sub_agents = dict(sub_agents or {})
        self.ask = ask
        self.honours_hooks = hooks
        self.hooks: dict[str, list[dict[str, Any]]] = {}
        self.closed = False
        self.begun = False
        self.ended = asyncio.Event()
        self.denials: list[dict[str, Any]] = []
        self._out: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._greeted: set[str] = set()

    async def connect(self) -> None:
        """Begin."""
        self.begun = True

    async def write(self, data: str) -> None:
        """Take a line from the SDK."""
        for line in data.splitlines():
            message = json.loads(line)
            if message["type"] == "control_response":
                response = message["response"]
                self._answers.pop(response["request_id"]).set_result(response)
            elif message["type"] == "control_request":
                self._serve(message["request_id"], message["request"])
            else:
                task = asyncio.create_task(self._run())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _serve(self, request_id: str, request: dict[str, Any]) -> None:
        answer: dict[str, Any] = {}
        if request["subtype"] == "initialize":
            self.hooks = request["hooks"] or {}
            answer = {"hook_on_failure_supported": True} if self.honours_hooks else {}
        response = {"subtype": "success", "request_id": request_id, "response": answer}
        self._out.put_nowait({"type": "control_response", "response": response})

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what is said to the SDK."""
        while (message := await self._out.get()) is not None:
            yield message

    async def end_input(self) -> None:
        """Wait for the runs under way, then end the output."""

        async def end() -> None:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._out.put_nowait(None)

        self._ending = asyncio.create_task(end())

    async def close(self) -> None:
        """Stop."""
        self.closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "_ending"):
            await self._ending
        self._out.put_nowait(None)
        self.ended.set()

    def is_ready(self) -> bool:
        """It always is."""
        return not self.closed

    async def _run(self) -> None:
        self._out.put_nowait({"type": "system", "subtype": "init", "session_id": "session-1"})
        result: dict[str, Any] = {"subtype": "success", "is_error": False, "result": "done"}
        try:
            result["result"] = await self._think(self.turn, {}, None)
        except Exception as raised:
            result = {"subtype": "error_during_execution", "is_error": True, "errors": [str(raised)]}
        frame = {"type": "result", "duration_ms": 1, "duration_api_ms": 1, "num_turns": 1, "session_id": "session-1"}
        self._out.put_nowait({**frame, **result, "permission_denials": self.denials})

    async def _think(self, turn: Callable[[], Say], of: dict[str, Any], parent: str | None) -> str:
        while True:
            said = turn()
            blocks: list[dict[str, Any]]
            if isinstance(said, str):
                blocks = [{"type": "text", "text": said}]
            else:
                blocks = [{"type": "tool_use", "id": i, "name": name, "input": given} for name, i, given in said]
            message_id = f"msg-{next(self._ids)}"
            for number, block in enumerate(blocks, 1):  # a message for each block, as the command line has it
                usage = {"input_tokens": 7, "output_tokens": 3 if number == len(blocks) else 1}
                message = {"id": message_id, "model": "scripted-1", "content": [block], "usage": usage}
                self._say({"type": "assistant", "message": {**message, "stop_reason": "end_turn"}}, parent)
            if isinstance(said, str):
                return said
            results = await asyncio.gather(*(self._call(*call, of) for call in said))
            for block in results:
                self._say({"type": "user", "message": {"role": "user", "content": [block]}}, parent)

    def _say(self, message: dict[str, Any], parent: str | None) -> None:
        self._out.put_nowait({**message, "parent_tool_use_id": parent, "session_id": "session-1"})

    async def _call(self, name: str, call_id: str, given: dict[str, Any], of: dict[str, Any]) -> dict[str, Any]:
        about = {"tool_name": name, "tool_input": given, "tool_use_id": call_id, **of}
        block = {"type": "tool_result", "tool_use_id": call_id, "is_error": True, "content": "denied"}
        if not (await self._hook("PreToolUse", about, call_id) and await self._permitted(name, call_id, given)):
            self.denials.append({"tool_name": name, "tool_use_id": call_id, "tool_input": given})
            return block
        try:
            content = await self._do(name, call_id, given)
        except Exception as raised:
            await self._hook("PostToolUseFailure", {**about, "error": str(raised)}, call_id)
            return {**block, "content": str(raised)}
        await self._hook("PostToolUse", {**about, "tool_response": content}, call_id)
        return {**block, "is_error": False, "content": str(content)}

    async def _do(self, name: str, call_id: str, given: dict[str, Any]) -> Any:
        if name == "Agent":
            agent = {"agent_id": f"agent-{call_id}", "agent_type": given["subagent_type"]}
            if not await self._hook("SubagentStart", agent, None):
                raise RuntimeError("denied")
            said = await self._think(self.sub_agents[given["subagent_type"]], agent, call_id)
            await self._hook("SubagentStop", agent, None)
            return said
        if name in self.tools:
            result = self.tools[name](**given)
            return await result if inspect.isawaitable(result) else result
        _, server, tool = name.split("__")
        answer = await self.of_server(server, tool, given)
        if "error" in answer or answer["result"].get("isError"):
            raise RuntimeError(json.dumps(answer))
        return answer["result"]["content"]

    async def of_server(self, server: str, tool: str, given: dict[str, Any]) -> dict[str, Any]:
        """Have an in-process server run a tool."""
        if server not in self._greeted:
            self._greeted.add(server)
            info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "cli", "version": "1"}}
            await self._mcp(server, {"id": next(self._ids), "method": "initialize", "params": info})
            await self._mcp(server, {"method": "notifications/initialized"})
        params = {"name": tool, "arguments": given}
        return await self._mcp(server, {"id": next(self._ids), "method": "tools/call", "params": params})

    async def _mcp(self, server: str, message: dict[str, Any]) -> dict[str, Any]:
        request = {"subtype": "mcp_message", "server_name": server, "message": {"jsonrpc": "2.0", **message}}
        answer: dict[str, Any] = (await self._request(request))["response"]["mcp_response"]
        return answer

    async def _permitted(self, name: str, call_id: str, given: dict[str, Any]) -> bool:
        if name not in self.ask:
            return True
        request = {"subtype": "can_use_tool", "tool_name": name, "input": given, "tool_use_id": call_id}
        answer = await self._request(request)
        return bool(answer["subtype"] == "success" and answer["response"]["behavior"] == "allow")

    async def _hook(self, event: str, data: dict[str, Any], call_id: str | None) -> bool:
        """Ask all hooks at once; return whether none of them stands against it."""
        asked = [
            (matcher, {"subtype": "hook_callback", "callback_id": callback_id, "tool_use_id": call_id})
            for matcher in (self.hooks.get(event, ()) if self.honours_hooks else ())
            if re.fullmatch(matcher["matcher"] or ".*", str(data.get("tool_name")))
            for callback_id in matcher["hookCallbackIds"]
        ]
        given = {"hook_event_name": event, "session_id": "session-1", "transcript_path": "", "cwd": "", **data}
        answers = await asyncio.gather(*(self._request({**request, "input": given}) for _, request in asked))
        return not any(
            (answer["subtype"] == "error" and matcher.get("onFailure") == "block")
            or (answer.get("response") or {}).get("hookSpecificOutput", {}).get("permissionDecision") == "deny"
            for (matcher, _), answer in zip(asked, answers, strict=True)
        )

    async def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        request_id = f"cli-{next(self._ids)}"
        self._answers[request_id] = asyncio.get_running_loop().create_future()
        self._out.put_nowait({"type": "control_request", "request_id": request_id, "request": request})
        return await self._answers[request_id]


def scripted(*turns: Say | Exception) -> Callable[[], Say]:
    """Return what says these turns in order, and then ``done``."""
    left = list(turns)

    def turn() -> Say:
        said = left.pop(0) if left else "done"
        if isinstance(said, Exception):
            raise said
        return said

    return turn


async def messages(
    cli: CLI, options: ClaudeAgentOptions | None = None, prompt: str = "go"
) -> AsyncGenerator[Any, None]:
    """Yield the messages of a session; closed early, wait until the SDK has closed it, which it does in a task."""
    stream = query(prompt=prompt, options=options, transport=cli)
    try:
        async for message in stream:
            yield message
    finally:
        await stream.aclose()
        if cli.begun:
            await cli.ended.wait()
            await asyncio.sleep(0)


async def ask(cli: CLI, options: ClaudeAgentOptions | None = None, prompt: str = "go") -> str:
    """Run a session to its end, and return its answer."""
    answer = ""
    async for message in query(prompt=prompt, options=options, transport=cli):
        if isinstance(message, ResultMessage):
            answer = str(message.result)
    return answer


@contextlib.contextmanager
def instrumented(**settings: Any) -> Any:
    """Audit the SDK meanwhile."""
    AuditInstrumentor().instrument(frameworks=["claude_agent_sdk"], **settings)
    try:
        yield
    finally:
        AuditInstrumentor().uninstrument()


def told(log: CapturedAudit, event: str = "") -> list[tuple[Any, ...]]:
    """Return of each entry the end of the event's name, target, phase, and outcome or decision."""
    return [
        (
            entry.event_name.removeprefix("gen_ai."),
            entry.attributes.get("audit.target.id"),
            entry.attributes.get("audit.phase"),
            entry.attributes.get("audit.decision") or entry.attributes["audit.outcome"],
        )
        for entry in log.entries
        if event in entry.event_name
    ]
