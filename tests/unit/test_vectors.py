"""The test vectors of docs/format.md against this package (tests/vectors/README.md)."""

from __future__ import annotations

import ast
import base64
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any, Final, get_args

import pytest

from otel_audit.cli import main
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.reader import verify_log
from otel_audit.value import clean
from otel_audit.verify.finding import Kind

ROOT: Final = pathlib.Path(__file__).parents[2]
VECTORS: Final = ROOT / "tests" / "vectors"
LOGS: Final = sorted((VECTORS / "logs").iterdir())
LINES: Final[list[dict[str, Any]]] = json.loads((VECTORS / "lines.json").read_bytes())
LARGE_LOGS: Final[list[dict[str, Any]]] = json.loads((VECTORS / "large_logs.json").read_bytes())
VALUES: Final[list[dict[str, Any]]] = json.loads((VECTORS / "values.json").read_bytes())


def name_of(case: dict[str, Any]) -> str:
    """Return the id of a parametrised case."""
    return str(case["name"])


def bytes_of(line: list[dict[str, Any]]) -> bytes:
    """Join a line of its parts."""
    return b"".join(
        (part["text"].encode() if "text" in part else base64.b64decode(part["base64"])) * part.get("times", 1)
        for part in line
    )


def exact(value: object) -> str:
    """Return text that tells 1 from 1.0 and from true, and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


def given(case: dict[str, Any]) -> object:
    """Build the value that a case of ``values.json`` describes."""
    return BUILDERS[case["type"]](case)


def _nested_arrays(case: dict[str, Any]) -> object:
    value: list[object] = []
    for _ in range(case["depth"] - 1):
        value = [value]
    return value


def _enum_member(value: object) -> enum.Enum:
    class Given(enum.Enum):
        MEMBER = value

    return Given.MEMBER


BUILDERS: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "json": lambda case: case["value"],
    "string": lambda case: "".join(map(chr, case["code_points"])),
    "integer": lambda case: int(case["text"]),
    "float": lambda case: float(case["text"]),
    "bytes": lambda case: base64.b64decode(case["base64"]),
    "array": lambda case: [given(item) for item in case["items"]],
    "set": lambda case: {given(item) for item in case["items"]},
    "map": lambda case: {given(name): given(value) for name, value in case["entries"]},
    "enum": lambda case: _enum_member(given(case["value"])),
    "date": lambda case: dt.date.fromisoformat(case["text"]),
    "time": lambda case: dt.time.fromisoformat(case["text"]),
    "datetime": lambda case: dt.datetime.fromisoformat(case["text"]),
    "decimal": lambda case: decimal.Decimal(case["text"]),
    "uuid": lambda case: uuid.UUID(case["text"]),
    "path": lambda case: pathlib.PurePosixPath(case["text"]),
    "nested_arrays": _nested_arrays,
}


class TestLines:
    """``lines.json``: what a line may look like."""

    @pytest.mark.parametrize("case", [c for c in LINES if c["legal"]], ids=name_of)
    def test_legal(self, case: dict[str, Any]) -> None:
        """A legal line is read, and its body is the value that the bytes denote."""
        members = parse_line(bytes_of(case["line"]))
        if "body" in case:
            assert exact(members["body"]) == exact(case["body"])

    @pytest.mark.parametrize("case", [c for c in LINES if not c["legal"]], ids=name_of)
    def test_malformed(self, case: dict[str, Any]) -> None:
        """A malformed line is refused with the one error that says so, whatever is wrong with it."""
        with pytest.raises(MalformedLineError) as caught:
            parse_line(bytes_of(case["line"]))
        assert caught.value.reason

    def test_both_kinds(self) -> None:
        """There are vectors of both kinds, and no name stands twice."""
        legal = [case for case in LINES if case["legal"]]
        assert len(legal) > 60
        assert len(LINES) - len(legal) > 120
        assert len({case["name"] for case in LINES}) == len(LINES)


class TestValues:
    """``values.json``: what is stored of what is given."""

    @pytest.mark.parametrize("case", VALUES, ids=name_of)
    def test_stored(self, case: dict[str, Any]) -> None:
        """A given value is stored as its vector says, and listed as altered where it says so."""
        altered: list[str] = []
        stored = clean(given(case["given"]), "/body", altered, 2)
        assert exact(stored) == exact(case["stored"])
        assert sorted(altered) == sorted(case["altered"])

    def test_negative_zero_is_told_from_zero(self) -> None:
        """The comparison above would notice a lost sign."""
        [case] = [case for case in VALUES if case["name"] == "negative_zero"]
        assert math.copysign(1, case["stored"]) == -1
        assert exact(0.0) != exact(case["stored"])


def check_findings(folder: pathlib.Path, options: dict[str, Any], expected: dict[str, Any]) -> None:
    """Assert that the verifier finds what the vector says, and nothing else."""
    key_file = options.get("hmac_key_file")
    report = verify_log(
        folder / "audit.jsonl",
        hmac_key_file=None if key_file is None else folder / key_file,
        anchors=options.get("anchors", ()),
        expected_integrity=options.get("integrity", "chain"),
    )
    found = [
        {
            "kind": finding.kind,
            "severity": finding.severity,
            "file": pathlib.Path(finding.path).name,
            "line": finding.line,
            "seq": finding.seq,
            "count": finding.count,
        }
        for finding in report.findings
    ]
    assert found == expected["findings"]
    assert report.intact == expected["intact"]
    if not report.errors:
        assert report.anchored == expected["anchored"]


@pytest.mark.parametrize("folder", LOGS, ids=lambda folder: folder.name)
class TestLogs:
    """``logs``: one folder a case, one fault each."""

    def test_findings(self, folder: pathlib.Path) -> None:
        """The verifier finds what the vector says, and nothing else."""
        case = json.loads((folder / "case.json").read_bytes())
        check_findings(folder, case["options"], case["expected"])

    def test_any_name_stands_for_the_log(self, folder: pathlib.Path) -> None:
        """The folder, each segment and a pattern give the same report."""
        report = verify_log(folder / "audit.jsonl")
        segments = list(folder.glob("*.jsonl"))
        for path in (*segments, *([folder, folder / "audit*.jsonl", folder / "a*"] if segments else [])):
            assert verify_log(path) == report

    def test_exit_status(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The command line ends with the exit status that the vector says."""
        case = json.loads((folder / "case.json").read_bytes())
        options = case["options"]
        arguments = ["verify", str(folder / "audit.jsonl")]
        for anchor in options.get("anchors", ()):
            arguments += ["--anchor", anchor]
        if options.get("require_anchor"):
            arguments.append("--require-anchor")
        if "hmac_key_file" in options:
            arguments += ["--hmac-key-file", str(folder / options["hmac_key_file"])]
        if "integrity" in options:
            arguments += ["--integrity", options["integrity"]]
        assert main(arguments) == case["expected"]["exit_status"]
        assert capsys.readouterr().out


@pytest.mark.parametrize("case", LARGE_LOGS, ids=name_of)
def test_large_logs(tmp_path: pathlib.Path, case: dict[str, Any]) -> None:
    """In logs with lines as long as they may be, and longer, is found what the vector says, and nothing else."""
    for name, parts in case["files"].items():
        (tmp_path / name).write_bytes(bytes_of(parts))
    check_findings(tmp_path, case["options"], case["expected"])
    assert main(["verify", str(tmp_path / "audit.jsonl")]) == case["expected"]["exit_status"]


def test_every_kind_has_a_vector() -> None:
    """There are at least 60 logs with a finding, and none of its kinds is without one."""
    cases = [json.loads((folder / "case.json").read_bytes())["expected"]["findings"] for folder in LOGS]
    assert sum(bool(findings) for findings in cases) >= 60
    assert {finding["kind"] for findings in cases for finding in findings} == set(get_args(Kind))


class TestGenerator:
    """``generate.py``: another implementation, which anyone can run again."""

    def test_changes_no_byte(self, tmp_path: pathlib.Path) -> None:
        """Running the generator again gives the same files with the same bytes."""
        command = [sys.executable, "-m", "tests.vectors.generate", str(tmp_path)]
        subprocess.run(command, cwd=ROOT, check=True)
        made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        there = {
            path.relative_to(VECTORS): path.read_bytes()
            for path in [*VECTORS.glob("*.json"), *(VECTORS / "logs").rglob("*")]
            if path.is_file()
        }
        assert made.keys() == there.keys()
        assert [str(path) for path in made if made[path] != there[path]] == []

    def test_is_independent(self) -> None:
        """No module of the generator imports the package that its vectors judge."""
        imported = {
            name.split(".")[0]
            for path in VECTORS.glob("*.py")
            for node in ast.walk(ast.parse(path.read_bytes()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        }
        assert imported - sys.stdlib_module_names == {"tests"}


class TestDocument:
    """docs/format.md shows real bytes, and the README names real cases."""

    def test_cases_are_real(self) -> None:
        """Each case that the README's table names is there; an ellipsis stands for the rest of a name."""
        page = (VECTORS / "README.md").read_text(encoding="utf-8")
        table = [
            line for line in page.split("### Which cases")[1].split("\n## ")[0].split("\n") if line.startswith("| ")
        ]
        names = {folder.name for folder in LOGS} | {case["name"] for case in LARGE_LOGS}
        shown = [name for line in table[2:] for name in re.findall("`([a-z_…]+)`", line.split("|")[2])]
        assert len(shown) > 70
        for name in shown:
            pattern = re.compile(name.replace("…", "[a-z_]*"))
            assert any(pattern.fullmatch(one) for one in names), name

    def test_line_is_real(self) -> None:
        """The line that the page shows is line 2 of the sound log."""
        page = (ROOT / "docs" / "format.md").read_bytes()
        line = (VECTORS / "logs" / "sound" / "audit.jsonl").read_bytes().split(b"\n")[1]
        assert b"\n" + line + b"\n" in page

    def test_command_gives_the_hash(self) -> None:
        """The coreutils line of the page prints what the page says."""
        page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
        command, shown = page.split("```console\n$ ")[1].split("\n```")[0].split("\n")
        result = subprocess.run(["sh", "-c", command], cwd=ROOT, check=True, capture_output=True, text=True)
        assert result.stdout == shown + "\n"
