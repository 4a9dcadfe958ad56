"""Cells of a notebook, in a real kernel."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat  # type: ignore[import-not-found]  # not installed where the types are checked
import pytest
from jupyter_client.manager import KernelManager  # type: ignore[import-not-found]

from otel_audit import read_log, verify_log
from tests.frameworks.zero_code import environment, run

PATIENCE_SECONDS = 60

SET_UP = """
import otel_audit
from otel_audit import AuditInstrumentor, audited
otel_audit.configure("audit.jsonl")
AuditInstrumentor().instrument(frameworks=["mcp"])
audit = otel_audit.get_audit_logger("notebook")
"""


class Kernel:
    """A kernel in a folder of its own, without any setting of ours."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.jsonl"
        self.manager: Any = KernelManager(kernel_name="python3")
        variables = {name: value for name, value in environment().items() if not name.startswith("OTEL_")}
        home = {"HOME": str(folder), "IPYTHONDIR": str(folder / "ipython"), "OTEL_SERVICE_NAME": "notebook"}
        self.manager.start_kernel(cwd=str(folder), env=variables | home)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_SECONDS)

    def begin(self, code: str) -> str:
        """Begin to run a cell that prints something first, and wait for that (`begun`); return the request's id."""
        request = str(self.client.execute(code))
        while (message := self._message(request))["msg_type"] != "stream":
            pass
        self.begun = str(message["content"]["text"])
        return request

    def end(self, request: str) -> tuple[str, str]:
        """Wait until a cell has run; return what it printed, and its error."""
        printed, error = "", ""
        while True:
            message = self._message(request)
            content = message["content"]
            if message["msg_type"] == "stream":
                printed += content["text"]
            elif message["msg_type"] == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return printed, error

    def run(self, code: str) -> tuple[str, str]:
        """Run a cell; return what it printed, and its error."""
        return self.end(str(self.client.execute(code)))

    def _message(self, request: str) -> dict[str, Any]:
        while True:
            try:
                message: dict[str, Any] = self.client.get_iopub_msg(timeout=PATIENCE_SECONDS)
            except Empty:
                pytest.fail("the kernel says nothing")
            if message["parent_header"].get("msg_id") == request:
                return message

    def restart(self, *, now: bool) -> None:
        """Restart the kernel, as the menu does, or by SIGKILL."""
        self.manager.restart_kernel(now=now)
        self.client.wait_for_ready(timeout=PATIENCE_SECONDS)

    def shut_down(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel that is shut down when the test is over; its log verifies then."""
    kernel = Kernel(tmp_path)
    yield kernel
    kernel.shut_down()
    assert verify_log(kernel.path).intact


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a log, so that every append waits."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def events(path: Path) -> list[str]:
    """Return the names of the events in a log."""
    return [entry.event_name for entry in read_log(path)]


class TestSetUp:
    def test_can_be_run_again(self, kernel: Kernel) -> None:
        """A cell that configures and instrumments can be run again; the log is opened once."""
        assert [kernel.run(SET_UP) for _ in range(3)] == [("", "")] * 3
        assert kernel.run("_ = audit.emit('step')") == ("", "")
        assert events(kernel.path) == ["audit.log.opened", "step"]

    def test_with_other_settings_is_an_error(self, kernel: Kernel) -> None:
        """A cell that is edited and run again is told that the settings are others, and what to do; the first hold."""
        kernel.run(SET_UP)
        _, error = kernel.run("otel_audit.configure('other.jsonl')")
        assert error.startswith("AuditConfigError: auditing is configured already, with other settings, at ")
        assert error.endswith("; call shutdown() on its provider first")
        _, error = kernel.run("AuditInstrumentor().instrument(frameworks=['mcp'], capture=['order'])")
        assert error.startswith("AuditConfigError: already instrumented: expected ")
        assert error.endswith("; call uninstrument() first")
        assert kernel.run("_ = audit.emit('step')") == ("", "")
        assert events(kernel.path) == ["audit.log.opened", "step"]

    def test_with_other_settings_after_the_remedy(self, kernel: Kernel) -> None:
        """What the errors say to do works: shut down, uninstrument, and begin again in another log."""
        kernel.run(SET_UP)
        kernel.run("otel_audit.get_audit_provider().shutdown(); AuditInstrumentor().uninstrument()")
        again = SET_UP.replace("audit.jsonl", "other.jsonl").replace("['mcp']", "['mcp'], capture=['order']")
        assert kernel.run(again) == ("", "")
        kernel.run("_ = audit.emit('step')")
        assert events(kernel.path) == ["audit.log.opened", "audit.log.closed"]
        assert events(kernel.path.with_name("other.jsonl")) == ["audit.log.opened", "step"]


class TestCells:
    def test_functions_of_cells_are_audited(self, kernel: Kernel) -> None:
        """A decorated function of a cell is audited, and again when the cell is run again."""
        kernel.run(SET_UP)
        for result in ("1", "2"):
            cell = f"@audited('refund')\ndef refund(order):\n    return {result}\nprint(refund(7))"
            assert kernel.run(cell) == (f"{result}\n", "")
        assert events(kernel.path)[1:] == ["refund"] * 4

    def test_top_level_await(self, kernel: Kernel) -> None:
        """A cell awaits ``aemit``, alone and many at once, and an audited coroutine."""
        kernel.run(SET_UP)
        cell = """
import asyncio
receipt = await audit.aemit("one")
receipts = await asyncio.gather(*(audit.aemit("many") for _ in range(20)))
@audited("later")
async def later():
    await asyncio.sleep(0)
    return [receipt.seq for receipt in receipts]
print(receipt.seq, await later())
"""
        assert kernel.run(cell) == (f"2 {list(range(3, 23))}\n", "")
        assert events(kernel.path)[1:] == ["one", *["many"] * 20, "later", "later"]


class TestInterrupt:
    @pytest.mark.parametrize("emit", ["audit.emit('blocked')", "await audit.aemit('blocked')"])
    def test_while_an_emit_waits(self, kernel: Kernel, emit: str) -> None:
        """A cell that is interrupted while its emit waits for the log ends, and the next cell emits."""
        kernel.run(SET_UP)
        kernel.run("_ = audit.emit('before')")
        with locked(kernel.path):
            request = kernel.begin(f"print('begins', flush=True)\n{emit}")
            kernel.manager.interrupt_kernel()
            _, error = kernel.end(request)
        assert error.partition(":")[0] in {"KeyboardInterrupt", "CancelledError"}
        assert kernel.run("_ = audit.emit('after')") == ("", "")
        steps = [name for name in events(kernel.path) if not name.startswith("audit.log.")]
        assert [name for name in steps if name != "blocked"] == ["before", "after"]

    def test_in_a_loop_of_emits(self, kernel: Kernel) -> None:
        """Interrupted in the middle of one of many emits, each receipt that was handed out is in the log."""
        kernel.run(SET_UP)
        told: list[int] = []
        for _ in range(8):
            request = kernel.begin("while True: print(audit.emit('step').seq, flush=True)")
            kernel.manager.interrupt_kernel()
            printed, error = kernel.end(request)
            assert error.startswith("KeyboardInterrupt")
            told += map(int, (kernel.begun + printed).split())
        assert kernel.run("print(audit.emit('last').seq)")[1] == ""
        assert set(told) <= {entry.seq for entry in read_log(kernel.path) if entry.event_name == "step"}
        assert events(kernel.path)[-1] == "last"


class TestRestart:
    def test_closes_the_log(self, kernel: Kernel) -> None:
        """A kernel that is restarted has closed its log, and the next one carries it on."""
        for _ in range(2):
            assert kernel.run(SET_UP + "_ = audit.emit('step')") == ("", "")
            kernel.restart(now=False)
        assert events(kernel.path) == ["audit.log.opened", "step", "audit.log.closed"] * 2

    def test_by_force_leaves_a_log_that_goes_on(self, kernel: Kernel) -> None:
        """A kernel that is killed leaves a log that verifies and that the next one carries on."""
        for _ in range(2):
            assert kernel.run(SET_UP + "_ = audit.emit('step')") == ("", "")
            kernel.restart(now=True)
            assert verify_log(kernel.path).intact
        assert events(kernel.path) == ["audit.log.opened", "step"] * 2


def test_zero_code(tmp_path: Path) -> None:
    """Started under ``opentelemetry-instrument``, whoever runs notebooks has kernels that are audited."""
    (tmp_path / "tools.py").write_text("def refund(order): return order\n")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in ("import tools", "tools.refund(7)")]
    )
    nbformat.write(notebook, tmp_path / "work.ipynb")
    (tmp_path / "execute.py").write_text(
        "import nbformat, nbclient\n"
        "notebook = nbformat.read('work.ipynb', as_version=4)\n"
        "nbclient.NotebookClient(notebook, kernel_name='python3').execute()\n"
        "print(notebook.cells[-1].outputs[0].data['text/plain'])\n"
    )
    path = tmp_path / "audit.jsonl"
    variables = {"OTEL_AUDIT_FILE": str(path), "OTEL_AUDIT_FUNCTIONS": "tools:refund", "HOME": str(tmp_path)}
    done = run(tmp_path, "python", "execute.py", **variables)
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
    entries = [entry for entry in read_log(path) if entry.event_name == "tools.refund"]
    assert [entry.attributes["audit.phase"] for entry in entries] == ["intent", "outcome"]
    assert os.getpid() not in {entry.resource["process.pid"] for entry in entries}
    assert len({entry.resource["process.pid"] for entry in read_log(path)}) == 2
    assert verify_log(path).intact
