"""What a report counts, held against a count that takes one entry at a time and keeps everything."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit import parts
from otel_audit.entry import parse_entry
from otel_audit.reader import verify_log
from otel_audit.report import sorts, stretch
from otel_audit.report import tally as tally_module
from otel_audit.report.counted import Counting
from otel_audit.report.stretch import Reading, count_log, open_again
from otel_audit.report.summary import summarize
from otel_audit.report.tally import Tally
from otel_audit.report.timeline import timeline
from otel_audit.report.totals import LogEvent, Totals
from otel_audit.selection import Selection
from otel_audit.verify.declared import find_declaration
from otel_audit.verify.onlooker import Seen
from otel_audit.verify.segment import Segment
from otel_audit.verify.start import Start
from otel_audit.verify.unit import Reader, Terms, units
from tests import logs

TIMELINE = timeline(logs.time_text(1), logs.time_text(60))
VERIFICATION: dict[str, Any] = {"findings": [], "unfinished": []}

odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, 3, 3.0, True, 1, "", "a\0b", ["x"], [], {"a": 1}, [["x"], 1, True]]
)
names = st.sampled_from(["ana", "bob", "agent", "other"])
ids = st.integers(1, 12).map(logs.record_id)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "audit.record.id": odd.filter(lambda value: type(value) is not str),
        "audit.actor.id": names | odd,
        "audit.outcome": st.sampled_from(["success", "failure", "unknown", "no such word"]) | odd,
        "audit.phase": st.sampled_from(["intent", "outcome", "single"]) | odd,
        "audit.decision": st.sampled_from(["allow", "block", "error", "override", "perhaps"]) | odd,
        "audit.delegation": st.lists(names | odd, max_size=3) | odd,
        "audit.intent.id": ids | odd,
        "audit.target.id": names | odd,
        "audit.target.type": st.sampled_from(["tool", "model"]) | odd,
        "error.type": st.sampled_from(["TimeoutError", "ValueError"]) | odd,
    },
)
intents = attributes.map(lambda more: {**more, "audit.phase": "intent", "audit.record.id": "its own"})
outcomes = st.builds(
    lambda more, intent: {**more, "audit.phase": "outcome", "audit.intent.id": intent}, attributes, ids
)
changes = st.fixed_dictionaries(
    {"attributes": attributes | intents | outcomes},
    optional={
        "event_name": st.sampled_from(["pay", "read", "audit.log.opened", "audit.log.dropped", "audit.log."]),
        "time": st.integers(1, 90).map(logs.time_text),
        "trace_id": st.just("0" * 32),
        "resource": st.sampled_from([{"service.name": "shop"}, {"service.name": 3}, {"service.name": []}, {"a": 1}]),
    },
)


def made(changed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return entries with these members in place of the usual ones, every third of them without a resource."""
    entries = [{**logs.entry(seq), **members} for seq, members in enumerate(changed, 1)]
    for entry in entries:
        if entry["attributes"].get("audit.record.id") == "its own":
            entry["attributes"] = {**entry["attributes"], "audit.record.id": logs.record_id(entry["seq"])}
    for entry in entries[::3]:
        entry.pop("resource", None)
    return entries


def text(value: object) -> str:
    """Return a value that says something only as text."""
    return value if isinstance(value, str) else ""


def count_plainly(entries: Sequence[dict[str, Any]]) -> Totals:
    """Return what entries add up to, by the rules, one at a time."""
    totals = Totals(TIMELINE.bins)

    def add(flow: tuple[str, str, str, str], step: int) -> None:
        totals.actions += 1
        totals.flows[flow] = totals.flows.get(flow, 0) + 1
        totals.cells.setdefault(flow[1:], [0] * TIMELINE.bins)[step] += 1

    for entry in entries:
        attributes, event, seq = entry["attributes"], entry["event_name"], entry["seq"]
        totals.entries += 1
        totals.first_time = min(totals.first_time, entry["time"])
        totals.last_time = max(totals.last_time, entry["time"])
        if event.startswith("audit.log."):
            totals.log_event_counts[event] = totals.log_event_counts.get(event, 0) + 1
            totals.log_events.append(LogEvent(event, seq, entry["time"], attributes))
            if event != "audit.log.opened":
                totals.seqs.append(seq)
            continue
        actor, phase = text(attributes.get("audit.actor.id")), attributes.get("audit.phase")
        outcome, decision = attributes.get("audit.outcome"), attributes.get("audit.decision")
        chain = attributes.get("audit.delegation")
        delegation = tuple(map(str, chain)) if isinstance(chain, list) else ()
        result = outcome if outcome in ("success", "failure") else "unknown"
        result = "open" if phase == "intent" else "blocked" if decision == "block" else result
        flow, step = (delegation[0] if delegation else actor, actor, event, result), TIMELINE.bin(entry["time"])
        totals.actors.add(actor)
        if "trace_id" in entry:
            totals.traces.add(entry["trace_id"])
        if phase == "intent":
            if isinstance(attributes.get("audit.record.id"), str):
                totals.pending.intents.setdefault(attributes["audit.record.id"], (seq, flow, step))
            continue
        add(flow, step)
        service = text(entry.get("resource", {}).get("service.name"))
        totals.services[service] = totals.services.get(service, 0) + 1
        if decision in ("allow", "block", "error", "override"):
            totals.decisions[decision] = totals.decisions.get(decision, 0) + 1
        if isinstance(attributes.get("audit.target.id"), str):
            kind = text(attributes.get("audit.target.type")).replace("\0", "\ufffd")
            totals.targets[kind + "\0" + attributes["audit.target.id"]] += 1
        troubled = result in ("failure", "blocked")
        if phase == "outcome" and isinstance(attributes.get("audit.intent.id"), str):
            intent = totals.pending.intents.pop(attributes["audit.intent.id"], None)
            if intent is None:
                totals.pending.strays[attributes["audit.intent.id"]] = False
            elif troubled:
                totals.seqs.append(intent[0])
        if troubled:
            totals.seqs.append(seq)
            if isinstance(attributes.get("error.type"), str):
                totals.errors[attributes["error.type"]] = totals.errors.get(attributes["error.type"], 0) + 1
    return totals


def assert_same(found: Totals, plain: Totals) -> None:
    """Hold totals, and what a page says of them, against those of the plain count."""
    for totals in (found, plain):
        totals.finish()
        totals.pending.strays.clear()
        totals.seqs.sort()
        totals.open_seqs.sort()
    assert found == plain
    assert summarize(found, TIMELINE, VERIFICATION) == summarize(plain, TIMELINE, VERIFICATION)


@given(st.lists(changes, max_size=40), st.data())
def test_blocks_and_stretches_add_up(changed: list[dict[str, Any]], data: st.DataObject) -> None:
    """However a log is cut into stretches and these into blocks, it adds up to what its entries do one at a time."""
    entries = made(changed)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(entries)), max_size=5)))
    found, tally = Totals(TIMELINE.bins), Tally(TIMELINE)
    for start, stop in zip([0, *cuts], [*cuts, len(entries)], strict=True):
        tally.add(Seen.of(entries[start:stop]))
        if data.draw(st.booleans()):
            found.add(tally.totals())
            tally = Tally(TIMELINE)
    found.add(tally.totals())
    assert_same(found, count_plainly(entries))


@given(st.lists(changes, min_size=1, max_size=40), st.booleans(), st.booleans())
def test_a_log_adds_up(changed: list[dict[str, Any]], proven: bool, some: bool) -> None:
    """A log that is read by several processes adds up to what its entries do one at a time, however it is read."""
    lines = list(logs.chain([logs.opened(), *({**entry, "seq": entry["seq"] + 1} for entry in made(changed))]))
    selection = Selection(event_names=("pay", "audit.log.*")) if some else Selection()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as stack,
        pytest.MonkeyPatch.context() as patch,
    ):
        path = Path(folder) / "audit.jsonl"
        path.write_bytes(logs.join(lines))
        patch.setattr(stretch, "MIN_BYTES", 1)
        patch.setattr(parts, "processors", lambda: 2)
        report = verify_log(path)
        reading = Reading(report, TIMELINE, selection, proven, 5)
        found, latest = count_log(reading, open_again(report, stack), None)
    parsed = [parse_entry(line) for line in lines]
    wanted = [json.loads(line) for line, entry in zip(lines, parsed, strict=True) if selection.matches(entry)]
    assert latest == [entry["seq"] for entry in wanted][-5:]
    assert_same(found, count_plainly(wanted))


@given(st.lists(changes, max_size=40), st.integers(300, 6000), st.integers(100, 5000), st.data())
def test_what_onlookers_see_adds_up(
    changed: list[dict[str, Any]], unit_bytes: int, read_bytes: int, data: st.DataObject
) -> None:
    """However a log is cut into units, and whoever reads which, it adds up to what its entries do one at a time."""
    entries = [logs.opened()]
    for entry in made(changed):
        entry["seq"] += 1
        if data.draw(st.booleans()):  # a line that the quick way over contents can take
            entry["attributes"] = {**logs.entry(entry["seq"])["attributes"], **entry["attributes"]}
        if "trace_id" in entry:
            entry |= {"trace_id": "1" * 32, "span_id": "2" * 16, "trace_flags": "01"}
        if entry["event_name"] == "audit.log.opened":  # another one is out of the ordinary
            entry["event_name"] = "audit.log.dropped"
        entries.append(entry)
    text = logs.join(list(logs.chain(entries)))
    segment = Segment("a.jsonl", "a.jsonl", 1, len(text), lambda at, n: text[at : at + min(n, read_bytes)])
    terms = Terms(find_declaration([segment])[1], None, (), chain_only=False, now=None)
    counting = Counting(TIMELINE)
    watch = counting.watch
    onlookers = [watch.onlooker() for _ in range(2)]
    readers = [Reader(terms, onlooker) for onlooker in onlookers]
    for unit in units([segment], Start(), unit_bytes):
        part = data.draw(st.sampled_from(readers)).read(segment, unit)
        assert part is not None
        if part.lines:
            watch.join(part.seen)
    watch.totals += [onlooker.totals() for onlooker in onlookers]
    assert_same(counting.totals(), count_plainly([json.loads(line) for line in text.splitlines()]))


@given(st.lists(st.integers(0, 30), max_size=300), st.integers(1, 20), st.data())
def test_rare_targets_are_forgotten(targets: list[int], most: int, data: st.DataObject) -> None:
    """However few targets are kept: of each, those told are no more than there were, and lack no more than is said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally_module, "MOST_KEPT", most)
        cut = data.draw(st.integers(0, len(targets)))
        found = Totals(TIMELINE.bins)
        for stretch_of in (targets[:cut], targets[cut:]):
            tally = Tally(TIMELINE)
            for target in stretch_of:
                attributes = {**logs.entry(2)["attributes"], "audit.target.id": str(target), "audit.target.type": "x"}
                tally.add(Seen.of([{**logs.entry(2), "attributes": attributes}]))
            totals = tally.totals()
            assert len(totals.targets) <= most
            found.add(totals)
    for name, count in Counter(targets).items():
        assert 0 <= count - found.targets[f"x\0{name}"] <= found.targets_missed


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 3), max_size=200), st.integers(3, 20), st.integers(1, 30))
def test_rare_sorts_are_put_together(actions: list[tuple[int, int, int]], most: int, block: int) -> None:
    """However few sorts are told apart, each action counts once, and it is said of how many no actor is told."""
    entries = [
        {
            **logs.entry(seq, f"event {event}"),
            "attributes": {"audit.actor.id": str(actor), "audit.outcome": outcome, **by},
        }
        for seq, (actor, event, kind) in enumerate(actions, 2)
        for outcome in [("success", "failure", "unknown", f"odd {kind}")[kind % 4]]
        for by in [{"audit.delegation": [f"user {event}", str(actor)]} if kind % 3 == 0 else {}]
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorts, "MOST_SORTS", most)
        tally = Tally(TIMELINE)
        for at in range(0, len(entries), block):
            tally.add(Seen.of(entries[at : at + block]))
        totals = tally.totals()
    assert totals.actions == len(actions) == sum(totals.flows.values()) == sum(map(sum, totals.cells.values()))
    told: Counter[str] = Counter()
    for (_, actor, _, _), count in totals.flows.items():
        told[actor] += count
    wanted = Counter(str(actor) for actor, _, _ in actions)
    assert all(told[actor] <= count for actor, count in wanted.items())
    missing = sum(count - told[actor] for actor, count in wanted.items())
    assert summarize(totals, TIMELINE, VERIFICATION)["together"] == missing
    failed = sum(kind % 4 == 1 for *_, kind in actions)
    assert sum(count for flow, count in totals.flows.items() if flow[3] == "failure") == failed
