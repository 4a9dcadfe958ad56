"""An agent works in two processes, and collectors carry its log and its spans to a gateway while it does.

    python3 -m uv run examples/collector/main.py [FOLDER]

Runs the collector that collector-config/build builds (once, some minutes, with Go), with collector-config's own
gateway.yaml and tail.yaml. All files go to FOLDER, else to a new temporary folder; all ports are free ones of the
loopback; every process is ended before this one ends.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

from otel_audit import read_log
from otel_audit.cli import main as otel_audit_command

HERE = Path(__file__).absolute().parent
CONFIGURATIONS = HERE.parents[1] / "collector-config"
SCRIPTS = Path(sys.executable).parent
DEADLINE_SECONDS = 60

LOG, COPY, SPANS = "audit.jsonl", "gateway/copy/logs.jsonl", "gateway/copy/traces.jsonl"
COPIED_SEQ = re.compile(rb'"audit\.sequence\.number","value":\{"intValue":"([0-9]+)"')

stopping = threading.Event()
"""Set by Ctrl-C. An exception could come between the start of a process and the note that it has to be ended."""


class StoppedError(Exception):
    """Ctrl-C, or SIGTERM."""


def main() -> int:
    options = argparse.ArgumentParser(description="See an agent's log carried away by OpenTelemetry collectors.")
    options.add_argument("folder", nargs="?", type=Path, help="where files go (default: a new temporary folder)")
    named = options.parse_args().folder
    if shutil.which("git") is None:
        sys.exit("this example needs git")
    folder = Path(named or tempfile.mkdtemp(prefix="otel-audit-")).absolute()
    for each in (SIGINT, SIGTERM):
        signal.signal(each, lambda *_: stopping.set())
    try:
        with ExitStack() as stack:
            work(stack, folder)
    except StoppedError:
        print("\nstopped; all processes are ended", file=sys.stderr)
        return 130
    print(f"\nAll processes are ended; the files are in {folder}")
    return 0


def work(stack: ExitStack, folder: Path) -> None:
    """Show it all; the stack ends the processes."""
    otelcol = build_collector(stack)
    repository = make_repository(folder / "repository")

    heading("A gateway and a tail collector run; the tail reads the agent's log as it grows")
    listen = start_collectors(stack, otelcol, folder)
    print(f"folder   {folder}\ngateway  {listen}, its copy is {COPY}\n")

    # 1. The agent and its tool server know nothing of collectors: variables say where log and spans go.
    print("An agent works, for maya@example.com, with the tools of mcp-server-git:\n")
    agent = start_agent(stack, folder, listen, repository)
    watch_the_copy_grow(agent, folder)

    with chdir(folder):
        # 2. Is the copy whole, and is it what was written?
        heading("The log is compared with the copy: each entry, each member, each hash")
        run("reconcile", LOG, COPY)
        heading("The log is verified, with the copy as the proof of its end")
        run("verify", LOG, "--anchor-copy", COPY)
        heading("What the copy is good for: in a file without the last three lines, only the copy tells")
        Path("cut.jsonl").write_bytes(b"".join(Path(LOG).read_bytes().splitlines(keepends=True)[:-3]))
        run("verify", "cut.jsonl")
        run("verify", "cut.jsonl", "--anchor-copy", COPY)

        # 3. Spans and entries of both processes have one trace id.
        heading("One trace of two processes: their spans, from the gateway, and their lines, from the log")
        trace_id = [entry.trace_id for entry in read_log(LOG) if entry.trace_id is not None][-1]
        run("trace", trace_id, LOG, "--spans", SPANS)


def build_collector(stack: ExitStack) -> Path:
    """Return the collector, built if it is not there yet."""
    build = start(stack, [str(CONFIGURATIONS / "build")], {}, SIGTERM, stdout=subprocess.PIPE)
    for turn in turns(3600):
        if build.poll() is not None:
            break
        if turn == 20:
            print("The collector is built, once; that takes some minutes.", flush=True)
    path, _ = build.communicate()
    if build.returncode != 0:
        sys.exit("this example needs the OpenTelemetry Collector, and Go to build it: see above")
    return Path(path.decode().strip())


def start_collectors(stack: ExitStack, otelcol: Path, folder: Path) -> str:
    """Start gateway and tail, wait until both are healthy, and return where the gateway takes OTLP."""
    listen = f"127.0.0.1:{free_port()}"
    gateway = {"OTEL_AUDIT_LISTEN": listen, "OTEL_AUDIT_LISTEN_HTTP": f"127.0.0.1:{free_port()}"}
    gateway["OTEL_AUDIT_COPY_DIR"] = str(folder / COPY.rpartition("/")[0])
    tail = {"OTEL_AUDIT_GATEWAY": listen, "OTEL_AUDIT_FILES": str(folder / "audit*.jsonl")}
    # `run-tail` ends its collector by SIGKILL: collector-config/README.md says why.
    for name, command, environ, how in (
        ("gateway", [otelcol], gateway, SIGTERM),
        ("tail", [CONFIGURATIONS / "run-tail", otelcol], tail, SIGTERM),
    ):
        health = free_port()
        environ |= {
            "OTEL_AUDIT_HEALTH": f"127.0.0.1:{health}",
            "OTEL_AUDIT_METRICS_PORT": str(free_port()),
            "OTEL_AUDIT_STATE_DIR": str(folder / name / "state"),
        }
        (folder / name).mkdir(parents=True, exist_ok=True)
        said = stack.enter_context((folder / name / "collector.log").open("ab"))
        process = start(
            stack,
            [*map(str, command), "--config", str(CONFIGURATIONS / f"{name}.yaml")],
            environ,
            how,
            stdout=said,
            stderr=said,
        )
        for _ in turns():
            if process.poll() is not None:
                sys.exit(f"the {name} ended: see {said.name}")
            if is_healthy(health):
                break
    return listen


def start_agent(stack: ExitStack, folder: Path, gateway: str, repository: Path) -> subprocess.Popen[bytes]:
    """Start the agent under ``opentelemetry-instrument``; it starts the tool server."""
    environ = {
        "OTEL_SERVICE_NAME": "release-agent",
        # the log: of both processes, and each line names the actor
        "OTEL_AUDIT_FILE": str(folder / LOG),
        "OTEL_AUDIT_PROPAGATE_ACTOR": "true",
        "OTEL_AUDIT_TRUST_BAGGAGE": "true",
        # spans: to the gateway, by OTLP
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{gateway}",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    command = [str(SCRIPTS / "opentelemetry-instrument"), sys.executable, str(HERE / "agent.py"), str(repository)]
    return start(stack, command, environ, SIGTERM, cwd=folder, stderr=subprocess.PIPE)


def watch_the_copy_grow(agent: subprocess.Popen[bytes], folder: Path) -> None:
    """Print both counts whenever the copy has grown, until the agent has ended and its last line is in the copy."""
    print("  lines in the log   entries in the copy")
    shown = 0
    for _ in turns():
        over = agent.poll() is not None
        log, copy = (path.read_bytes() if path.exists() else b"" for path in (folder / LOG, folder / COPY))
        written, copied = log.count(b"\n"), len(set(COPIED_SEQ.findall(copy)))
        if copied != shown:
            print(f"{written:>18}{copied:>22}", flush=True)
            shown = copied
        if over and (agent.returncode != 0 or copied == written):
            break
    _, said = agent.communicate()
    if agent.returncode != 0:
        sys.exit(f"the agent failed:\n{said.decode()}")


def run(*arguments: str) -> None:
    """Run ``otel-audit`` and print what it says, hashes shortened."""
    said = StringIO()
    with redirect_stdout(said):
        print("$ otel-audit", *arguments)
        status = otel_audit_command(list(arguments))
    for line in re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1…", said.getvalue()).splitlines():
        print(textwrap.fill(line, 100, subsequent_indent="    ", break_on_hyphens=False))
    print(f"exit status {status}")


def start(
    stack: ExitStack, command: list[str], environ: dict[str, str], how: Signals, **more: object
) -> subprocess.Popen[bytes]:
    """Start a process, in a group of its own, which Ctrl-C does not reach, and note how it is to be ended.

    Of the machine's own settings of OpenTelemetry it sees none.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | environ
    process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
        command, env=ours, stdin=subprocess.DEVNULL, start_new_session=True, **more
    )
    stack.callback(end, process, how)
    return process


def end(process: subprocess.Popen[bytes], how: Signals) -> None:
    """End a process and its group, and wait until nobody holds its pipe any more: the tool server has the agent's."""
    for signal_number in (how, SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10)
            return


def turns(seconds: float = DEADLINE_SECONDS) -> Iterator[int]:
    """Yield until the caller has what it waits for, or somebody asks to stop."""
    deadline = time.monotonic() + seconds
    for turn in range(sys.maxsize):
        yield turn
        if stopping.wait(0.05):
            raise StoppedError
        if time.monotonic() > deadline:
            sys.exit(f"expected an event within {seconds} s, got none")


def is_healthy(port: int) -> bool:
    """Whether a collector says that it is ready."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def make_repository(folder: Path) -> Path:
    """Make a small git repository, which the agent reads, unless it is there."""
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "README").write_text("A repository to look at.\n", encoding="utf-8")
        identity = ("-c", "user.name=Maya", "-c", "user.email=maya@example.com", "-c", "commit.gpgsign=false")
        for command in (("init", "-q"), ("add", "README"), (*identity, "commit", "-q", "-m", "Say what this is")):
            subprocess.run(["git", "-C", folder, *command], check=True, start_new_session=True)
    return folder


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}\n")


if __name__ == "__main__":
    sys.exit(main())
