"""Copied entries that no chain leads to: what contradicts the log, or may, is never silent."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from otel_audit import verify_log
from otel_audit.reconcile import ReconcileReport, reconcile
from tests import copies, logs

COUNT = 60
LINES = logs.log(COUNT)
WAYS = ("lines", "tail", "path", "stamps")
PATH = "/var/log/audit.jsonl"
SERVICES = ({"service.name": "y"}, {"host.name": "b"}, {"service.namespace": "shop", "process.pid": 9})


def spelt(lines: list[bytes], way: str, path: str = PATH) -> bytes:
    """Return a copy without stream ids: exact lines, a file receiver's with or without the path, or stamps alone."""
    if way == "lines":
        return logs.join(lines)
    made = copies.request(lines, original=way != "stamps", stream_id=None)
    for at in range(len(lines)):
        if way == "path":
            copies.set_attribute(copies.record_of(made, at), "log.file.path", {"stringValue": path})
    return logs.dump(made) + b"\n"


def hosted(lines: list[bytes], host: str) -> bytes:
    """Return a file receiver's copy of one file, by a collector that names the host, if one is given."""
    made = copies.request(lines, stream_id=None)
    for at, group in enumerate(made["resourceLogs"]):
        group["resource"]["attributes"] += copies.key_values({"host.name": host} if host else {})
        copies.set_attribute(copies.record_of(made, at), "log.file.path", {"stringValue": PATH})
    return logs.dump(made) + b"\n"


def of_process(entry: logs.Members, **resource: object) -> logs.Members:
    """Return an entry with other members in its resource."""
    return {**entry, "resource": {**entry["resource"], **resource}}


def another_log(count: int, **resource: object) -> list[bytes]:
    """Return the lines of another log, of the same process if nothing else is said."""
    entries = [logs.opened(), *(logs.entry(seq, "other") for seq in range(2, count + 1))]
    entries[0]["attributes"]["audit.stream.id"] = "another"
    for entry in entries:
        entry["attributes"]["audit.record.id"] = logs.record_id(10_000 + entry["seq"])
    return list(logs.chain(of_process(entry, **resource) for entry in entries))


def rewritten(lines: list[bytes], seq: int, *, other_records: bool = False, pid: int = 1) -> list[bytes]:
    """Return a log in which each entry from one on was edited, or is another record, and all sealed again."""
    members = [json.loads(line) for line in lines[seq - 1 :]]
    for entry in members:
        del entry["prev_hash"], entry["hash"]
        entry["attributes"]["audit.reason"] = "another"
        entry["resource"]["process.pid"] = pid
        if other_records:
            entry["attributes"]["audit.record.id"] = logs.record_id(10_000 + entry["seq"])
    return [*lines[: seq - 1], *logs.chain(members, logs.hash_of(lines[seq - 2]))]


class Compared:
    """A log against a copy: by `reconcile` and by `verify_log`."""

    def __init__(self, folder: Path, lines: list[bytes], copied: bytes) -> None:
        (folder / "audit.jsonl").write_bytes(logs.join(lines))
        (folder / "copy").write_bytes(copied)
        self.report: ReconcileReport = reconcile(folder / "audit.jsonl", [folder / "copy"])
        self.verified = verify_log(folder / "audit.jsonl", anchor_copies=[folder / "copy"])

    @property
    def found(self) -> list[tuple[str, int, int]]:
        """Kind and both ends of each finding."""
        return [(one.kind, one.seq, one.last_seq) for one in self.report.findings]

    @property
    def errors(self) -> list[tuple[str, int | None]]:
        """Kind and seq of each error that `verify_log` finds."""
        return [(one.kind, one.seq) for one in self.verified.errors]

    @property
    def sound(self) -> bool:
        """Both say that nothing is wrong."""
        return self.report.agrees and self.verified.intact and self.verified.anchored


class TestContradicts:
    """The copy has a hole, and the log was sealed anew from there on."""

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("hole", [2, 20])
    def test_edited_where_the_copy_has_a_hole(self, way: str, hole: int, tmp_path: Path) -> None:
        """One edited entry that the copy lacks does not hide that all behind it has other hashes."""
        edited = copies.resealed(LINES, hole, lines=0)
        done = Compared(tmp_path, edited, spelt([*LINES[: hole - 1], *LINES[hole:]], way))
        assert done.found == [("not_in_copy", hole, hole), ("diverged", hole + 1, COUNT)]
        assert done.report.findings[0].remedy.startswith("do not send them")
        assert done.report.findings[1].changed == ()
        assert logs.hash_of(LINES[hole]) in done.report.findings[1].expected
        assert done.errors == [("diverged", hole + 1)]

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("pid", [1, 3])
    def test_every_entry_edited(self, way: str, pid: int, tmp_path: Path) -> None:
        """Nor is it hidden by an edit of each entry, and of its process: they have the ids of the log's records."""
        done = Compared(tmp_path, rewritten(LINES, 20, pid=pid), spelt([*LINES[:19], *LINES[20:]], way))
        assert done.found == [("not_in_copy", 20, 20), ("diverged", 21, COUNT)]
        assert [(one.first, one.last) for one in done.report.findings[1].changed] == [(21, COUNT)]
        assert done.errors == [("diverged", 21)]

    @pytest.mark.parametrize("way", WAYS)
    def test_forged_entries_sent_as_well(self, way: str, tmp_path: Path) -> None:
        """Of entries that differ and have one seq a copy is of one at most, whichever of the logs is asked about."""
        forged = copies.resealed(LINES, 20, lines=0)
        copied = spelt([*LINES[:19], *LINES[20:], *forged[19:]], way)
        done = Compared(tmp_path, forged, copied)
        assert done.found == [("diverged", 21, COUNT)]
        assert done.errors == [("diverged", 21)]
        done = Compared(tmp_path, LINES, copied)
        assert done.found == [("diverged", 20, COUNT)]
        assert done.errors == [("diverged", 20)]

    @pytest.mark.parametrize("order", ["reversed", "shuffled"])
    def test_any_order(self, order: str, tmp_path: Path) -> None:
        """In whatever order the copy came."""
        kept = [*LINES[:19], *LINES[20:]]
        kept = kept[::-1] if order == "reversed" else random.Random(1).sample(kept, len(kept))
        done = Compared(tmp_path, copies.resealed(LINES, 20, lines=0), logs.join(kept * 2))
        assert done.found == [("not_in_copy", 20, 20), ("diverged", 21, COUNT)]
        assert done.errors == [("diverged", 21)]

    def test_more_than_can_wait(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of those that fell out the first is kept."""
        monkeypatch.setattr("otel_audit.reconcile.belonging.MAX_WAITING", 5)
        done = Compared(tmp_path, copies.resealed(LINES, 20, lines=0), logs.join([*LINES[:19], *LINES[20:]]))
        assert ("diverged", 21, 21) in done.found
        assert done.errors == [("diverged", 21)]

    def test_edited_among_more_than_can_wait(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """So it is where the content of each was edited: the first of the same record is kept."""
        monkeypatch.setattr("otel_audit.reconcile.belonging.MAX_WAITING", 5)
        done = Compared(tmp_path, rewritten(LINES, 20), logs.join([*LINES[:19], *LINES[20:]]))
        assert ("diverged", 21, 21) in done.found
        assert done.errors == [("diverged", 21)]

    def test_forged_beginning_of_another_log(self, tmp_path: Path) -> None:
        """A line that has not the hash that it says does not make what follows it another log's."""
        opened = another_log(1)[0].replace(logs.hash_of(another_log(1)[0]).encode(), logs.hash_of(LINES[19]).encode())
        copied = logs.join([opened, *LINES[:19], *LINES[20:]])
        done = Compared(tmp_path, copies.resealed(LINES, 20, lines=0), copied)
        assert ("diverged", 21, COUNT) in done.found
        assert done.errors == [("diverged", 21)]

    def test_nothing_leads_to_the_log(self, tmp_path: Path) -> None:
        """Where the log was sealed anew from its first entry on, the copy that lacks that one contradicts the rest."""
        done = Compared(tmp_path, copies.resealed(LINES, 1, extra=1), logs.join(LINES[1:]))
        assert done.found == [("not_in_copy", 1, 1), ("diverged", 2, COUNT)]
        assert done.errors == [("diverged", None)]


class TestOpened:
    """An opened that states the log's stream id is the log's, wherever it stands, and so is what follows it."""

    @pytest.mark.parametrize("way", ["lines", "tail", "path"])
    @pytest.mark.parametrize("missing", [29, 30])
    @pytest.mark.parametrize("order", ["front", "reversed"])
    def test_service_cut_off(self, way: str, missing: int, order: str, tmp_path: Path) -> None:
        """A service whose entries are all cut off is lost, where the copy lacks a line before its opened."""
        lines = TestUnplaced.processes(**{"service.name": "y"})
        held = [*lines[: missing - 1], *lines[missing:]]
        done = Compared(tmp_path, lines[: missing - 1], spelt(held[:: -1 if order == "reversed" else 1], way))
        before = [] if missing == 30 else [("unplaced", 30, 30)]
        assert done.found == [("truncated", 31, COUNT), *before]
        assert done.errors == [("truncated", missing)]

    def test_line_without_its_hash(self, tmp_path: Path) -> None:
        """A line that has not the hash that it says leads to nothing."""
        lines = TestUnplaced.processes(**{"service.name": "y"})
        forged = lines[30].replace(b'"audit.segment.number":1', b'"audit.segment.number":2')
        done = Compared(tmp_path, lines[:29], logs.join([*lines[:29], forged, *lines[31:]]))
        assert done.found == [("unplaced", 31, COUNT)]

    def test_event_of_the_program(self, tmp_path: Path) -> None:
        """Nor does an entry of a program that has an attribute of that name."""
        entries = [logs.opened(), *map(logs.entry, range(2, COUNT + 1))]
        entries[30]["attributes"]["audit.stream.id"] = logs.STREAM_ID
        entries = [of_process(e, **({"service.name": "y"} if e["seq"] > 30 else {})) for e in entries]
        lines = list(logs.chain(entries))
        done = Compared(tmp_path, lines[:29], logs.join([*lines[:29], *lines[30:]]))
        assert done.found == [("unplaced", 31, COUNT)]


class TestUnplaced:
    """What cannot be told is told as such."""

    @staticmethod
    def processes(**second: object) -> list[bytes]:
        """Return a log that two processes wrote, 30 entries each."""
        entries = [logs.opened(), *map(logs.entry, range(2, 31))]
        entries += [of_process(e, **second) for e in (logs.opened(31), *map(logs.entry, range(32, COUNT + 1)))]
        return list(logs.chain(entries))

    @pytest.mark.parametrize("way", WAYS)
    def test_process_cut_off(self, way: str, tmp_path: Path) -> None:
        """A process whose entries are all cut off the log is not silent where the copy lacks its first one."""
        lines = self.processes(**{"process.pid": 2})
        done = Compared(tmp_path, lines[:30], spelt([*lines[:30], *lines[31:]], way))
        assert done.found == [("unplaced", 32, COUNT)]
        assert not done.verified.anchored
        assert done.verified.copies is not None
        assert done.verified.copies.unplaced == 29
        # by its path it is of this log's file
        assert done.errors == ([("truncated", 31)] if way == "path" else [])

    @pytest.mark.parametrize("pid", [1, 3])
    @pytest.mark.parametrize("way", WAYS)
    def test_other_records_in_their_place(self, way: str, pid: int, tmp_path: Path) -> None:
        """Where the log has other records, of whatever process: they can be those of a second log."""
        lines = self.processes(**{"process.pid": 2})
        forged = rewritten(lines, 31, other_records=True, pid=pid)
        done = Compared(tmp_path, forged, spelt([*lines[:30], *lines[31:]], way))
        first = 32 if way == "stamps" else 31  # the opened is not sent
        assert done.found == [("not_in_copy", first, COUNT), ("unplaced", 32, COUNT)]
        assert done.report.findings[0].remedy.startswith("do not send them")
        assert "other entries there" in done.report.findings[1].got
        assert done.verified.intact
        assert not done.verified.anchored

    def test_older_log_whose_beginning_is_gone(self, tmp_path: Path) -> None:
        """Of a log that stood in the same place and whose opened no copy has: another instance may have the pid."""
        ours = list(
            logs.chain(of_process(json.loads(line), **{"service.instance.id": "b"}) for line in unsealed(LINES))
        )
        older = another_log(40, **{"service.instance.id": "a"})[10:]
        done = Compared(tmp_path, ours, spelt([*older, *ours], "path"))
        assert done.found == [("unplaced", 11, 40)]
        assert done.verified.intact
        assert not done.verified.anchored

    @pytest.mark.parametrize("way", WAYS)
    def test_second_log_of_the_process(self, way: str, tmp_path: Path) -> None:
        """A second log of the same process, of which the copy lacks a line, is no proof against a sound log."""
        theirs = another_log(COUNT)
        path = "/var/log/second.jsonl"
        copied = spelt(LINES, way) + spelt([*theirs[:1], *theirs[2:]], way, path)
        done = Compared(tmp_path, LINES, copied)
        # stamps alone do not say that an opened is another log's
        assert done.found == [("unplaced", 3, COUNT)]
        assert done.verified.intact
        assert not done.verified.anchored

    def test_longer_second_log_of_the_process(self, tmp_path: Path) -> None:
        """Behind the log's end the alarm is the safe side, as long as no file tells the two logs apart."""
        theirs = another_log(COUNT + 10)[COUNT:]
        done = Compared(tmp_path, LINES, spelt(LINES + theirs, "lines"))
        assert done.found == [("unplaced", COUNT + 1, COUNT + 10)]
        assert done.errors == [("truncated", COUNT + 1)]
        copied = spelt(LINES, "path") + spelt(theirs, "path", "/var/log/second.jsonl")
        done = Compared(tmp_path, LINES, copied)
        assert done.found == [("unplaced", COUNT + 1, COUNT + 10)]
        assert done.verified.intact
        assert not done.verified.anchored

    @pytest.mark.parametrize("resource", SERVICES)
    @pytest.mark.parametrize("way", ["lines", "tail", "stamps"])
    def test_another_service_from_its_middle_on(self, way: str, resource: dict[str, object], tmp_path: Path) -> None:
        """Entries of another service or host can be this log's, which several may write."""
        ours = list(logs.chain(of_process(json.loads(line), **{"host.name": "a"}) for line in unsealed(LINES)))
        theirs = another_log(2 * COUNT, **({"host.name": "a"} | resource))[10:]
        done = Compared(tmp_path, ours, spelt(ours, way) + spelt(theirs, way))
        assert done.found == [("unplaced", 11, COUNT), ("unplaced", COUNT + 1, 2 * COUNT)]
        assert done.verified.intact
        assert not done.verified.anchored

    @pytest.mark.parametrize("resource", SERVICES)
    @pytest.mark.parametrize("way", ["lines", "tail", "stamps"])
    def test_service_cut_off(self, way: str, resource: dict[str, object], tmp_path: Path) -> None:
        """A service whose entries are all cut off is not silent where the copy lacks the opened that begins them."""
        lines = self.processes(**resource)
        done = Compared(tmp_path, lines[:30], spelt([*lines[:30], *lines[31:]], way))
        assert done.found == [("unplaced", 32, COUNT)]
        assert done.verified.intact
        assert not done.verified.anchored

    @pytest.mark.parametrize("cut", [20, 30, 40])
    def test_same_process_under_another_path(self, cut: int, tmp_path: Path) -> None:
        """Entries of the log's own process under another path can be this log's: its folder may have moved."""
        copied = spelt(LINES[:cut], "path") + spelt(LINES[cut + 1 :], "path", "/mnt/audit.jsonl")
        done = Compared(tmp_path, LINES[:cut], copied)
        assert done.found == [("unplaced", cut + 2, COUNT)]
        assert done.verified.intact
        assert not done.verified.anchored

    def test_nothing_says_whose(self, tmp_path: Path) -> None:
        """Entries without a resource can be any log's."""
        entries = [{k: v for k, v in logs.entry(seq).items() if k != "resource"} for seq in range(2, COUNT + 1)]
        lines = list(logs.chain([logs.opened(), *entries]))
        done = Compared(tmp_path, lines[:30], logs.join([*lines[:30], *lines[31:]]))
        assert done.found == [("unplaced", 32, COUNT)]
        assert not done.verified.anchored


class TestOtherLogs:
    """Other logs in the same copy are left alone."""

    @pytest.mark.parametrize("way", ["lines", "tail", "path"])
    @pytest.mark.parametrize("order", ["front", "behind", "shuffled"])
    def test_older_log_in_the_same_place(self, way: str, order: str, tmp_path: Path) -> None:
        """A longer log of the same file and process that began with an opened of its own is another, in any order."""
        older = another_log(2 * COUNT)
        mixed = {"front": [*older, *LINES], "behind": [*LINES, *older, *older], "shuffled": [*older, *LINES, *older]}
        lines = mixed[order]
        if order == "shuffled":
            random.Random(2).shuffle(lines)
        done = Compared(tmp_path, LINES, spelt(lines, way))
        assert done.sound
        assert done.report.unlinked == 0
        assert done.report.others == lines.count(older[5]) * 2 * COUNT

    @pytest.mark.parametrize("resource", SERVICES)
    def test_another_file_from_its_middle_on(self, resource: dict[str, object], tmp_path: Path) -> None:
        """Entries of another process in another file, whose beginning no copy has any more, are another log's."""
        theirs = another_log(2 * COUNT, **resource)[10:]
        done = Compared(tmp_path, LINES, spelt(LINES, "path") + spelt(theirs, "path", "/var/log/another.jsonl"))
        assert done.sound
        assert done.report.unlinked == len(theirs)

    @pytest.mark.parametrize("named", ["before", "behind"])
    def test_collectors_of_which_one_names_the_host(self, named: str, tmp_path: Path) -> None:
        """A file is the same where one collector names the host, and another does not."""
        entries = TestUnplaced.processes(**{"service.name": "y"})
        hosts = ["a", ""] if named == "before" else ["", "a"]
        copied = b"".join(map(hosted, (entries[:30], entries[31:]), hosts))
        done = Compared(tmp_path, entries[:30], copied)
        assert done.found == [("unplaced", 32, COUNT)]
        assert done.errors == [("truncated", 31)]

    @pytest.mark.parametrize("way", WAYS)
    def test_copy_from_its_middle_on(self, way: str, tmp_path: Path) -> None:
        """A copy whose beginning is gone, with doubles, is one that lacks these entries, and anchors the log."""
        done = Compared(tmp_path, LINES, spelt([*LINES[25:], *LINES[30:40]], way))
        assert {one[0] for one in done.found} == {"not_in_copy"}
        assert done.report.doubles == 10
        assert done.verified.anchored
        assert done.report.findings[0].remedy.startswith("send them")

    @pytest.mark.parametrize("way", WAYS)
    def test_copy_with_holes(self, way: str, tmp_path: Path) -> None:
        """A copy with holes, cut at its end, of a sound log lacks entries, and no more."""
        done = Compared(tmp_path, LINES, spelt([*LINES[:10], *LINES[11:30], *LINES[31:50]], way))
        assert done.found == [("not_in_copy", 11, 11), ("not_in_copy", 31, 31), ("not_in_copy", 51, COUNT)]
        assert done.verified.anchored


def unsealed(lines: list[bytes]) -> list[bytes]:
    """Return entries without their seals."""
    entries = [json.loads(line) for line in lines]
    return [logs.dump({k: v for k, v in entry.items() if k not in ("prev_hash", "hash")}) for entry in entries]
