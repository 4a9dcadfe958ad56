"""An MCP server whose tools tell on their audit log, audited on its own side: over stdio, or HTTP with a port."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_audit import AuditInstrumentor

if TYPE_CHECKING:
    McpServer = Any
else:
    try:
        from mcp.server.mcpserver import MCPServer as McpServer
    except ModuleNotFoundError:
        from mcp.server.fastmcp import FastMCP as McpServer

if "NOTES_MAX_FILE_BYTES" in os.environ:
    # To the log, a disk that is full.
    limit = int(os.environ["NOTES_MAX_FILE_BYTES"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

AuditInstrumentor().instrument(frameworks=["mcp"])
HTTP = {"port": int(sys.argv[1])} if len(sys.argv) > 1 else {}
MCP_1 = McpServer.__name__ == "FastMCP"
server = McpServer("notes", **(HTTP if MCP_1 else {}))


@server.tool()
def write_note(path: str, text: str) -> str:
    """Do something that can be seen."""
    Path(path).write_text(text, encoding="utf-8")
    return f"wrote {text}"


@server.tool()
def last_line_of_log() -> str:
    """Return what the log ends with while the tool runs."""
    return Path(os.environ["OTEL_AUDIT_FILE"]).read_text(encoding="utf-8").splitlines()[-1]


@server.tool()
def environment() -> dict[str, str]:
    """Return what the server was started with."""
    return dict(os.environ)


@server.tool()
def fail(message: str) -> str:
    """Fail as a tool of somebody else's does."""
    raise ValueError(message)


@server.tool()
def sleep(seconds: float) -> str:
    """Take time."""
    time.sleep(seconds)
    return "slept"


@server.resource("note://{name}")
def note(name: str) -> str:
    """Be a resource."""
    return f"the note {name}"


@server.prompt()
def greeting(name: str) -> str:
    """Be a prompt."""
    return f"Greet {name}."


if __name__ == "__main__":
    if HTTP:
        server.run(transport="streamable-http", **({} if MCP_1 else HTTP))
    else:
        server.run()
