"""`reconcile`: what a log and its copies tell of each other."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import threading
from pathlib import Path

import pytest

from otel_audit import AuditVerifyError
from otel_audit.reconcile import ReconcileReport, reconcile
from tests import copies, logs

SAMPLES = Path(__file__).parent / "samples"
Found = list[tuple[str, int, int]]


def write(folder: Path, lines: list[bytes], name: str = "audit.jsonl") -> Path:
    """Write a log, and return its path."""
    path = folder / name
    path.write_bytes(logs.join(lines))
    return path


def compared(folder: Path, lines: list[bytes], *made: bytes) -> ReconcileReport:
    """Compare a log with copies that hold these bytes."""
    paths = [folder / f"copy-{number}.jsonl" for number in range(len(made))]
    for path, data in zip(paths, made, strict=True):
        path.write_bytes(data)
    return reconcile(write(folder, lines), paths)


def found(report: ReconcileReport) -> Found:
    """Return kind and both ends of each finding."""
    return [(finding.kind, finding.seq, finding.last_seq) for finding in report.findings]


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Return a sound log of 300 entries."""
    return logs.log(300)


class TestRealCollector:
    """What a collector's file exporter wrote."""

    @pytest.mark.parametrize(("way", "not_sent"), [("tail", 0), ("otlp", 1)])
    def test_agrees(self, way: str, not_sent: int) -> None:
        """Every entry that the way sends is there, and every member of it is the line's."""
        report = reconcile(SAMPLES / way / "audit.jsonl", [SAMPLES / way / "logs.jsonl"])
        assert report.agrees
        assert (report.entries, report.copied, report.not_sent) == (24, 24 - not_sent, not_sent)
        assert (report.foreign, report.others, report.unlinked, report.unreadable) == (0, 0, 0, 0)

    @pytest.mark.parametrize("way", ["tail", "otlp"])
    def test_every_changed_value_is_found(self, way: str, tmp_path: Path) -> None:
        """Each value of each record, changed alone, is one finding at its seq."""
        data = (SAMPLES / way / "logs.jsonl").read_bytes()
        made = json.loads(data)
        record = made["resourceLogs"][-1]["scopeLogs"][0]["logRecords"][-1]
        seq = next(int(p["value"]["intValue"]) for p in record["attributes"] if p["key"] == "audit.sequence.number")
        changed = 0
        for pair in record["attributes"]:
            name, before = pair["key"], pair["value"]
            if name in ("log.file.path", "audit.sequence.number", "audit.stream.id", "log.record.original"):
                continue
            pair["value"] = {"stringValue": "another"}
            (tmp_path / "copy").write_bytes(json.dumps(made).encode())
            report = reconcile(SAMPLES / way / "audit.jsonl", [tmp_path / "copy"])
            assert found(report) == [("altered", seq, seq)], name
            assert name in report.findings[0].got or name == "audit.integrity.hash"
            pair["value"] = before
            changed += 1
        assert changed > 15


class TestTheCopyIsWhole:
    """No findings."""

    @pytest.mark.parametrize("original", [True, False])
    def test_otlp(self, original: bool, lines: list[bytes], tmp_path: Path) -> None:
        """A copy by either way agrees."""
        report = compared(tmp_path, lines, copies.copy(lines, original=original))
        assert report.agrees
        assert (report.copied, report.doubles, report.records) == (300, 0, 300)

    def test_exact_lines(self, lines: list[bytes], tmp_path: Path) -> None:
        """A copy of the file agrees, whole or in parts."""
        assert compared(tmp_path, lines, logs.join(lines[:100]), logs.join(lines[100:])).agrees

    @pytest.mark.parametrize("mode", ["hash", "none"])
    def test_modes(self, mode: str, tmp_path: Path) -> None:
        """A log without a chain, or without hashes, can be compared as well."""
        lines = logs.log(30, mode=mode)
        for original in (True, False):
            assert compared(tmp_path, lines, copies.copy(lines, original=original)).agrees

    def test_key(self, tmp_path: Path) -> None:
        """A log with a key agrees with its copies; the key is not needed."""
        lines = logs.log(30, key=b"k" * 32)
        for original in (True, False):
            assert compared(tmp_path, lines, copies.copy(lines, original=original)).agrees

    def test_segments(self, tmp_path: Path) -> None:
        """All segments are one log."""
        parts = logs.segments([20, 30, 40])
        for name, part in zip(logs.names_of(3), parts, strict=True):
            write(tmp_path, part, name)
        (tmp_path / "copy").write_bytes(copies.copy(itertools.chain(*parts)))
        report = reconcile(tmp_path / "audit.jsonl", [tmp_path / "copy"])
        assert report.agrees
        assert report.entries == 90

    def test_out_of_order_with_doubles(self, lines: list[bytes], tmp_path: Path) -> None:
        """The order of a copy does not matter, and doubles are counted, not findings."""
        shuffled = lines * 2
        random.Random(1).shuffle(shuffled)
        for original in (True, False):
            report = compared(tmp_path, lines, copies.copy(shuffled, original=original))
            assert report.agrees
            assert report.doubles == 300

    def test_own_entries_are_not_sent_by_the_application(self, lines: list[bytes], tmp_path: Path) -> None:
        """A copy of the application alone lacks the log's own entries: told, and no finding."""
        report = compared(tmp_path, lines, copies.copy(lines[1:], original=False))
        assert report.agrees
        assert report.not_sent == 1

    def test_own_entries_are_lines_as_others(self, lines: list[bytes], tmp_path: Path) -> None:
        """A copy of the file that lacks one of the log's own entries lacks an entry."""
        assert found(compared(tmp_path, lines, copies.copy(lines[1:]))) == [("not_in_copy", 1, 1)]

    def test_resource_with_more(self, lines: list[bytes], tmp_path: Path) -> None:
        """A collector may add to the resource."""
        made = copies.request(lines)
        for group in made["resourceLogs"]:
            group["resource"]["attributes"] += copies.key_values({"k8s.pod.name": "a"})
        assert compared(tmp_path, lines, logs.dump(made)).agrees

    def test_deep_values_as_text(self, tmp_path: Path) -> None:
        """What lies deeper than a copy can carry may be its JSON text, and no other."""
        value: object = {"b": [1, 2.5], "a": None}
        for _ in range(40):
            value = [value]
        line = next(logs.chain([logs.entry(1, deep=value)]))
        made = copies.request([line])
        inner = json.loads(line)["attributes"]["deep"]
        steps = [made]
        target = next(p for p in copies.record_of(made)["attributes"] if p["key"] == "deep")["value"]
        for _ in range(28):
            target, inner = target["arrayValue"]["values"][0], inner[0]
        target.clear()
        target["stringValue"] = json.dumps(inner)
        assert compared(tmp_path, [line], *map(logs.dump, steps)).agrees
        target["stringValue"] = json.dumps(inner).replace("2.5", "2.25")
        assert found(compared(tmp_path, [line], *map(logs.dump, steps))) == [("altered", 1, 1)]


class TestTheCopyLacks:
    """not_in_copy."""

    @pytest.mark.parametrize("original", [True, False])
    def test_stretches(self, original: bool, lines: list[bytes], tmp_path: Path) -> None:
        """Each stretch that is missing is one finding, with the line at which it begins."""
        kept = [*lines[:99], *lines[149:200], *lines[201:250]]
        report = compared(tmp_path, lines, copies.copy(kept, original=original))
        stretches = [(100, 149), (201, 201), (251, 300)]
        assert found(report) == [("not_in_copy", first, last) for first, last in stretches]
        assert [finding.line for finding in report.findings] == [100, 201, 251]
        assert report.totals["not_in_copy"] == 101
        assert [(one.first, one.last) for one in report.missing.ranges()] == stretches

    def test_line_numbers_in_segments(self, tmp_path: Path) -> None:
        """A finding names the segment and the line in it."""
        parts = logs.segments([20, 30])
        for name, part in zip(logs.names_of(2), parts, strict=True):
            write(tmp_path, part, name)
        (tmp_path / "copy").write_bytes(copies.copy([*parts[0], *parts[1][:4], *parts[1][6:]]))
        [finding] = reconcile(tmp_path / "audit.jsonl", [tmp_path / "copy"]).findings
        assert (finding.seq, finding.last_seq, finding.line) == (25, 26, 5)
        assert finding.path == str(tmp_path / "audit.000002.jsonl")

    def test_nothing_of_this_log(self, lines: list[bytes], tmp_path: Path) -> None:
        """A copy with nothing of this log in it lacks all of it."""
        report = compared(tmp_path, lines, b'{"resourceSpans":[]}\n')
        assert found(report) == [("not_in_copy", 1, 300)]
        assert report.foreign == 1

    def test_empty(self, lines: list[bytes], tmp_path: Path) -> None:
        """So does an empty one."""
        assert found(compared(tmp_path, lines, b"")) == [("not_in_copy", 1, 300)]


class TestTheLogLacks:
    """truncated and gap."""

    @pytest.mark.parametrize("original", [True, False])
    def test_cut_at_the_end(self, original: bool, lines: list[bytes], tmp_path: Path) -> None:
        """A log cut by its last 100 lines is one finding with exactly these."""
        report = compared(tmp_path, lines[:-100], copies.copy(lines, original=original))
        assert found(report) == [("truncated", 201, 300)]
        assert "seq 200" in report.findings[0].got

    def test_cut_and_out_of_order(self, lines: list[bytes], tmp_path: Path) -> None:
        """In whatever order the copy came: what leads to the log's end is the log's."""
        shuffled = list(lines)
        random.Random(2).shuffle(shuffled)
        for data in (copies.copy(shuffled), logs.join(shuffled)):
            report = compared(tmp_path, lines[:200], data)
            assert found(report) == [("truncated", 201, 300)]
            assert report.unlinked == 0

    def test_gap(self, lines: list[bytes], tmp_path: Path) -> None:
        """Entries that the log lacks in its middle are a gap."""
        report = compared(tmp_path, [*lines[:49], *lines[60:]], copies.copy(lines))
        assert found(report) == [("gap", 50, 60)]

    def test_gap_up_to_the_end(self, lines: list[bytes], tmp_path: Path) -> None:
        """A stretch of lost entries is one finding on each side of the head."""
        report = compared(tmp_path, [*lines[:49], lines[59]], copies.copy(lines[:80]))
        assert found(report) == [("gap", 50, 59), ("truncated", 61, 80)]

    def test_what_no_chain_leads_to(self, lines: list[bytes], tmp_path: Path) -> None:
        """Lines behind entries that nobody has cannot be told from another log's: told as unlinked."""
        report = compared(tmp_path, lines[:100], copies.copy([*lines[:110], *lines[120:]]))
        assert found(report) == [("truncated", 101, 110), ("unplaced", 121, 300)]
        assert report.unlinked == 180

    @pytest.mark.parametrize("way", ["path", "segment", "resource", "lines"])
    def test_cut_right_before_a_hole(self, way: str, lines: list[bytes], tmp_path: Path) -> None:
        """Entries behind the end, from the log's own file or process, are a finding even if no chain leads to them."""
        held = [*lines[:8], *lines[9:]]
        made = copies.request(held)
        for at, group in enumerate(made["resourceLogs"]):
            name = "audit.000002.jsonl" if way == "segment" and at >= 8 else "audit.jsonl"
            if way == "resource":
                group["resource"]["attributes"].append({"key": "service.instance.id", "value": {"stringValue": "a"}})
                record = copies.record_of(made, at)
                record["attributes"] = [p for p in record["attributes"] if p["key"] != "log.record.original"]
            else:
                copies.set_attribute(copies.record_of(made, at), "log.file.path", {"stringValue": f"/var/log/{name}"})
        data = logs.join(held) if way == "lines" else logs.dump(made)
        report = compared(tmp_path, lines[:8], data)
        assert found(report) == [("unplaced", 10, 300)]
        assert report.totals["unplaced"] == 291
        assert found(compared(tmp_path, lines, data)) == [("not_in_copy", 9, 9)]

    @pytest.mark.parametrize("differs", ["path", "host"])
    def test_others_behind_the_end(self, differs: str, lines: list[bytes], tmp_path: Path) -> None:
        """Longer logs of other files or hosts in the same archive are none."""
        other = [logs.opened(), *(logs.entry(seq, "other") for seq in range(2, 301))]
        other[0]["attributes"]["audit.stream.id"] = "another"
        ours, theirs = copies.request(lines[:100]), copies.request(logs.chain(other))
        for made, path, host in (
            (ours, "/var/log/a.jsonl", "a"),
            (theirs, f"/var/log/{'b' if differs == 'path' else 'a'}.jsonl", "b" if differs == "host" else "a"),
        ):
            for at, group in enumerate(made["resourceLogs"]):
                group["resource"]["attributes"].append({"key": "host.name", "value": {"stringValue": host}})
                copies.set_attribute(copies.record_of(made, at), "log.file.path", {"stringValue": path})
        report = compared(tmp_path, lines[:100], logs.dump(ours), logs.dump(theirs))
        assert report.agrees
        assert report.others + report.unlinked == 300

    def test_more_than_can_wait(self, lines: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What waits is bounded; what falls out is told as unlinked, and never as another log's."""
        monkeypatch.setattr("otel_audit.reconcile.belonging.MAX_WAITING", 20)
        report = compared(tmp_path, lines[:200], logs.join([*lines[:200], *reversed(lines[200:])]))
        assert found(report) == [("truncated", 201, 221), ("unplaced", 300, 300)]
        assert (report.unlinked, report.others) == (79, 0)


class TestDiverged:
    """The log is not what was copied."""

    @pytest.mark.parametrize("original", [True, False])
    @pytest.mark.parametrize("seq", [1, 2, 150, 300])
    def test_edited_and_sealed_again(self, original: bool, seq: int, lines: list[bytes], tmp_path: Path) -> None:
        """One edited line with the whole chain sealed again is one finding, which names that line."""
        edited = copies.resealed(lines, seq, **{"audit.outcome": "failure"})
        report = compared(tmp_path, edited, copies.copy(lines, original=original))
        assert found(report) == [("diverged", seq, 300)]
        [finding] = report.findings
        assert [(one.first, one.last) for one in finding.changed] == [(seq, seq)]
        assert finding.line == seq
        assert logs.hash_of(lines[seq - 1]) in finding.expected

    def test_exact_lines_out_of_order(self, lines: list[bytes], tmp_path: Path) -> None:
        """The same from exact lines, in any order."""
        edited = copies.resealed(lines, 40, **{"audit.outcome": "failure"})
        shuffled = list(lines)
        random.Random(3).shuffle(shuffled)
        report = compared(tmp_path, edited, logs.join(shuffled))
        assert found(report) == [("diverged", 40, 300)]
        assert [(one.first, one.last) for one in report.findings[0].changed] == [(40, 40)]

    @pytest.mark.parametrize("original", [True, False])
    def test_edited_only(self, original: bool, lines: list[bytes], tmp_path: Path) -> None:
        """A line edited under its old seal is the log's fault, not the copy's."""
        edited = [*lines[:49], lines[49].replace(b'"success"', b'"failure"'), *lines[50:]]
        report = compared(tmp_path, edited, copies.copy(lines, original=original))
        assert found(report) == [("diverged", 50, 50)]
        assert report.findings[0].changed

    @pytest.mark.parametrize("removed", [b',"log.verdict":"fraud"', b',"host.name":"a"'])
    def test_edited_where_nothing_is_compared(self, removed: bytes, tmp_path: Path) -> None:
        """So is a line without what a record may have for itself: its bytes have not the hash that it says."""
        entries = [logs.opened(), *map(logs.entry, range(2, 21))]
        entries[9]["attributes"]["log.verdict"] = "fraud"
        entries[9]["resource"]["host.name"] = "a"
        lines = list(logs.chain(entries))
        edited = [*lines[:9], lines[9].replace(removed, b""), *lines[10:]]
        assert edited != lines
        report = compared(tmp_path, edited, copies.copy(lines, original=False))
        assert found(report) == [("diverged", 10, 10)]
        digits = logs.hash_of(lines[9])
        assert (report.findings[0].expected, report.findings[0].got) == (
            f"bytes with hash {digits}",
            "bytes that have another",
        )
        assert report.findings[0].changed

    def test_edited_without_hashes(self, tmp_path: Path) -> None:
        """In mode none, too, an edited line is found."""
        lines = logs.log(20, mode="none")
        edited = [*lines[:9], lines[9].replace(b'"success"', b'"failure"'), *lines[10:]]
        for original in (True, False):
            report = compared(tmp_path, edited, copies.copy(lines, original=original))
            assert found(report) == [("diverged", 10, 10)]

    def test_edited_and_cut(self, lines: list[bytes], tmp_path: Path) -> None:
        """An edit and a cut are two findings."""
        edited = copies.resealed(lines, 40, **{"audit.outcome": "failure"})[:200]
        report = compared(tmp_path, edited, copies.copy(lines))
        assert found(report) == [("truncated", 201, 300), ("diverged", 40, 200)]


class TestAltered:
    """The copy is not what was sent."""

    def test_original(self, lines: list[bytes], tmp_path: Path) -> None:
        """An exact line that does not hash to its hash was altered on the way."""
        made = copies.request(lines)
        line = lines[49].replace(b'"git_log"', b'"***"').decode()
        copies.set_attribute(copies.record_of(made, 49), "log.record.original", {"stringValue": line})
        report = compared(tmp_path, lines, logs.dump(made))
        assert found(report) == [("altered", 50, 50)]
        assert (report.findings[0].path, report.findings[0].line) == (str(tmp_path / "copy-0.jsonl"), 1)

    @pytest.mark.parametrize("original", [True, False])
    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("timeUnixNano", "1"),
            ("timeUnixNano", None),
            ("observedTimeUnixNano", "1"),
            ("eventName", "another"),
            ("body", {"stringValue": "text"}),
            ("severityNumber", 9),
            ("severityText", "INFO"),
            ("traceId", "0" * 32),
            ("spanId", ""),
            ("flags", 0),
        ],
    )
    def test_member(self, original: bool, member: str, value: object, lines: list[bytes], tmp_path: Path) -> None:
        """A member of the record that is not the line's is found."""
        made = copies.request(lines, original=original)
        copies.record_of(made, 49)[member] = value
        assert found(compared(tmp_path, lines, logs.dump(made))) == [("altered", 50, 50)]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("audit.actor.id", {"stringValue": "***"}),
            ("lines", {"stringValue": "50"}),
            ("lines", {"doubleValue": 50.0}),
            ("lines", {}),
            ("added", {"boolValue": True}),
            ("audit.sequence.prev_hash", {"stringValue": "0" * 64}),
            ("gen_ai.tool.name", {"stringValue": "git_log", "intValue": "1"}),
            ("gen_ai.tool.name", {"bytesValue": "Z2l0X2xvZw=="}),
        ],
    )
    @pytest.mark.parametrize("original", [True, False])
    def test_attribute(
        self, original: bool, name: str, value: dict[str, object], lines: list[bytes], tmp_path: Path
    ) -> None:
        """An attribute of another value or type, or one more, is found and named."""
        made = copies.request(lines, original=original)
        copies.set_attribute(copies.record_of(made, 49), name, value)
        report = compared(tmp_path, lines, logs.dump(made))
        assert found(report) == [("altered", 50, 50)]
        assert name in report.findings[0].got

    @pytest.mark.parametrize("original", [True, False])
    def test_attribute_removed(self, original: bool, lines: list[bytes], tmp_path: Path) -> None:
        """So is one that is gone."""
        made = copies.request(lines, original=original)
        record = copies.record_of(made, 49)
        record["attributes"] = [pair for pair in record["attributes"] if pair["key"] != "audit.target.id"]
        assert found(compared(tmp_path, lines, logs.dump(made))) == [("altered", 50, 50)]

    @pytest.mark.parametrize("original", [True, False])
    def test_attribute_twice(self, original: bool, lines: list[bytes], tmp_path: Path) -> None:
        """An attribute that stands twice is found: two readers would see two values."""
        made = copies.request(lines, original=original)
        record = copies.record_of(made, 49)
        record["attributes"].append({"key": "audit.actor.id", "value": {"stringValue": "agent"}})
        assert found(compared(tmp_path, lines, logs.dump(made))) == [("altered", 50, 50)]

    def test_resource(self, lines: list[bytes], tmp_path: Path) -> None:
        """A record under another process's resource is found."""
        made = copies.request(lines)
        made["resourceLogs"][49]["resource"]["attributes"][1]["value"] = {"intValue": "2"}
        report = compared(tmp_path, lines, logs.dump(made))
        assert found(report) == [("altered", 50, 50)]
        assert "resource.process.pid" in report.findings[0].got

    def test_scope(self, lines: list[bytes], tmp_path: Path) -> None:
        """A record of another scope is found."""
        made = copies.request(lines)
        made["resourceLogs"][49]["scopeLogs"][0]["scope"]["name"] = "another"
        assert found(compared(tmp_path, lines, logs.dump(made))) == [("altered", 50, 50)]

    @pytest.mark.parametrize("after", ["", '{"seq":3,', ' {"seq":1,', "REDACTED"])
    def test_original_that_is_none(self, after: str, lines: list[bytes], tmp_path: Path) -> None:
        """A log.record.original that is no line, on a record with stamps, was altered."""
        made = copies.request(lines)
        copies.set_attribute(copies.record_of(made, 49), "log.record.original", {"stringValue": after})
        report = compared(tmp_path, lines, logs.dump(made))
        assert found(report) == [("altered", 50, 50)]
        assert "log.record.original" in report.findings[0].got

    @pytest.mark.parametrize("original", [True, False])
    def test_original_of_the_program(self, original: bool, tmp_path: Path) -> None:
        """A program's own attribute of that name moves no record to another entry, and is compared as others."""
        members = [logs.opened(), *(logs.entry(seq) for seq in range(2, 10))]
        before = list(logs.chain(members))
        members[6]["attributes"]["log.record.original"] = before[2].decode()
        members[7]["attributes"]["log.record.original"] = "mine"
        lines = list(logs.chain(members))
        made = copies.request(lines, original=original)
        assert compared(tmp_path, lines, logs.dump(made)).agrees
        assert found(compared(tmp_path, lines[:6], logs.dump(made))) == [("truncated", 7, 9)]
        if not original:
            copies.set_attribute(copies.record_of(made, 7), "log.record.original", {"stringValue": "yours"})
            assert found(compared(tmp_path, lines, logs.dump(made))) == [("altered", 8, 8)]

    def test_scope_version(self, lines: list[bytes], tmp_path: Path) -> None:
        """The version of a scope is part of it."""
        members = [logs.opened(), logs.entry(2), logs.entry(3)]
        members[2]["scope"] = {"name": "a", "version": "1"}
        lines = list(logs.chain(members))
        made = copies.request(lines)
        assert compared(tmp_path, lines, logs.dump(made)).agrees
        made["resourceLogs"][2]["scopeLogs"][0]["scope"]["version"] = "2"
        assert found(compared(tmp_path, lines, logs.dump(made))) == [("altered", 3, 3)]

    def test_reasons(self, lines: list[bytes], tmp_path: Path) -> None:
        """A stretch is cut where the reason changes."""
        made = copies.request(lines)
        for at, member in ((20, "body"), (21, "body"), (22, "eventName"), (23, "body")):
            copies.record_of(made, at)[member] = {"stringValue": "a"} if member == "body" else "a"
        report = compared(tmp_path, lines, logs.dump(made))
        assert found(report) == [("altered", 21, 22), ("altered", 23, 23), ("altered", 24, 24)]
        assert [one.got for one in report.findings] == ["another body", "another event_name", "another body"]

    def test_more_reasons_than_are_kept(
        self, lines: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a stretch whose reasons were not kept no reason is told."""
        monkeypatch.setattr("otel_audit.reconcile.reconciler.MAX_NOTES", 3)
        made = copies.request(lines)
        for at in range(20, 30):
            copies.record_of(made, at)["eventName"] = "a"
        report = compared(tmp_path, lines, logs.dump(made))
        assert found(report) == [("altered", 21, 23), ("altered", 24, 30)]
        assert [one.got for one in report.findings] == ["another event_name", "another"]

    def test_forged_entry_behind_the_end(self, lines: list[bytes], tmp_path: Path) -> None:
        """A line behind the log's end whose hash is wrong proves nothing of the log."""
        forged = lines[-1].replace(b'"success"', b'"failure"')
        report = compared(tmp_path, lines[:-1], copies.copy([*lines[:-1], forged]))
        assert found(report) == [("altered", 300, 300)]


class TestOtherLogs:
    """An archive holds what many programs sent."""

    @pytest.mark.parametrize("original", [True, False])
    def test_mixed(self, original: bool, lines: list[bytes], tmp_path: Path) -> None:
        """Entries of other logs are left out, whether they carry a stream id or not."""
        other = [logs.opened(), *(logs.entry(seq, "other") for seq in range(2, 301))]
        other[0]["attributes"]["audit.stream.id"] = "another"
        theirs = list(logs.chain(other))
        data = b"".join(
            copies.copy([ours], original=original) + copies.copy([their], original=original, stream_id="another")
            for ours, their in zip(lines, theirs, strict=True)
        )
        report = compared(tmp_path, lines, data)
        assert report.agrees
        assert report.others + report.unlinked == 300

    def test_ordinary_records(self, lines: list[bytes], tmp_path: Path) -> None:
        """Log records that are no audit entries, spans and metrics are counted and left out."""
        ordinary = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hello"}}]}]}]}
        others = [logs.dump(ordinary), b'{"resourceSpans":[]}', b'{"resourceMetrics":[]}']
        report = compared(tmp_path, lines, copies.copy(lines) + logs.join(others))
        assert report.agrees
        assert report.foreign == 3


class TestTorn:
    """A collector that is killed while it writes."""

    def test_end(self, lines: list[bytes], tmp_path: Path) -> None:
        """What is torn at the end counts for nothing."""
        data = copies.copy(lines, size=100)
        report = compared(tmp_path, lines, data[:-2000])
        assert found(report) == [("not_in_copy", 201, 300)]
        assert (report.torn, report.unreadable) == (1, 0)

    def test_gone_on_with_on_the_same_line(self, lines: list[bytes], tmp_path: Path) -> None:
        """Started again, it appends behind what is torn: the next request is read from where it begins."""
        one, two, three = copies.copy(lines, size=100).splitlines(keepends=True)
        report = compared(tmp_path, lines, one + two[:5000] + two[:77] + two + three)
        assert report.agrees
        assert report.torn == 1

    def test_line(self, lines: list[bytes], tmp_path: Path) -> None:
        """The same of exact lines."""
        data = logs.join(lines[:10]) + lines[10][:200] + logs.join(lines[10:])
        report = compared(tmp_path, lines, data)
        assert report.agrees
        assert report.torn == 1


class TestReading:
    """Files and pipes."""

    def test_pipe(self, lines: list[bytes], tmp_path: Path) -> None:
        """A copy can be a pipe."""
        path = write(tmp_path, lines)
        reading, writing = os.pipe()
        data = copies.copy(lines)
        thread = threading.Thread(target=_write_all, args=(writing, data))
        thread.start()
        assert reconcile(path, [f"/dev/fd/{reading}"]).agrees
        thread.join()
        os.close(reading)

    def test_log_that_grows(self, lines: list[bytes], tmp_path: Path) -> None:
        """A pipe may bring what the log got meanwhile: the log is looked at again."""
        path = write(tmp_path, lines[:200])
        reading, writing = os.pipe()
        report: list[ReconcileReport] = []
        begun = threading.Event()
        thread = threading.Thread(
            target=lambda: report.append(reconcile(path, [f"/dev/fd/{reading}"], progress=lambda *_: begun.set()))
        )
        thread.start()
        os.write(writing, copies.copy(lines[:3], size=1))
        assert begun.wait(30)
        with path.open("ab") as file:
            file.write(logs.join(lines[200:]))
        _write_all(writing, copies.copy(lines[3:]))
        thread.join(30)
        os.close(reading)
        assert report[0].agrees
        assert report[0].entries == 300

    def test_progress(self, lines: list[bytes], tmp_path: Path) -> None:
        """Progress is told in bytes of all copies, and ends at their sum."""
        told: list[tuple[int, int | None]] = []
        write(tmp_path, lines)
        for name, part in (("a", lines[:150]), ("b", lines[150:])):
            (tmp_path / name).write_bytes(copies.copy(part))
        total = sum((tmp_path / name).stat().st_size for name in "ab")
        paths = [tmp_path / "a", tmp_path / "b"]
        reconcile(tmp_path / "audit.jsonl", paths, progress=lambda done, of: told.append((done, of)))
        assert told == sorted(told)
        assert told[-1] == (total, total)

    def test_log_that_shrinks(self, tmp_path: Path) -> None:
        """A log that becomes shorter while a pipe is read is one clear error."""
        lines = logs.log(2000)
        path = write(tmp_path, lines)
        reading, writing = os.pipe()
        failed: list[str] = []
        begun = threading.Event()

        def compare() -> None:
            try:
                reconcile(path, [f"/dev/fd/{reading}"], progress=lambda *_: begun.set())
            except AuditVerifyError as error:
                failed.append(str(error))

        thread = threading.Thread(target=compare)
        thread.start()
        os.write(writing, copies.copy(lines[:1], size=1))
        assert begun.wait(30)
        path.write_bytes(logs.join(lines[:1000]))
        with contextlib.suppress(BrokenPipeError):
            _write_all(writing, copies.copy(lines[1500:1501]))
        thread.join(30)
        os.close(reading)
        assert failed == [f"{path}: the log became shorter while it was read"]

    @pytest.mark.parametrize("data", [b"", b"garbage\n" * 5, b'{"a":1}\n'])
    @pytest.mark.parametrize("original", [True, False])
    def test_no_entries(self, original: bool, data: bytes, lines: list[bytes], tmp_path: Path) -> None:
        """A log in which no entry is left agrees with nothing."""
        (tmp_path / "audit.jsonl").write_bytes(data)
        (tmp_path / "copy").write_bytes(copies.copy(lines, original=original))
        with pytest.raises(AuditVerifyError, match="expected a log, got no line that begins as an entry"):
            reconcile(tmp_path / "audit.jsonl", [tmp_path / "copy"])

    def test_no_log(self, tmp_path: Path) -> None:
        """Where there is no log, there is nothing to compare."""
        (tmp_path / "copy").write_bytes(b"")
        with pytest.raises(AuditVerifyError, match="expected a log, got no such file"):
            reconcile(tmp_path / "audit.jsonl", [tmp_path / "copy"])

    def test_no_copy(self, lines: list[bytes], tmp_path: Path) -> None:
        """A copy that is not there, or a folder, is an error that names it."""
        for name in ("none", "."):
            with pytest.raises(AuditVerifyError, match="cannot be read"):
                reconcile(write(tmp_path, lines), [tmp_path / name])


def _write_all(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
