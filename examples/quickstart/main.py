"""An agent reads a git repository, and each of its tool calls becomes a sealed line.

    python3 -m uv run examples/quickstart/main.py [REPOSITORY]

The tools are those of the real mcp-server-git, a process of its own. The repository (this
checkout, if none is named) is only read. The log goes where OTEL_AUDIT_FILE says, else into a
new temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters, stdio_client
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import otel_audit
from otel_audit import AuditInstrumentor, AuditReceipt, Target, acting_as, read_log
from otel_audit.cli import main as otel_audit_command

TOOL_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("git_status", {}),
    ("git_log", {"max_count": 5}),
    ("git_show", {"revision": "no-such-tag"}),  # fails, and that is recorded, too
    ("git_branch", {"branch_type": "local"}),
]

# Somebody else's server, audited too: two lines of ours run before its own main.
AUDITED_SERVER = """
from otel_audit import AuditInstrumentor
AuditInstrumentor().instrument(frameworks=["mcp"])
from mcp_server_git import main
main()
"""

audit = otel_audit.get_audit_logger("quickstart")
tracer = trace.get_tracer("quickstart")


def main() -> int:
    options = argparse.ArgumentParser(description="See an agent's tool calls audited.")
    options.add_argument("repository", nargs="?", type=Path, help="a git repository; only read")
    workspace = Path(tempfile.mkdtemp(prefix="otel-audit-"))
    repository = find_repository(options.parse_args().repository, workspace)
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or workspace / "audit.jsonl").absolute()

    heading("An agent works, and its log grows")
    print(f"release-agent acts for maya@example.com\nrepository  {repository}\nlog         {path}\n")
    log = GrowingLog(path)

    # 1. Tracing is what it always was. Two statements switch auditing on.
    resource = Resource.create({"service.name": "quickstart"})
    trace.set_tracer_provider(TracerProvider(resource=resource))
    otel_audit.configure(path, resource=resource, propagate_actor=True, trust_baggage=True)
    AuditInstrumentor().instrument(frameworks=["mcp"])

    # 2. The agent says who it is and for whom, and works as before.
    with (
        acting_as("maya@example.com", type="user"),
        acting_as("release-agent"),
        tracer.start_as_current_span("write summary") as span,
    ):
        summary = asyncio.run(read_repository(repository, log))
        receipt = write_summary(workspace / "summary.txt", summary)
        log.show_new_entries()
    print(f"\nTwo processes, one chain, one trace: {span.get_span_context().trace_id:032x}")

    # 3. Anybody who has the file can check it.
    heading("The log is checked")
    verify(path, "--anchor", str(receipt))

    # 4. On copies: what tampering looks like.
    heading("In a copy, one byte is changed: git_show becomes gut_show")
    verify(copy_with_one_byte_changed(path, workspace / "changed.jsonl"))
    heading("In a copy, the last line is dropped: the agent's receipt tells")
    verify(copy_without_last_line(path, workspace / "shortened.jsonl"), "--anchor", str(receipt))

    heading("Try next")
    log_file = shlex.quote(str(path))
    print(f"python3 -m uv run otel-audit show {log_file}")
    print(f"python3 -m uv run otel-audit verify {log_file} \\\n    --anchor {receipt}")
    print(f"sed -n {receipt.seq}p {log_file} | head -c -76 | sha256sum  # the same hash")
    return 0


async def read_repository(repository: Path, log: GrowingLog) -> str:
    """Call the tools, and return what they said."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", AUDITED_SERVER, "--repository", str(repository)],
        # Without the lock, `git status` leaves the repository's index as it is.
        env={"OTEL_SERVICE_NAME": "mcp-server-git", "GIT_OPTIONAL_LOCKS": "0"},
    )
    answers = []
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        for tool, arguments in TOOL_CALLS:
            with tracer.start_as_current_span(tool):
                result = await session.call_tool(tool, {"repo_path": str(repository), **arguments})
            answers += [part.text for part in result.content if part.type == "text"]
            log.show_new_entries()
    return "\n\n".join(answers)


def write_summary(path: Path, text: str) -> AuditReceipt:
    """Write what the agent was asked for; the receipt is proof of the whole log up to here."""
    path.write_text(text, encoding="utf-8")
    return audit.emit("file.write", action="WRITE", target=Target(str(path), "file"))


class GrowingLog:
    """Prints each entry, once, as it comes into the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = sum(1 for _ in read_log(path)) if path.exists() else 0
        print("  seq  process         phase    outcome  target            actor           trace")

    def show_new_entries(self) -> None:
        """Print what has come since the last time."""
        for entry in read_log(self.path):
            if entry.seq <= self.shown:
                continue
            self.shown = entry.seq
            attributes = entry.attributes
            target = Path(str(attributes.get("audit.target.id", entry.event_name))).name
            print(
                f"{entry.seq:>5}",
                f" {entry.resource['service.name']:<14}",
                f" {attributes.get('audit.phase', ''):<7}",
                f" {attributes['audit.outcome']:<7}",
                f" {target:<16}",
                f" {attributes['audit.actor.id']:<14}",
                f" {(entry.trace_id or '-')[:8]}",
            )


def verify(path: Path, *options: str) -> None:
    """Run ``otel-audit verify`` and print what it says, folders and hashes shortened."""
    said = StringIO()
    with redirect_stdout(said):
        print("$ otel-audit verify", path, *options)
        status = otel_audit_command(["verify", str(path), *options])
        print(f"exit status {status}")
    short = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1…", said.getvalue().replace(f"{path.parent}/", ""))
    for line in short.splitlines():
        print(textwrap.fill(line, width=88, subsequent_indent="    ", break_on_hyphens=False))


def copy_with_one_byte_changed(log: Path, copy: Path) -> Path:
    """Copy the log, and make the failed call one of another tool."""
    data = log.read_bytes()
    failed = data.rindex(b'"tool_error"')
    name = data.rindex(b"git_show", 0, data.index(b"\n", failed))
    copy.write_bytes(data[:name] + b"gut_show" + data[name + len(b"git_show") :])
    return copy


def copy_without_last_line(log: Path, copy: Path) -> Path:
    """Copy the log, and leave its last line out."""
    lines = log.read_bytes().split(b"\n")
    copy.write_bytes(b"\n".join(lines[:-2]) + b"\n")
    return copy


def find_repository(named: Path | None, workspace: Path) -> Path:
    """Return the repository's top folder: the one named, else this checkout, else a new one."""
    if shutil.which("git") is None:
        sys.exit("this example needs git")
    folder = named or Path(__file__).parent
    try:
        return Path(git(folder, "rev-parse", "--show-toplevel"))
    except (OSError, subprocess.CalledProcessError):
        if named is not None:
            sys.exit(f"expected a git repository, got {named}")
    made = workspace / "repository"
    made.mkdir()
    (made / "README").write_text("A repository to look at.\n", encoding="utf-8")
    git(made, "init")
    git(made, "add", "README")
    identity = ["-c", "user.name=Maya", "-c", "user.email=maya@example.com"]
    git(made, *identity, "-c", "commit.gpgsign=false", "commit", "-m", "Say what this is")
    return made


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}\n")


if __name__ == "__main__":
    sys.exit(main())
