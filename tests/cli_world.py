"""What the examples in the commands' help are about: a folder with a log, its copy, its traces, and an endpoint."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

from tests import copies, logs

TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID: Final = "00f067aa0ba90201"
_BUS: Final = "2026-11-22T09:00:00Z\tagent-1\tall\tSTATUS\tfirst\n"


class _Taker(BaseHTTPRequestHandler):
    """Takes every OTLP request."""

    def do_POST(self) -> None:
        """Say thank you."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


@contextlib.contextmanager
def endpoint() -> Iterator[str]:
    """Run an OTLP endpoint on this machine."""
    server = HTTPServer(("127.0.0.1", 0), _Taker)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_world(folder: Path) -> None:
    """Write a log of what a refund agent did just now, and what lies beside it."""
    refund = {
        "audit.actor.id": "refund-agent",
        "audit.target.id": "order-1881",
        "audit.delegation": ["user:ana", "refund-agent"],
        "audit.intent.id": logs.record_id(3),
        "audit.phase": "outcome",
    }
    members = [
        logs.opened(),
        logs.entry(2, "order.read", **{"audit.actor.id": "ben", "audit.actor.type": "user"}),
        logs.entry(3, "order.refund", **refund | {"audit.phase": "intent", "audit.arguments": {"amount": 250}}),
        logs.entry(4, "order.refund", **refund | {"audit.duration": 1.5}),
        logs.entry(5, "order.refund", **refund | {"audit.outcome": "failure", "audit.duration": 2.5}),
    ]
    now = dt.datetime.now(dt.UTC)
    for entry in members:
        entry["time"] = entry["observed_time"] = f"{now:%Y-%m-%dT%H:%M:%S}.{entry['seq']:09d}Z"
        if entry["seq"] > 1:
            entry |= {"trace_id": TRACE_ID, "span_id": SPAN_ID}
    lines = list(logs.chain(members))
    (folder / "audit.jsonl").write_bytes(logs.join(lines))
    (folder / "receipts.txt").write_text("".join(f"{seq}:{logs.hash_of(lines[seq - 1])}\n" for seq in (2, 5)))
    (folder / "logs.jsonl").write_bytes(copies.copy(lines))
    (folder / "traces.jsonl").write_bytes(logs.dump(_spans()) + b"\n")
    (folder / "bus.tsv").write_text(_BUS)
    (folder / "agent.py").write_text("print('hello')\n")


def environ(folder: Path, **more: str) -> Mapping[str, str]:
    """Return an environment in which ``otel-audit`` is this package's command."""
    command = folder / "bin" / "otel-audit"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m otel_audit "$@"\n')
    command.chmod(0o755)
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join([str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": root, **more}


def _spans() -> logs.Members:
    span = {
        "traceId": TRACE_ID, "spanId": SPAN_ID, "name": "answer",
        "startTimeUnixNano": "1795305600000000000", "endTimeUnixNano": "1795305601000000000",
    }  # fmt: skip
    resource = {"attributes": copies.key_values({"service.name": "agent"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}
