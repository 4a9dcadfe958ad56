"""An agent that writes release notes: with the tools of mcp-server-git, a process of its own, and a tool of its own.

main.py starts it under ``opentelemetry-instrument``: where its log and its spans go, variables say. The model is a
script, so that it runs offline.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters, stdio_client
from opentelemetry import trace

from otel_audit import acting_as, audited

SCRIPT: list[tuple[str, dict[str, Any]]] = [
    ("git_status", {}),
    ("git_log", {"max_count": 5}),
    ("git_show", {"revision": "no-such-tag"}),  # fails, and that is recorded, too
]
THINKING_SECONDS = 0.3
"""What a model would take, at the least."""

tracer = trace.get_tracer("release-agent")


@audited("file.write", action="WRITE", target=lambda call: str(call.arguments["path"]))
def write_notes(path: Path, text: str) -> None:
    """Write what the agent was asked for."""
    path.write_text(text, encoding="utf-8")


async def main(repository: str) -> None:
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_server_git", "--repository", repository],
        env={**os.environ, "OTEL_SERVICE_NAME": "mcp-server-git"},  # the same log, the same endpoint
    )
    answers = []
    with (
        acting_as("maya@example.com", type="user"),
        acting_as("release-agent"),
        tracer.start_as_current_span("write release notes"),
    ):
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            await session.initialize()
            for tool, arguments in SCRIPT:
                await asyncio.sleep(THINKING_SECONDS)
                result = await session.call_tool(tool, {"repo_path": repository, **arguments})
                answers += [part.text for part in result.content if part.type == "text"]
        write_notes(Path("notes.txt"), "\n\n".join(answers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
