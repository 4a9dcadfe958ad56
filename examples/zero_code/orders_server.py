"""An MCP server over stdio. Nothing here knows of auditing."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("orders")


@server.tool()
def find_order(order_id: str) -> str:
    """Say what was ordered."""
    return f"{order_id}: one teapot, 12.00"


@server.tool()
def refund(order_id: str, amount: int) -> str:
    """Give money back."""
    return f"{order_id}: {amount}.00 given back"


if __name__ == "__main__":
    server.run()
