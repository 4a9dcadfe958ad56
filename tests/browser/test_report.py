"""What the report's page proves, and what it does not let happen."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from otel_audit import verify_log
from otel_audit.cli import main
from otel_audit.inert import visible
from otel_audit.report import summary as summary_module
from otel_audit.report import tally as tally_module
from otel_audit.verify import Finding
from tests import logs
from tests.browser.opened import Opened
from tests.optional import axe

CASES = sorted((Path(__file__).parent.parent / "vectors/logs").iterdir())
_LINES = re.compile(rb'<script type="application/gzip" class="lines">([^<]*)</script>\n')


def write_log(folder: Path, members: list[dict[str, Any]]) -> Path:
    """Write a log of these entries, with its ``opened`` before them."""
    path = folder / "audit.jsonl"
    path.write_bytes(logs.join(logs.chain([logs.opened(), *members])))
    return path


def entry(seq: int, event_name: str = "mcp.tool.call", **changed: Any) -> dict[str, Any]:
    """Return the members of an entry, some of them changed; ``body`` stands where the format wants it."""
    members = logs.entry(seq, event_name) | changed
    body = {"body": members.pop("body")} if "body" in members else {}
    return {name: members[name] for name in ("seq", "time", "event_name")} | body | members


def write_plain_log(folder: Path, count: int = 40) -> Path:
    """Write a log in which some things go wrong."""
    members = []
    for seq in range(2, count + 1):
        attributes = logs.attributes(seq)
        if seq % 7 == 0:
            attributes |= {"audit.outcome": "failure", "error.type": "TimeoutError"}
        if seq % 11 == 0:
            attributes |= {"audit.decision": "block", "audit.reason": "over the limit"}
        members.append(entry(seq, attributes=attributes))
    return write_log(folder, members)


def write_resealed(folder: Path, count: int, *, at: int) -> Path:
    """Write the plain log with one entry changed, and all behind it sealed anew."""
    path = write_plain_log(folder, count)
    members = [json.loads(line) for line in path.read_bytes().splitlines()]
    for each in members:
        del each["prev_hash"], each["hash"]
    members[at - 1]["event_name"] = "mcp.tool.cell"
    path.write_bytes(logs.join(logs.chain(members)))
    return path


def report(log: Path, *options: str, status: int = 0) -> Path:
    """Make the page of a log."""
    path = log.with_name("report.html")
    assert main(["report", str(log), "-o", str(path), "--force", *options]) == status
    return path


def carried(page: Path) -> bytes:
    """Return the lines that a page carries."""
    return gzip.decompress(b"".join(map(base64.b64decode, _LINES.findall(page.read_bytes()))))


def carry(page: Path, data: bytes) -> None:
    """Put other lines into a page."""
    text = b'<script type="application/gzip" class="lines">%b</script>\n' % base64.b64encode(gzip.compress(data))
    content = _LINES.sub(b"", page.read_bytes())
    page.write_bytes(content.replace(b"</body>", text + b"</body>"))


class TestProof:
    def test_a_sound_log_is_green(self, tmp_path: Path, opened: Opened) -> None:
        """A page opened from a file, without a network, checks its lines and says that they are intact."""
        opened.open(report(write_plain_log(tmp_path)))
        assert opened.is_green
        assert opened.verdict == "Intact, unanchored"
        assert "hashed all 40 entries again" in opened.page.inner_text(".verdict")

    @pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
    def test_one_byte_changed_is_red(self, tmp_path: Path, opened: Opened, place: float) -> None:
        """One byte of the carried lines changed: the page is red, and names the line."""
        page = report(write_plain_log(tmp_path))
        data = bytearray(carried(page))
        at = data.index(b'"mcp.tool.call"', int(len(data) * place)) + 2
        data[at] ^= 1
        carry(page, bytes(data))
        line = data.count(b"\n", 0, at) + 1
        opened.open(page)
        assert not opened.is_green
        assert opened.verdict == "Not intact"
        assert [(shown.kind, shown.where) for shown in opened.findings(".verdict") if shown.severity == "error"] == [
            ("edited", f"audit.jsonl, line {line}, entry {line}")
        ]

    def test_a_page_cut_short_says_so(self, tmp_path: Path, opened: Opened) -> None:
        """A page whose data cannot be read is damaged, not intact."""
        page = report(write_plain_log(tmp_path))
        page.write_bytes(_LINES.sub(lambda found: found[0][: len(found[0]) // 2] + b"</script>", page.read_bytes()))
        opened.page.goto(page.as_uri())
        opened.page.wait_for_selector("html[data-checked=yes]")
        assert not opened.is_green
        assert opened.verdict == "This page is damaged"
        opened.complaints.clear()

    def test_a_chain_sealed_anew_is_not_the_record(self, tmp_path: Path, opened: Opened) -> None:
        """Lines altered and sealed anew fit together, but they are not those that the page was made of."""
        page = report(write_plain_log(tmp_path))
        other = logs.join(logs.chain([logs.opened(), *(logs.entry(seq) for seq in range(2, 41))]))
        carry(page, other)
        opened.open(page)
        assert not opened.is_green
        assert opened.verdict in ("Not the record this report was made from", "This page is damaged")
        opened.complaints.clear()

    def test_an_anchor_is_checked(self, tmp_path: Path, opened: Opened) -> None:
        """A receipt that the reader types in anchors the record; a wrong one is told."""
        log = write_plain_log(tmp_path)
        lines = log.read_bytes().splitlines()
        opened.open(report(log))
        opened.page.fill("#anchor", f"20:{logs.hash_of(lines[19])}")
        opened.page.click(".anchor button")
        opened.page.wait_for_selector("text=It agrees with 1 anchor from outside, up to entry 20")
        assert opened.verdict == "Intact, anchored up to entry 20"
        assert "added or moved before the end." in opened.page.inner_text(".verdict")
        opened.page.fill("#anchor", f"40:{logs.hash_of(lines[39])}")
        opened.page.click(".anchor button")
        opened.page.wait_for_selector("text=It agrees with 1 anchor from outside, up to entry 40")
        assert opened.verdict == "Intact, anchored"
        assert "added or moved." in opened.page.inner_text(".verdict")
        opened.page.fill("#anchor", f"50:{'0' * 64}")
        opened.page.click(".anchor button")
        opened.page.wait_for_selector(".verdict.bad")
        assert [shown.kind for shown in opened.findings(".verdict")] == ["truncated (10)"]
        opened.page.fill("#anchor", "nonsense")
        opened.page.click(".anchor button")
        assert "expected SEQ:HASH" in opened.page.inner_text(".anchor .problem")

    @pytest.mark.parametrize("half", ["d800", "dbff", "dc00", "dfff"])
    def test_a_fragment_that_is_no_text(self, tmp_path: Path, opened: Opened, half: str) -> None:
        """A declared fragment with half of a pair is no JSON: what it says of a version is not believed."""
        fragment = b'{"seq":1,"attributes":{"audit.format.version":"\\u%b"}}' % half.encode()
        declared: dict[str, Any] = {
            "audit.fragment.offset": 0,
            "audit.fragment.length": len(fragment),
            "audit.fragment.sha256": hashlib.sha256(fragment).hexdigest(),
        }
        log = tmp_path / "audit.jsonl"
        log.write_bytes(logs.join([fragment, *logs.chain([logs.opened(**declared), logs.entry(2)])]))
        assert [finding.kind for finding in verify_log(log).findings] == ["recovered"]
        opened.open(report(log))
        assert opened.is_green
        assert [shown.kind for shown in opened.findings(".verdict")] == ["recovered"]

    def test_a_part_says_what_it_proves(self, tmp_path: Path, opened: Opened) -> None:
        """A page with some of the entries says which it proves, and tells apart what it was told."""
        opened.open(report(write_plain_log(tmp_path, 200), "--max-entries", "50"))
        text = opened.page.inner_text(".verdict")
        assert opened.verdict == "50 entries proved, the rest as told"
        assert "Proved here: 50 entries of 200" in text
        assert "Not proved here: the other 150 entries" in text
        assert "What otel-audit verify said" in opened.page.inner_text(".told")
        assert "This page carries 50 of 200 entries" in opened.page.inner_text("#entries")

    def test_a_changed_byte_in_a_part_is_red(self, tmp_path: Path, opened: Opened) -> None:
        """One byte changed in a page with some of the entries is found, too, with the line in the log."""
        page = report(write_plain_log(tmp_path, 200), "--max-entries", "50")
        lines = carried(page).split(b"\n")
        seq = json.loads(lines[7])["seq"]
        lines[7] = lines[7].replace(b"mcp.tool.call", b"mcp.tool.cell")
        carry(page, b"\n".join(lines))
        opened.open(page)
        assert not opened.is_green
        assert (opened.findings(".verdict")[0].kind, opened.findings(".verdict")[0].where) == (
            "edited",
            f"audit.jsonl, line {seq}, entry {seq}",
        )

    def test_a_log_with_faults_makes_a_red_page(self, tmp_path: Path, opened: Opened) -> None:
        """Of a log that is not intact there is a page, it is red, and the command exits with 1."""
        log = write_plain_log(tmp_path)
        log.write_bytes(log.read_bytes().replace(b'"seq":20', b'"seq":21', 1))
        opened.open(report(log, status=1))
        assert not opened.is_green
        assert [shown.kind for shown in opened.findings(".verdict")] == [
            finding.kind for finding in verify_log(log).findings
        ]
        opened.open(report(log, "--max-entries", "10", status=1))
        assert not opened.is_green

    def test_what_the_key_shows_is_told(self, tmp_path: Path, opened: Opened) -> None:
        """Where verify found with the key what the page cannot see, the page is red and says so."""
        log, key = tmp_path / "audit.jsonl", tmp_path / "hmac.key"
        key.write_bytes(b"k" * 32)
        lines = logs.log(5, key=b"k" * 32)
        lines[2] = lines[2][:-4] + (b"0" if lines[2][-4:-3] != b"0" else b"1") + lines[2][-3:]
        log.write_bytes(logs.join(lines))
        opened.open(report(log, "--hmac-key-file", str(key), status=1))
        assert opened.verdict == "Not intact, as told"
        assert [shown.kind for shown in opened.findings(".verdict")] == ["mac_invalid"]

    @pytest.mark.parametrize("whole", [True, False], ids=["whole", "part"])
    def test_an_error_behind_many_warnings(self, tmp_path: Path, opened: Opened, whole: bool) -> None:
        """An error that only verify sees makes the page red, however many warnings stand before it."""
        log, key = tmp_path / "audit.jsonl", tmp_path / "hmac.key"
        key.write_bytes(b"k" * 32)
        members = [entry(seq) for seq in range(2, 1300)]
        for one in members[::2]:
            del one["attributes"]["audit.action"]  # each is a warning of its own
        keyed: dict[str, Any] = {"audit.key.id": logs.key_id(b"k" * 32)}
        opening = logs.opened(**keyed)
        lines = list(logs.chain([opening, *members], key=b"k" * 32))
        lines[1250] = lines[1250][:-66] + b"0" * 64 + b'"}'
        log.write_bytes(logs.join(lines))
        found = verify_log(log, hmac_key_file=key)
        assert [finding.kind for finding in found.errors] == ["mac_invalid"]
        assert len(found.warnings) > 600
        options = ["--hmac-key-file", str(key), *([] if whole else ["--max-entries", "20"])]
        opened.open(report(log, *options, status=1))
        assert not opened.is_green
        assert opened.verdict == ("Not intact, as told" if whole else "Not intact")
        assert "found 1 fault" in opened.page.inner_text(".verdict")
        place = ".verdict" if whole else ".told"
        assert ("mac_invalid", "error", "audit.jsonl, line 1,251, entry 1,251") in opened.findings(place)
        if not whole:
            assert f"{len(found.warnings) - 499:,} more" in opened.page.inner_text(".told .remarks > summary")

    def test_all_faults_are_counted(self, tmp_path: Path, opened: Opened) -> None:
        """Of more errors than a page lists, it says how many there are."""
        log, key = tmp_path / "audit.jsonl", tmp_path / "hmac.key"
        key.write_bytes(b"k" * 32)
        lines = logs.log(1300, key=b"k" * 32)
        lines[1::2] = [line[:-66] + b"0" * 64 + b'"}' for line in lines[1::2]]
        log.write_bytes(logs.join(lines))
        opened.open(report(log, "--hmac-key-file", str(key), status=1))
        assert "found 650 faults" in opened.page.inner_text(".verdict")
        assert "and 600 more" in opened.page.inner_text(".verdict .findings")

    def test_a_line_with_a_warning_is_checked_too(self, tmp_path: Path, opened: Opened) -> None:
        """In a page with some of the entries, a changed line is found, also one of which the verifier had a warning."""
        members = [entry(seq, attributes=logs.attributes(seq, **{"audit.phase": "intent"})) for seq in range(2, 12)]
        page = report(write_log(tmp_path, members), "--max-entries", "6")
        carry(page, carried(page).replace(b'"audit.actor.id":"agent"', b'"audit.actor.id":"mallo"', 1))
        opened.open(page)
        assert opened.verdict == "Not intact"

    def test_the_numbers_do_not_depend_on_the_address(self, tmp_path: Path, opened: Opened) -> None:
        """What failed is said whatever the address filters."""
        page = report(write_plain_log(tmp_path))
        for fragment in ("", "#actor=nobody", "#from=2030-01-01T00:00:00", "#result=success"):
            opened.open(page, fragment)
            assert opened.page.inner_text(".tile.failure .tile-value") == "5"

    def test_numbers_that_are_not_exact_say_so(
        self, tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where there are more names than are told apart, the page says so; else it says nothing of it."""
        members = [
            entry(seq, trace_id=f"{seq:032x}", span_id=f"{seq:016x}", trace_flags="01", attributes=attributes)
            for seq in range(2, 30)
            for attributes in [logs.attributes(seq, **{"audit.target.id": f"{seq}", "audit.target.type": "x"})]
        ]
        log = write_log(tmp_path, members)
        opened.open(report(log))
        assert "28 traces" in opened.page.inner_text(".tiles")
        assert "or more" not in opened.page.inner_text(".tiles")
        assert "too low" not in opened.page.inner_text("body")
        for module in (summary_module, tally_module):
            monkeypatch.setattr(module, "MOST_KEPT", 10)
        opened.open(report(log))
        assert "10 traces or more" in opened.page.inner_text(".tiles")
        assert re.search(r"each number may be up to [1-9] too low", opened.page.inner_text(".card:has-text('Targets')"))

    def test_an_action_whose_outcome_is_not_carried(self, tmp_path: Path, opened: Opened) -> None:
        """An intent whose outcome stands in the log, but not in the page, has not "never ended"."""
        members = [entry(2, attributes=logs.attributes(2, **{"audit.phase": "intent"}))]
        members += [entry(seq) for seq in range(3, 30)]
        ended = {"audit.phase": "outcome", "audit.intent.id": logs.record_id(2)}
        members += [entry(30, attributes=logs.attributes(30, **ended))]
        members += [entry(31, attributes=logs.attributes(31, **{"audit.decision": "block"}))]
        opened.open(report(write_log(tmp_path, members), "--max-entries", "2", "--until-seq", "29"))
        assert opened.page.query_selector("table:has-text('never ended')") is None
        assert opened.page.inner_text(".tile.open .tile-value, .tile:last-child .tile-value") == "0"


class TestTheOriginal:
    def test_is_verified_whole(self, tmp_path: Path, opened: Opened) -> None:
        """The log's own file, given to the page, is verified whole and recognised."""
        log = write_plain_log(tmp_path, 200)
        opened.open(report(log, "--max-entries", "10"))
        said = opened.drop(log)
        assert "Intact, unanchored: 200 entries" in said
        assert "It ends with the same entry" in said
        assert opened.outcome == "good"

    def test_is_anchored_as_far_as_its_anchor(self, tmp_path: Path, opened: Opened) -> None:
        """Neither what verify said nor what the browser finds is called anchored behind the anchor."""
        log = write_plain_log(tmp_path, 200)
        lines = log.read_bytes().splitlines()
        first, last = (f"{seq}:{logs.hash_of(lines[seq - 1])}" for seq in (1, 200))
        for anchor, said in ((first, "intact, anchored up to entry 1"), (last, "intact, anchored")):
            opened.open(report(log, "--max-entries", "10", "--anchor", anchor))
            assert opened.page.inner_text(".told summary b") == said
            assert opened.drop(log, anchor=anchor).startswith(f"{said.capitalize()}: 200 entries")

    @pytest.mark.parametrize("options", [(), ("--max-entries", "10")], ids=["whole", "part"])
    def test_goes_on(self, tmp_path: Path, opened: Opened, options: tuple[str, ...]) -> None:
        """A log that was written on since is recognised by the entry that was its last one."""
        log = write_plain_log(tmp_path)
        opened.open(report(log, *options))
        write_plain_log(tmp_path, 43)
        said = opened.drop(log)
        assert "Intact, unanchored: 43 entries" in said
        assert "goes on from the last entry that this report was made from, and has 3 more" in said
        assert opened.outcome == "good"

    @pytest.mark.parametrize("count", [30, 40, 43])
    @pytest.mark.parametrize(
        ("options", "told"),
        [((), "diverges at entry 8:"), (("--max-entries", "5", "--since-seq", "20"), "or before it:")],
        ids=["whole", "part"],
    )
    def test_sealed_anew(self, tmp_path: Path, opened: Opened, count: int, options: tuple[str, ...], told: str) -> None:
        """A log that was changed at one entry and sealed anew is not this one: cut, as long, or written on."""
        log = write_plain_log(tmp_path)
        opened.open(report(log, *options))
        write_resealed(tmp_path, count, at=8)
        assert verify_log(log).intact
        said = opened.drop(log)
        assert opened.outcome == "bad"
        assert "Not the log of this report (intact, unanchored by itself)" in said
        assert told in said
        assert ("It lacks the last 10 entries" in said) == (count == 30)

    def test_sealed_anew_behind_what_a_page_carries(self, tmp_path: Path, opened: Opened) -> None:
        """Where a page has none of the entries that were changed, its head tells that the log is another."""
        log = write_plain_log(tmp_path)
        opened.open(report(log, "--since-seq", "3", "--until-seq", "6"))
        write_resealed(tmp_path, 40, at=20)
        assert "diverges at entry 40, or before it:" in opened.drop(log)
        assert opened.outcome == "bad"
        write_resealed(tmp_path, 39, at=20)
        assert "Cut short" in opened.drop(log)
        assert opened.outcome == "bad"

    def test_an_entry_of_the_page_is_another(self, tmp_path: Path, opened: Opened) -> None:
        """The log shows up a page of which an entry was changed and sealed by itself."""
        log = write_plain_log(tmp_path)
        page = report(log, "--since-seq", "20", "--until-seq", "20")
        members = json.loads(carried(page))
        prev = members.pop("prev_hash")
        del members["hash"]
        members["attributes"]["audit.actor.id"] = "mallory"
        carry(page, logs.seal(members, prev) + b"\n")
        opened.open(page)
        assert opened.is_green
        assert "its entry 20 is not the one in this page" in opened.drop(log)
        assert opened.outcome == "bad"

    def test_another_log(self, tmp_path: Path, opened: Opened) -> None:
        """A sound log of another stream is not taken for this one."""
        log = write_plain_log(tmp_path)
        opened.open(report(log))
        opening = logs.opened()
        opening["attributes"]["audit.stream.id"] = "another"
        log.write_bytes(logs.join(logs.chain([opening, entry(2)])))
        assert "It is another log than the one this report was made from" in opened.drop(log)
        assert opened.outcome == "unsure"

    def test_truncated_is_found_out_with_an_anchor(self, tmp_path: Path, opened: Opened) -> None:
        """Cut by its last lines, the log is found out by an anchor, and lacks what the report had."""
        log = write_plain_log(tmp_path)
        lines = log.read_bytes().splitlines(keepends=True)
        opened.open(report(log))
        log.write_bytes(b"".join(lines[:30]))
        assert "It lacks the last 10 entries" in opened.drop(log)
        assert opened.outcome == "bad"
        said = opened.drop(log, anchor=f"40:{logs.hash_of(lines[39].rstrip())}")
        assert "Not intact" in said
        assert [shown.kind for shown in opened.findings(".drop-result")] == ["truncated (10)"]

    def test_wrong_files_are_refused(self, tmp_path: Path, opened: Opened) -> None:
        """Files of two logs, or no log, are refused with what was expected."""
        log = write_plain_log(tmp_path)
        opened.open(report(log))
        other = tmp_path / "other.jsonl"
        shutil.copy(log, other)
        assert "expected the files of one log, got audit.jsonl, other.jsonl" in opened.drop(log, other)

    def test_the_corpus_gives_the_same_findings(self, tmp_path: Path, opened: Opened) -> None:
        """Of each log of the tamper corpus the page finds what `otel-audit verify` finds: kinds, severities, places."""
        opened.open(report(write_plain_log(tmp_path)))
        different = []
        for case in CASES:
            options = json.loads((case / "case.json").read_text())["options"]
            files = sorted(case.glob("audit*"))
            if not any(file.suffix == ".jsonl" for file in files):
                continue  # there is nothing to give to the page
            key = options.get("hmac_key_file")
            anchors = options.get("anchors", [])[:1]
            found = verify_log(case, anchors=anchors, hmac_key_file=case / key if key else None).findings
            opened.drop(*files, *([case / key] if key else []), anchor="".join(anchors))
            shown = sorted(opened.findings(".drop-result"))
            if shown != sorted(map(_as_shown, found)):
                different.append((case.name, shown, [_as_shown(finding) for finding in found]))
        assert different == []
        assert len(CASES) > 200


def _as_shown(finding: Finding) -> tuple[str, str, str]:
    many = f" ({finding.count:,})" if finding.count > 1 else ""
    line = "" if finding.line is None else f", line {finding.line:,}"
    seq = "" if finding.seq is None else f", entry {finding.seq:,}"
    return f"{finding.kind}{many}", finding.severity, f"{os.path.basename(finding.path)}{line}{seq}"


PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "\x1b[31mred\x1b[0m\x07",
    "{{script}} {{summary}} </style><svg onload=alert(1)>",
    "<!--<script>",
    "]]>&quot;\" onmouseover=alert(1) '",
    "__proto__",
    "constructor",
)


class TestInert:
    def test_payloads_show_as_text(self, tmp_path: Path, opened: Opened) -> None:
        """Markup, script addresses, direction marks and escapes in every field do nothing and show as text."""
        members = []
        for number, payload in enumerate(PAYLOADS):
            intent = logs.attributes(2 + 2 * number, **{"audit.phase": "intent"})
            seq = 3 + 2 * number
            attributes = logs.attributes(seq) | {
                "audit.actor.id": payload,
                "audit.target.id": payload,
                "audit.delegation": [payload, payload],
                "audit.reason": payload,
                "audit.outcome": "failure",
                "error.type": payload,
                payload: {payload: payload},
            }
            members += [
                entry(seq - 1, payload, attributes=intent | {"audit.actor.id": payload}),
                entry(seq, payload, attributes=attributes, body=payload, resource={"service.name": payload}),
            ]
        log = write_log(tmp_path, members)
        page = report(log, "--title", PAYLOADS[5])
        opened.open(page)
        assert opened.is_green
        assert opened.page.inner_text("h1").startswith("{{script}} {{summary}} </style>")
        assert (
            opened.page.evaluate("document.querySelectorAll('main img, main script, main a[href^=javascript]').length")
            == 0
        )
        table = opened.page.inner_text("table")
        assert "</script><img src=x onerror=alert(1)>" in table
        assert "\\u202egnp.exe" in table
        assert "\\u001b[31mred" in table
        for row in range(1, 2 * len(PAYLOADS) + 1):
            opened.page.click(f"tbody tr:nth-child({row}) button")
            text = opened.page.inner_text("dialog")
            assert "✓ its hash is right" in text
            assert not set(text) & {"\u202e", "\x1b", "\x07"}
            opened.page.keyboard.press("Escape")

    def test_nothing_invisible_is_left(self, opened: Opened) -> None:
        """Every control, line end, mark of direction and character without a shape, as Unicode has them, is escaped."""
        found = opened.page.evaluate(
            r"""() => Array.from({ length: 0x110000 }, (_, code) => code).filter((code) =>
                /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}]/u
                    .test(String.fromCodePoint(code)))"""
        )
        escaped = {code for code in range(sys.maxunicode + 1) if visible(chr(code)) != chr(code)}
        assert len(found) > 6000
        assert escaped - set(found) == {0xFFF9, 0xFFFA, 0xFFFB}  # beyond these only the marks of annotations
        assert set(found) <= escaped

    def test_objects_where_names_should_be(self, tmp_path: Path, opened: Opened) -> None:
        """Values of any type, where a name should be, are shown as JSON, and break nothing."""
        strange: list[Any] = [{"toString": 1}, [1, [2]], {"a": None}, 10**17, 1.5, True, None]
        names = ("actor.id", "actor.type", "target.id", "target.type", "reason", "decision", "delegation", "duration")
        members = []
        for seq, value in enumerate(strange, 2):
            attributes = logs.attributes(seq) | {f"audit.{name}": value for name in names} | {"error.type": value}
            members.append(entry(seq, attributes=attributes, body=value if value is not None else "x"))
        lost = {"audit.dropped.count": {"toString": 1}, "error.type": {}, "audit.fragment.length": {"valueOf": 2}}
        members.append(logs.log_entry(9, "audit.log.dropped", **lost))
        members.append(logs.log_entry(10, "audit.log.voided", **{"audit.voided.first": "\u202e"}))
        opened.open(report(write_log(tmp_path, members)))
        assert opened.is_green
        assert "\u202e" not in opened.page.inner_text("#story")
        for seq in range(2, 9):
            opened.page.evaluate(f"location.hash = 'entry={seq}'")
            opened.page.wait_for_selector(f"dialog:has-text('Entry {seq}') >> text=its hash is right")

    def test_hostile_addresses(self, tmp_path: Path, opened: Opened) -> None:
        """Whatever stands behind the "#" of the address, the page works."""
        page = report(write_plain_log(tmp_path))
        for fragment in (
            "#result=__proto__",
            "#result=constructor",
            "#entry=-1",
            "#page=1e99",
            "#from=x&to=y",
            "#q=%00",
        ):
            opened.open(page, fragment)
            assert opened.is_green
            assert "[object" not in opened.page.inner_text("#entries")

    def test_a_string_of_a_mebibyte(self, tmp_path: Path, opened: Opened) -> None:
        """A line nearly as long as a line may be is shown in part, and checked whole."""
        log = write_log(tmp_path, [entry(2, attributes=logs.attributes(2, note="x" * 1_040_000))])
        opened.open(report(log))
        assert opened.is_green
        opened.page.click("tbody tr:nth-child(1) button")
        assert "characters; the copy has all" in opened.page.inner_text("dialog")

    def test_only_its_own_script_runs(self, tmp_path: Path, opened: Opened) -> None:
        """The page's policy lets no other script run, and nothing be fetched."""
        opened.open(report(write_plain_log(tmp_path)))
        opened.page.evaluate(
            "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
            " document.body.append(s); const i = document.createElement('div');"
            " i.innerHTML = '<img src=x onerror=\"window.ran = 2\">'; document.body.append(i); }"
        )
        opened.page.wait_for_timeout(100)
        assert opened.page.evaluate("window.ran") is None
        assert len([c for c in opened.complaints if "Content Security Policy" in c]) >= 2
        assert opened.page.evaluate("fetch('https://127.0.0.1:9/').then(() => 'fetched', () => 'refused')") == "refused"
        opened.complaints.clear()
        opened.requests.clear()


class TestReading:
    def test_filters_stand_in_the_address(self, tmp_path: Path, opened: Opened) -> None:
        """A choice in a chart filters all others and the table, and an address with it gives the same view."""
        page = report(write_plain_log(tmp_path))
        opened.open(page)
        opened.page.click(".legend button:has-text('blocked')")
        assert opened.page.url.endswith("#result=blocked")
        assert opened.page.inner_text(".total").startswith("3 entries")
        opened.open(page, "#result=failure&entry=14")
        assert opened.page.inner_text(".total").startswith("5 entries")
        assert "Entry 14" in opened.page.inner_text("dialog")
        opened.page.keyboard.press("Escape")
        opened.page.click(".chip")
        assert opened.page.inner_text(".total").startswith("39 entries")

    def test_text_is_found(self, tmp_path: Path, opened: Opened) -> None:
        """What is typed filters by the text of the lines."""
        opened.open(report(write_plain_log(tmp_path)))
        opened.page.fill("#search", "over the limit")
        opened.page.wait_for_selector("text=3 entries, 1 to 3 shown")

    def test_a_trace_has_its_link(self, tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where OTEL_AUDIT_TRACE_URL is set, an entry's trace is a link; no other scheme is taken."""
        monkeypatch.setenv("OTEL_AUDIT_TRACE_URL", "https://traces.test/{trace_id}#{span_id}")
        ids = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba90201", "trace_flags": "01"}
        log = write_log(tmp_path, [entry(2, **ids)])
        opened.open(report(log), "#entry=2")
        assert opened.page.get_attribute("dialog a", "href") == (
            "https://traces.test/4bf92f3577b34da6a3ce929d0e0e4736#00f067aa0ba90201"
        )
        monkeypatch.setenv("OTEL_AUDIT_TRACE_URL", "javascript:alert('{trace_id}')")
        report(log, status=2)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 768, 1280, 2560])
    def test_fits_and_is_accessible(self, tmp_path: Path, browser: Browser, width: int, scheme: str) -> None:
        """At each width, light and dark: no sideways scrolling, nothing jumps, and axe finds nothing serious."""
        page = report(write_plain_log(tmp_path))
        opened = Opened(browser, width=width, scheme=scheme)
        opened.page.add_init_script(
            "window.shift = 0; new PerformanceObserver(list => { for (const each of list.getEntries())"
            " window.shift += each.value; }).observe({type: 'layout-shift', buffered: true});"
        )
        opened.open(page)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.page.evaluate("window.shift") < 0.05
        opened.page.evaluate(axe().read_text())
        for entry in (False, True):
            if entry:
                opened.page.click("tbody tr:nth-child(3) button")
                opened.page.wait_for_selector("text=its hash is right")
            found = opened.page.evaluate("axe.run()")["violations"]
            bad = [
                (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
            ]
            assert bad == []
        assert opened.complaints == []
        opened.close()

    def test_a_period_is_chosen_without_dragging(self, tmp_path: Path, opened: Opened) -> None:
        """A period can be typed in, and a principal chosen by key."""
        members = [entry(seq, time=f"2026-11-22T00:00:{seq:02d}.000000000Z") for seq in range(2, 41)]
        opened.open(report(write_log(tmp_path, members)))
        opened.page.fill("#from-time", "2026-11-22T00:00:30")
        opened.page.wait_for_selector("text=11 entries, 1 to 11 shown")
        opened.page.focus(".flow [role=button]")
        opened.page.keyboard.press("Enter")
        assert "principal=agent" in opened.page.url

    def test_by_keyboard(self, tmp_path: Path, opened: Opened) -> None:
        """An entry is reached, opened and left by keys alone."""
        opened.open(report(write_plain_log(tmp_path)))
        opened.page.focus("tbody tr:nth-child(2) button")
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_selector("dialog[open]")
        opened.page.keyboard.press("Escape")
        opened.page.wait_for_selector("dialog:not([open])", state="attached")
        assert "entry" not in opened.page.url

    def test_prints(self, tmp_path: Path, opened: Opened) -> None:
        """The page prints to a PDF, its charts drawn for paper, what verify said unfolded; then it is as it was."""
        opened.open(report(write_plain_log(tmp_path)))
        opened.page.evaluate("addEventListener('beforeprint', () => { globalThis.onPaper = globalThis.drawn() })")
        opened.page.evaluate(
            "globalThis.drawn = () => [document.querySelector('.timeline svg').getAttribute('width'),"
            " document.querySelector('.told').open]"
        )
        before = opened.page.evaluate("drawn()")
        assert opened.page.pdf(format="A4").startswith(b"%PDF-")
        assert opened.page.evaluate("onPaper") == ["700", True]
        assert opened.page.evaluate("drawn()") == before
        assert before[1] is False
