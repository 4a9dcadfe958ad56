"""Whatever is lost, doubled, moved, cut or edited: exactly that is named."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_audit.reconcile import ReconcileReport, SeqRange, copy_anchors, reconcile
from tests import copies, logs

COUNT = 40
LINES = logs.log(COUNT)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
SEQS = st.sets(st.integers(1, COUNT), max_size=12)


def stretches(seqs: set[int]) -> list[tuple[int, int]]:
    """Return seqs as stretches."""
    found: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found


def named(report: ReconcileReport, kind: str) -> list[tuple[int, int]]:
    """Return the stretches of one kind that were found."""
    found = (finding for finding in report.findings if finding.kind == kind)
    return stretches({seq for one in found for seq in range(one.seq, one.last_seq + 1)})


def compared(lines: list[bytes], *made: bytes) -> ReconcileReport:
    """Compare a log with copies."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "audit.jsonl").write_bytes(logs.join(lines))
        for number, data in enumerate(made):
            (folder / f"{number}").write_bytes(data)
        return reconcile(folder / "audit.jsonl", [folder / f"{number}" for number in range(len(made))])


@st.composite
def deliveries(draw: st.DrawFn, lines: list[bytes]) -> list[list[bytes]]:
    """Return lines as at-least-once delivery brings them: some twice, in any order, in several copies."""
    doubled = lines + (draw(st.lists(st.sampled_from(lines), max_size=15)) if lines else [])
    moved = draw(st.permutations(doubled))
    cut = draw(st.integers(0, len(moved)))
    return [moved[:cut], moved[cut:]]


def spelt(data: st.DataObject, lines: list[bytes], way: str) -> bytes:
    """Return lines as a copy of one kind."""
    if way == "lines":
        return logs.join(lines)
    return copies.copy(lines, size=data.draw(st.integers(1, 9)), original=way == "tail")


@given(st.data(), SEQS, st.integers(5, COUNT), st.sampled_from(["tail", "otlp", "lines"]))
def test_loss_on_both_sides(data: st.DataObject, lost: set[int], end: int, way: str) -> None:
    """What no copy has and what the log's cut end held are named, exactly, in any order of delivery."""
    whole = [line for seq, line in enumerate(LINES, 1) if seq not in lost or seq > end]
    parts = data.draw(deliveries(whole))
    report = compared(LINES[:end], *(spelt(data, part, way) for part in parts))
    missing = {seq for seq in lost if seq <= end}
    own = {1} & missing if way == "otlp" and any(seq not in lost for seq in range(1, end + 1)) else set()
    assert named(report, "not_in_copy") == stretches(missing - own)
    # by a line's own word nothing tells whose it is, if none of those before it is anywhere
    assert named(report, "truncated") == stretches(set(range(end + 1, COUNT + 1)))
    assert report.doubles == sum(map(len, parts)) - len(whole)
    assert report.totals["diverged"] == report.totals["altered"] == report.totals["gap"] == 0


@given(st.data(), st.integers(1, COUNT), st.sampled_from(["tail", "otlp", "lines"]))
def test_edited_and_sealed_again(data: st.DataObject, seq: int, way: str) -> None:
    """An edited entry behind which all is sealed again is one finding, and the edit itself is named."""
    edited = copies.resealed(LINES, seq, **{"audit.reason": "another"})
    parts = data.draw(deliveries(LINES))
    report = compared(edited, *(spelt(data, part, way) for part in parts))
    [finding] = report.findings
    assert (finding.kind, finding.seq, finding.last_seq) == ("diverged", seq, COUNT)
    assert finding.changed == (SeqRange(seq, seq),)


@given(st.data(), SEQS, SEQS, st.booleans())
def test_altered_on_the_way(data: st.DataObject, altered: set[int], lost: set[int], original: bool) -> None:
    """Records that were changed on the way are named, and no others."""
    made: list[bytes] = []
    for seq, line in data.draw(st.permutations(list(enumerate(LINES, 1)))):
        if seq in lost:
            continue
        request = copies.request([line], original=original)
        if seq in altered:
            record = copies.record_of(request)
            names = [pair["key"] for pair in record["attributes"] if pair["key"] != "audit.sequence.number"]
            if not original:
                names.remove("audit.stream.id")  # that makes it another log's
                names.remove("audit.integrity.hash")  # and that, another entry
            name = data.draw(st.sampled_from(names))
            text = next(p["value"] for p in record["attributes"] if p["key"] == name).get("stringValue", "")
            if name == "log.record.original":
                text = text.replace('"service"', '"user"').replace('"system"', '"user"')
                copies.set_attribute(record, name, {"stringValue": text})
            else:
                copies.set_attribute(record, name, {"stringValue": f"{text}."})
        made.append(logs.dump(request))
    report = compared(LINES, logs.join(made))
    assert named(report, "altered") == stretches(altered - lost)
    assert report.totals["diverged"] == report.totals["truncated"] == 0


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), JSON, st.booleans())
def test_any_value(given_attributes: dict[str, Any], body: object, original: bool) -> None:
    """A record of any values agrees with its line."""
    members = logs.entry(1)
    members["attributes"].update({f"x.{name}": value for name, value in given_attributes.items()})
    if body is not None:
        members = {**{k: members[k] for k in ("seq", "time", "event_name")}, "body": body, **members}
    line = next(logs.chain([json.loads(json.dumps(members))]))
    assert compared([line], copies.copy([line], original=original)).agrees


@given(st.data(), st.integers(2, COUNT - 1), st.booleans())
def test_anchors(data: st.DataObject, seq: int, original: bool) -> None:
    """As anchors, copies say how far the log is right, where it first is not, and what it lacks."""
    edited = copies.resealed(LINES, seq, **{"audit.reason": "another"})
    cut = data.draw(st.integers(seq, COUNT))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "audit.jsonl").write_bytes(logs.join(edited[:cut]))
        (folder / "copy").write_bytes(copies.copy(data.draw(st.permutations(LINES)), original=original))
        anchors = copy_anchors(folder / "audit.jsonl", [folder / "copy"]).anchors
    expected = {seq - 1, seq} | ({COUNT} if cut < COUNT else set())
    assert {(anchor.seq, anchor.hash) for anchor in anchors} == {(at, logs.hash_of(LINES[at - 1])) for at in expected}


@st.composite
def spoilt(draw: st.DrawFn) -> list[bytes]:
    """Return the lines of a log that were moved, doubled, replaced or joined by others."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        seq, at = draw(st.integers(1, COUNT)), draw(st.integers(0, len(lines)))
        forged = copies.resealed(LINES[:seq], seq, **{"audit.reason": "another"})[-1]
        junk = draw(st.sampled_from([b"", b"noise", b'{"seq":05,', b'{"seq":%d,"a":1}' % seq, forged[:-1]]))
        way = draw(st.sampled_from(["move", "double", "forge", "junk"]))
        line = lines.pop(draw(st.integers(0, len(lines) - 1))) if way == "move" else LINES[seq - 1]
        lines.insert(at, {"forge": forged, "junk": junk}.get(way, line))
    return lines


@given(spoilt(), st.sampled_from(["tail", "otlp", "lines"]))
def test_any_other_lines(lines: list[bytes], way: str) -> None:
    """A log agrees with a copy only if it is, line for line, what was written; each entry of it is counted once."""
    copied = logs.join(LINES) if way == "lines" else copies.copy(LINES, original=way == "tail")
    report = compared(lines, copied)
    assert report.agrees is (lines == LINES)
    assert report.entries == COUNT
    rivals = {seq for seq in range(1, COUNT + 1) if len({line for line in lines if _is_of(line, seq)}) > 1}
    assert named(report, "diverged") == stretches(rivals)
    assert len(report.findings) == len(stretches(rivals))


def _is_of(line: bytes, seq: int) -> bool:
    return line.startswith(b'{"seq":%d,"time"' % seq) and line.endswith(b'"}')
