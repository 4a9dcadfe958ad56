"""An agent and an MCP server that never heard of this package, and set-ups that are broken."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from otel_audit import read_log, verify_log
from otel_audit.entry import Entry
from tests.disk import fill
from tests.frameworks.zero_code import environment, run

EXAMPLE = Path(__file__).parents[2] / "examples" / "zero_code"
SECRET = "canary-7d1e-canary"

TOOL, MODEL, RUN = "gen_ai.tool.execute", "gen_ai.model.call", "gen_ai.agent.invoke"
MCP_TOOL_CALL = [("agent", "intent"), ("client", "intent"), ("server", "intent")]
MCP_TOOL_CALL += [("server", "outcome"), ("client", "outcome"), ("agent", "outcome")]


def acts(path: Path) -> list[Entry]:
    """Return the entries of what the agent did."""
    return [entry for entry in read_log(path) if "audit.phase" in entry.attributes]


def end(entry: Entry) -> object:
    """Return who wrote of a tool call: the agent, or an end of the MCP connection."""
    return entry.attributes.get("span.kind", "agent")


def calls(path: Path, tool: str) -> list[Entry]:
    """Return the entries of one tool's calls."""
    return [entry for entry in acts(path) if entry.attributes.get("gen_ai.tool.name") == tool]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of one run of ``examples/zero_code/run``."""
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    variables = environment(OTEL_AUDIT_FILE=str(path))
    done = subprocess.run([EXAMPLE / "run"], env=variables, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Refunded.\n{path}: intact")
    return path


class TestTheExample:
    def test_is_audited_on_both_sides_of_the_border(self, path: Path) -> None:
        """A call of an MCP tool is written by the agent, the client and the server, each inside of the one before."""
        for tool in ("find_order", "refund"):
            entries = calls(path, tool)
            assert [(end(entry), entry.attributes["audit.phase"]) for entry in entries] == MCP_TOOL_CALL
            assert {entry.event_name for entry in entries} == {TOOL}
            assert {entry.attributes["audit.outcome"] for entry in entries[3:]} == {"success"}
        assert [end(entry) for entry in calls(path, "write_letter")] == ["agent", "agent"]

    def test_is_one_trace_and_one_chain_of_two_processes(self, path: Path) -> None:
        """Agent and server write to one log that verifies, and all that they did is one trace."""
        entries = acts(path)
        assert len({entry.trace_id for entry in entries}) == 1
        assert entries[0].trace_id is not None
        server = {entry.resource["process.pid"] for entry in entries if end(entry) == "server"}
        others = {entry.resource["process.pid"] for entry in entries if end(entry) != "server"}
        assert len(server) == len(others) == 1
        assert server != others
        report = verify_log(path)
        assert report.intact
        assert not report.findings
        closed = [entry.resource["process.pid"] for entry in read_log(path) if entry.event_name == "audit.log.closed"]
        assert set(closed) == server | others

    def test_is_in_order(self, path: Path) -> None:
        """The run surrounds four questions to the model, with a tool call between each two."""
        intents = [e for e in acts(path) if e.attributes["audit.phase"] == "intent" and end(e) == "agent"]
        assert [entry.event_name for entry in intents] == [RUN, *(MODEL, TOOL) * 3, MODEL]
        assert acts(path)[-1].attributes["audit.intent.id"] == acts(path)[0].attributes["audit.record.id"]

    def test_names_who_acts(self, path: Path) -> None:
        """The service runs the agent; what happens inside is done by the agent, on the server, too."""
        for entry in acts(path):
            assert entry.attributes["audit.actor.id"] == ("shop" if entry.event_name == RUN else "refund-desk")

    def test_records_no_content(self, path: Path) -> None:
        """Nothing of arguments, letters and answers is in the log."""
        text = path.read_bytes()
        assert not [word for word in (b"A-7", b"Maya", b"teapot", b"money back", b"came broken") if word in text]

    def test_is_what_the_page_says(self) -> None:
        """The commands of the README are those of the script, and the programs do not know of auditing."""
        script = (EXAMPLE / "run").read_text(encoding="utf-8")
        block = (EXAMPLE / "README.md").read_text(encoding="utf-8").split("```sh\n")[2].split("```")[0]
        assert block.replace("audit.jsonl", '"$OTEL_AUDIT_FILE"') in script
        assert not [file for file in EXAMPLE.glob("*.py") if "otel_audit" in file.read_text(encoding="utf-8")]


def test_delegation_crosses_the_border(tmp_path: Path) -> None:
    """With a principal of the program's own, the server's entries name principal and agent, in this order."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    (tmp_path / "for_maya.py").write_text(
        "import asyncio, agent\nfrom otel_audit import acting_as\n"
        "with acting_as('maya', type='user'):\n    asyncio.run(agent.main())\n"
    )
    path = tmp_path / "audit.jsonl"
    variables = {"OTEL_AUDIT_PROPAGATE_ACTOR": "true", "OTEL_AUDIT_TRUST_BAGGAGE": "true"}
    done = run(tmp_path, "python", "for_maya.py", OTEL_AUDIT_FILE=str(path), **variables)
    assert (done.returncode, done.stdout) == (0, "Refunded.\n"), done.stderr
    tools = [entry for entry in acts(path) if entry.event_name == TOOL]
    assert {end(entry) for entry in tools} == {"agent", "client", "server"}
    assert all(entry.attributes["audit.delegation"] == ["maya", "refund-desk"] for entry in tools)


def test_a_server_that_believes_nobody(tmp_path: Path) -> None:
    """Without OTEL_AUDIT_TRUST_BAGGAGE the server's entries name the service, still in the caller's trace."""
    path = tmp_path / "audit.jsonl"
    done = run(EXAMPLE, "python", "agent.py", OTEL_AUDIT_FILE=str(path))
    assert (done.returncode, done.stdout) == (0, "Refunded.\n"), done.stderr
    assert {entry.attributes["audit.actor.id"] for entry in acts(path) if end(entry) == "server"} == {"shop"}
    assert len({entry.trace_id for entry in acts(path)}) == 1


STUBS = {
    "mcp/__init__.py": "",
    "mcp/client/__init__.py": "",
    "mcp/client/stdio.py": "def get_default_environment(): return {}\n",
}
OLD = {"mcp-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mcp\nVersion: 0.1\n"}
NO_TARGET = {"mcp/client/session.py": "class ClientSession: ...\n"}
TOO_OLD = "mcp is not audited: expected mcp >=1.20,<3, got mcp 0.1"


class TestABrokenSetUp:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A program that uses a framework."""
        (tmp_path / "tools.py").write_text("def refund(order): return order\n")
        (tmp_path / "agent.py").write_text("import mcp, mcp.client.session, tools\nprint('ran')\n")
        return tmp_path

    def check(self, folder: Path, sentence: str, once: str | None = None, **variables: str) -> None:
        """Check that the program does not start; and that it does, and says so once, where failures are open."""
        variables.setdefault("OTEL_AUDIT_FILE", str(folder / "audit.jsonl"))
        variables["OPENAI_API_KEY"] = SECRET
        done = run(folder, "python", "agent.py", **variables)
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert sentence in done.stderr
        opened = run(folder, "python", "agent.py", OTEL_AUDIT_ON_FAILURE="open", **variables)
        assert (opened.returncode, opened.stdout) == (0, "ran\n")
        assert opened.stderr.count(once or sentence) == 1
        for said in (done.stderr, opened.stderr):
            assert "Traceback" not in said
            assert SECRET not in said

    @pytest.mark.parametrize(
        ("variables", "sentence"),
        [
            ({"OTEL_AUDIT_FILE": "/absent/audit.jsonl"}, "the folder /absent does not exist"),
            ({"OTEL_AUDIT_FUNCTIONS": "tools:refnd"}, "tools:refnd: the module 'tools' has no 'refnd'"),
            ({"OTEL_AUDIT_FUNCTIONS": "agent:main"}, "agent:main: the program's own file is run as __main__"),
            ({"OTEL_AUDIT_FUNCTIONS": "__main__:main"}, "__main__:main: the program's own file is run as __main__"),
            ({"OTEL_AUDIT_FRAMEWORKS": "mcp,opnai"}, "unknown framework: expected 'all', or names out of"),
        ],
    )
    def test_of_settings(self, folder: Path, variables: dict[str, str], sentence: str) -> None:
        """A log that cannot be, a name that is none: the program does not start."""
        self.check(folder, sentence, **variables)

    def test_of_the_disk(self, folder: Path, disk: Path) -> None:
        """A log on a full disk: the program does not start."""
        fill(disk)
        goes_on = "auditing goes on without its log (on_failure is open)"
        self.check(folder, "No space left on device", goes_on, OTEL_AUDIT_FILE=str(disk / "audit.jsonl"))

    @pytest.mark.parametrize("before", ["none", "another"])
    def test_of_the_key(self, folder: Path, before: str) -> None:
        """The key of another log, or a key where the log has none: the program does not start, the key is not shown."""
        keys = {}
        for name, text in (("key", SECRET * 2), ("other", "0123456789abcdef" * 2)):
            keys[name] = folder / name
            keys[name].write_text(text)
            keys[name].chmod(0o600)
        path = {"OTEL_AUDIT_FILE": str(folder / "audit.jsonl")}
        made = {} if before == "none" else {"OTEL_AUDIT_HMAC_KEY_FILE": str(keys["other"])}
        assert run(folder, "python", "agent.py", **path, **made).returncode == 0
        lines = (folder / "audit.jsonl").read_bytes()
        self.check(folder, "expected a log with HMAC key", OTEL_AUDIT_HMAC_KEY_FILE=str(keys["key"]))
        assert (folder / "audit.jsonl").read_bytes() == lines

    @pytest.mark.parametrize("frameworks", ["mcp", "all"])
    def test_of_a_version(self, folder: Path, frameworks: str) -> None:
        """A framework of a version that is not supported: a program that uses it does not start."""
        write(folder, STUBS | OLD | NO_TARGET)
        self.check(folder, TOO_OLD, OTEL_AUDIT_FRAMEWORKS=frameworks)

    @pytest.mark.parametrize("frameworks", ["mcp", "all"])
    def test_of_a_target(self, folder: Path, frameworks: str) -> None:
        """A framework without a function that is wrapped: a program that uses it does not start."""
        write(folder, STUBS | NO_TARGET)
        self.check(folder, "expected ClientSession to have 'call_tool'", OTEL_AUDIT_FRAMEWORKS=frameworks)

    @pytest.mark.parametrize("frameworks", ["mcp", "all"])
    def test_of_a_module(self, folder: Path, frameworks: str) -> None:
        """A framework without a module that is wrapped: a program that uses it does not start."""
        write(folder, {"mcp/__init__.py": "", "agent.py": "import mcp\nprint('ran')\n"})
        self.check(folder, "mcp is not audited: mcp.client cannot be imported", OTEL_AUDIT_FRAMEWORKS=frameworks)

    @pytest.mark.parametrize(
        ("version", "sentence"),
        [
            ("1.2", "expected langgraph.pregel to have 'Pregel'"),
            ("0.1", "got langgraph 0.1"),
        ],
    )
    def test_of_a_part(self, folder: Path, version: str, sentence: str) -> None:
        """A framework of which a part is another than expected: a program that uses that part does not start."""
        metadata = f"Metadata-Version: 2.1\nName: langgraph\nVersion: {version}\n"
        program = "import langchain_core, langgraph.pregel\nprint('ran')\n"
        files = {"langgraph/__init__.py": "", "langgraph/pregel/__init__.py": "", "agent.py": program}
        write(folder, files | {f"langgraph-{version}.dist-info/METADATA": metadata})
        self.check(folder, sentence)

    def test_of_a_framework_that_is_not_used(self, folder: Path) -> None:
        """A framework of a version that is not supported is no error where the program does not import it."""
        write(folder, OLD | {"agent.py": "print('ran')\n"})
        done = run(folder, "python", "agent.py", OTEL_AUDIT_FILE=str(folder / "audit.jsonl"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")

    def test_that_is_not_of_the_audit(self, folder: Path) -> None:
        """Where OpenTelemetry's own set-up fails, nothing of auditing is called: the program runs unaudited."""
        done = run(
            folder, "python", "agent.py", OTEL_AUDIT_FILE=str(folder / "audit.jsonl"), OTEL_TRACES_EXPORTER="absent"
        )
        assert (done.returncode, done.stdout) == (0, "ran\n")
        assert "Failed to auto initialize OpenTelemetry" in done.stderr
        assert not (folder / "audit.jsonl").exists()


def test_named_frameworks_are_not_imported_early(tmp_path: Path) -> None:
    """A framework that is named is audited when the program imports it, and imported by nobody else."""
    (tmp_path / "agent.py").write_text("import sys\nprint('mcp' in sys.modules, 'agents' in sys.modules)\n")
    done = run(
        tmp_path,
        *("python", "agent.py"),
        OTEL_AUDIT_FILE=str(tmp_path / "audit.jsonl"),
        OTEL_AUDIT_FRAMEWORKS="mcp,openai_agents",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False False\n", "")


def test_the_page(tmp_path: Path) -> None:
    """The commands of docs/zero-code.md run, and say what stands there."""
    write(tmp_path, {"shop/orders.py": "def refund(order): return order\n"})
    write(tmp_path, {"agent.py": "from shop.orders import refund\nprint(refund(7))\n"})
    page = (EXAMPLE.parents[1] / "docs" / "zero-code.md").read_text(encoding="utf-8")
    _, start = page.split("```sh\n")[1].split("```")[0].splitlines()
    command, said = page.split("```console\n$ ")[1].split("```")[0].split("\n", 1)
    for line, expected in ((start, (0, "7\n", "")), (command, (1, "", said))):
        done = subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == expected
    events = [entry.event_name for entry in read_log(tmp_path / "audit.jsonl")]
    assert events[:4] == ["audit.log.opened", "shop.orders.refund", "shop.orders.refund", "audit.log.closed"]


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files into a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
