"""Agents work for two people, and an assessor gets one HTML file of it.

    python3 -m uv run examples/report/main.py [-o report.html]

The tools that read are those of the real mcp-server-git, a process of its own; refunds pass a gate,
and one agent is killed in the middle of its work. The report lies beside the log, in a new
temporary folder, unless -o says where.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters, stdio_client
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import otel_audit
from otel_audit import AuditBlockedError, AuditInstrumentor, Target, acting_as, audited, gate
from otel_audit.cli import main as otel_audit_command

AUDITED_SERVER = """
from otel_audit import AuditInstrumentor
AuditInstrumentor().instrument(frameworks=["mcp"])
from mcp_server_git import main
main()
"""
REFUNDS = [("A-1027", 12), ("A-1031", 250), ("A-1044", 80), ("A-1052", 30), ("A-1058", 410), ("A-1060", 19)]


def small(call: Any) -> bool | str:
    """Say no to what a person has to decide."""
    return bool(call.arguments["amount"] <= 100) or "refunds over 100 need a person"


@gate(small, "refund.limit", target=lambda call: Target(call.arguments["order_id"], "order"))
@audited("order.refund", target=lambda call: Target(call.arguments["order_id"], "order"), capture=("amount",))
def refund(order_id: str, amount: int) -> str:
    """Pay the money back."""
    if order_id == "A-1044":
        raise TimeoutError("the bank does not answer")
    return f"{amount} EUR refunded"


@audited("mail.send", target=lambda call: Target(call.arguments["customer"], "customer"))
def send_mail(customer: str, text: str) -> str:
    """Write to a customer."""
    if customer == "nobody":
        os.kill(os.getpid(), signal.SIGKILL)
    return f"to {customer}: {text}"


def main() -> int:
    options = argparse.ArgumentParser(description="Make a report of what agents did.")
    options.add_argument("-o", "--output", type=Path, help="where the report goes")
    workspace = Path(tempfile.mkdtemp(prefix="otel-audit-"))
    log = workspace / "audit.jsonl"
    page = options.parse_args().output or workspace / "report.html"

    resource = Resource.create({"service.name": "shop"})
    trace.set_tracer_provider(TracerProvider(resource=resource))
    otel_audit.configure(log, resource=resource, propagate_actor=True, trust_baggage=True)
    AuditInstrumentor().instrument(frameworks=["mcp"])

    with acting_as("maya@example.com", type="user"), acting_as("release-agent"):
        asyncio.run(read_repository())
    with acting_as("ada@example.com", type="user"), acting_as("support-agent"):
        settle_refunds()
    killed = multiprocessing.get_context("spawn").Process(target=write_to_nobody)
    killed.start()
    killed.join()

    otel_audit.get_audit_provider().shutdown()
    status = otel_audit_command(
        ["report", str(log), "-o", str(page), "--title", "What the shop's agents did", "--force"]
    )
    print(f"log     {log}\nreport  {page}\n\nOpen the report in a browser: it checks the log there, without a network.")
    return status


async def read_repository() -> None:
    """Look at this checkout with somebody else's tools."""
    repository = str(Path(__file__).parent.parent.parent)
    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", AUDITED_SERVER, "--repository", repository],
        env={"OTEL_SERVICE_NAME": "mcp-server-git", "GIT_OPTIONAL_LOCKS": "0"},
    )
    tracer = trace.get_tracer("shop")
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        with tracer.start_as_current_span("write release notes"):
            for tool, arguments in (
                ("git_status", {}),
                ("git_log", {"max_count": 5}),
                ("git_show", {"revision": "no-such-tag"}),
            ):
                await session.call_tool(tool, {"repo_path": repository, **arguments})


def settle_refunds() -> None:
    """Refund what the gate lets through, and hand the letters to another agent."""
    tracer = trace.get_tracer("shop")
    for order_id, amount in REFUNDS:
        with tracer.start_as_current_span("settle refund"):
            try:
                refund(order_id, amount)
            except (AuditBlockedError, TimeoutError):
                continue
            with acting_as("mail-agent"):
                send_mail(f"customer of {order_id}", "You have your money back.")


def write_to_nobody() -> None:
    """Be killed in the middle of an action, in a process of its own."""
    with acting_as("ada@example.com", type="user"), acting_as("mail-agent"):
        send_mail("nobody", "Are you there?")


if __name__ == "__main__":
    sys.exit(main())
