from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from otel_audit.cli import main
from otel_audit.report.page import SCRIPTS, pack, script, write_page
from tests import logs

HOSTILE = "</script><script>alert(1)</script><!-- {{script}} {{lines}} &lt; \u2028 ]]>"


class Elements(HTMLParser):
    """The scripts of a page, as an HTML parser finds them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.titles: list[str] = []
        self.policy = ""
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag == "meta" and dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"] or ""

    def handle_data(self, data: str) -> None:
        if self._tag == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        if self._tag == "title":
            self.titles.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""


def page(summary: dict[str, Any], title: str = "report", lines: bytes = b"") -> Elements:
    """Return the elements of a page."""
    file = io.BytesIO()
    write_page(file, title, summary, pack([lines]))
    return Elements(file.getvalue().decode())


def test_no_content_ends_its_element() -> None:
    """Whatever the log says, the page has the scripts that it should have, and the content comes back unchanged."""
    found = page({"text": HOSTILE, HOSTILE: [HOSTILE]}, HOSTILE, HOSTILE.encode())
    assert [attributes.get("type") for attributes, _ in found.scripts] == ["application/json", None, "application/gzip"]
    assert json.loads(found.scripts[0][1]) == {"text": HOSTILE, HOSTILE: [HOSTILE]}
    assert gzip.decompress(base64.b64decode(found.scripts[2][1])) == HOSTILE.encode()
    assert "".join(found.titles) == HOSTILE


def test_the_policy_names_what_runs() -> None:
    """The policy forbids all but the script and the style of the page, by their hashes."""
    found = page({})
    digest = base64.b64encode(hashlib.sha256(found.scripts[1][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in found.policy
    assert found.policy.startswith("default-src 'none'; ")
    assert "unsafe" not in found.policy


def test_long_lines_come_in_pieces() -> None:
    """Mebibytes are carried in pieces that join to the same bytes."""
    data = b"".join(hashlib.sha256(b"%d" % number).hexdigest().encode() for number in range(60_000))
    found = page({}, lines=data)
    pieces = [text for attributes, text in found.scripts if attributes.get("class") == "lines"]
    assert len(pieces) > 1
    assert gzip.decompress(b"".join(map(base64.b64decode, pieces))) == data


def test_every_module_is_joined() -> None:
    """Each file of the script is in the page, once, without what only modules can have."""
    folder = Path(__file__).parent.parent.parent.parent / "otel_audit/report/assets"
    assert sorted(SCRIPTS) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.js"))
    assert re.search(r"^\s*(import|export)\b", script(), re.MULTILINE) is None


@pytest.mark.parametrize("options", [[], ["--max-entries", "5"], ["--actor", "agent"], ["--since", "2020-01-01"]])
def test_the_command_makes_a_page(tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str]) -> None:
    """`otel-audit report` writes one file that names no folder of the machine, and never over another."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(logs.join(logs.log(20)))
    output = tmp_path / "report.html"
    assert main(["report", str(log), "-o", str(output), *options]) == 0
    text = output.read_text()
    assert str(tmp_path) not in html.unescape(text)
    assert output.stat().st_mode & 0o777 == 0o600
    assert main(["report", str(log), "-o", str(output)]) == 2
    assert "--force" in capfd.readouterr().err
    assert output.read_text() == text


def test_wrong_use(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No log, no number, no address: each is an error that says what was expected, and leaves no file."""
    log = tmp_path / "audit.jsonl"
    output = tmp_path / "report.html"
    assert main(["report", str(log), "-o", str(output)]) == 2
    log.write_bytes(logs.join(logs.log(3)))
    assert main(["report", str(log), "-o", str(output), "--max-entries", "0"]) == 2
    assert "from 1 to" in capfd.readouterr().err
    monkeypatch.setenv("OTEL_AUDIT_TRACE_URL", "javascript:{trace_id}")
    assert main(["report", str(log), "-o", str(output)]) == 2
    assert "https://" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == [log]


def test_an_empty_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of an empty log there is no page, and the command says why."""
    log = tmp_path / "audit.jsonl"
    log.touch()
    assert main(["report", str(log), "-o", str(tmp_path / "report.html")]) == 2
    assert "empty: expected at least one entry" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.000002.jsonl", "audit.sha256"])
def test_the_log_itself_is_never_written_over(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """The page cannot take the name of a file of the log, not even with --force."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(logs.join(logs.log(3)))
    before = log.read_bytes()
    assert main(["report", str(log), "-o", str(tmp_path / name), "--force"]) == 2
    assert "a file of the log itself" in capfd.readouterr().err
    assert (list(tmp_path.iterdir()), log.read_bytes()) == ([log], before)


def test_nothing_that_is_read_is_written_over(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The page does not take the place of the key, of a file of anchors, or of another log, not even with --force."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(logs.join(logs.log(3)))
    inputs = {"key": b"k" * 32, "anchors": b"# none\n"}
    for name, data in inputs.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / f"hard.{name}").hardlink_to(tmp_path / name)
        (tmp_path / f"soft.{name}").symlink_to(name)
    options = ["--anchor-file", str(tmp_path / "anchors"), "--hmac-key-file", str(tmp_path / "soft.key"), "--force"]
    for name, data in inputs.items():
        for output in (name, f"hard.{name}", f"soft.{name}"):
            assert main(["report", str(log), "-o", str(tmp_path / output), *options]) == 2
            assert "expected a new file, got one that is read" in capfd.readouterr().err
        assert (tmp_path / name).read_bytes() == data
    other = tmp_path / "other.000002.jsonl"
    other.write_bytes(b"another")
    assert main(["report", str(log), "-o", str(other), "--force"]) == 2
    assert "expected a name that no log's file has" in capfd.readouterr().err
    assert other.read_bytes() == b"another"


def test_a_selection_shows_nothing_else(tmp_path: Path) -> None:
    """What the options leave out stands nowhere in the page, the actions that never ended included."""
    log = tmp_path / "audit.jsonl"
    secret = logs.entry(2, "secret.op", **{"audit.phase": "intent", "audit.actor.id": "classified"})
    log.write_bytes(logs.join(logs.chain([logs.opened(), secret, logs.entry(3)])))
    output = tmp_path / "report.html"
    assert main(["report", str(log), "-o", str(output), "--actor", "agent"]) == 0
    summary = Elements(output.read_text()).scripts[0][1]
    assert "secret.op" not in summary
    assert "classified" not in summary


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--actor ana --actor bob --since-seq 2", "actor ana, bob; since seq 2"),
        (
            "--since 2026-01-01 --until 2026-01-02T03:04:05.6+01:00",
            "since 2026-01-01T00:00:00.000000000Z; until 2026-01-02T02:04:05.600000000Z",
        ),
        ("--since 0001-01-01T00:00:00+01:00", "since the year 1"),
        ("--until 9999-12-31T23:59:59-01:00", "until the year 10000"),
        (
            "--attribute audit.arguments/a~1b=x=y --attribute c --attribute /body= --attribute d~0e=",
            "attribute audit.arguments/a~1b=x=y, c, /body=, d~0e=",
        ),
    ],
)
def test_a_selection_is_told_as_it_was_asked_for(tmp_path: Path, options: str, said: str) -> None:
    """The page says what it shows: times as in the log, attributes as PATH or PATH=VALUE."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(logs.join(logs.log(3)))
    output = tmp_path / "report.html"
    assert main(["report", str(log), "-o", str(output), *options.split()]) == 0
    assert json.loads(Elements(output.read_text()).scripts[0][1])["selection"] == said


def test_a_title_that_is_no_text(tmp_path: Path) -> None:
    """A title with bytes that are no text is spelled out."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(logs.join(logs.log(3)))
    assert main(["report", str(log), "-o", str(tmp_path / "report.html"), "--title", "a\udcff"]) == 0
    assert "\\udcff" in (tmp_path / "report.html").read_text()
