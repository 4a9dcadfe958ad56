// The procedure of docs/format.md, "Verification", from segments to a report. It is a second implementation of the
// format, beside otel_audit.verify, and is held to the same test vectors.

import { checkAnchors } from "./anchors.js";
import { findDeclaration, STRENGTH } from "./declared.js";
import { Drafts } from "./drafts.js";
import { shown } from "./judge.js";
import { splitSeal } from "./line.js";
import { assemble } from "./links.js";
import { outOfOrder } from "./order.js";
import { place, segmentOf, Stretches } from "./place.js";
import { addRegions, matchRegions } from "./region.js";
import { Scan } from "./scan.js";
import { GENESIS, linesFrom, readBlocks } from "./segment.js";
import { checkSegments, missingNumbers } from "./segments_check.js";

// What is to be said of a log.
//   segments   those that there are, ascending, from segment.js
//   first      base name of the first segment, even where that is missing
//   key        of readKey, or null: MACs are not checked
//   anchors    of parseAnchor
//   expected   a log that declares a weaker mode is `downgraded`
//   now        in the format's form: intents observed later are open
//   checksums  {path, digests}: what NAME.sha256 says, by base name
//   onBytes    told how many bytes were read
//   onLine     told of each line, its verdict, and its place
export async function verify(segments, { first, key = null, anchors = [], expected = "chain", now = null, checksums = null, onBytes, onLine }) {
  const drafts = new Drafts(segments);
  if (segments.length === 0) {
    const finding = { kind: "missing", severity: "error", path: first, line: null, offset: null, seq: null, expected: "a log", got: "no such file", count: 1 };
    return report([finding], { entries: 0, head: null, integrity: null });
  }
  const { stated, declared } = await findDeclaration(segments);
  if (stated !== null && stated.version !== null && stated.version !== "1") {
    const at = place(stated.segment, await lineAt(segments[stated.segment], stated.offset));
    drafts.add("unsupported", at, stated.offset, null, "format version 1", `version ${stated.version}`);
    return report(drafts.finish(), { entries: 0, head: null, integrity: null });
  }
  if (segments.every((segment) => segment.size === 0)) {
    drafts.add("empty", place(0, 0), null, null, "at least one entry", "an empty file");
    return report(drafts.finish(), { entries: 0, head: null, integrity: null });
  }
  const usable = await usableKey(key, declared, segments);
  const sums = checksums ?? { path: "", digests: new Map() };
  const seqs = [...new Set(anchors.map((anchor) => anchor.seq))].sort((a, b) => a - b);
  const scan = new Scan(segments, declared, { key: usable, now, anchors: seqs, closed: sums.digests, onBytes, onLine });
  await scan.read();
  const chain = await judgeLines(scan, drafts);
  checkDeclaration(declared, expected, key, usable, scan, drafts);
  const last = chain.runs.at(-1);
  const head = last === undefined ? null : { seq: last.lastSeq, hash: last.ends[0] ?? "" };
  checkSegments(scan, chain, first, sums, drafts);
  let matched = 0;
  if (declared.mode !== "none") {
    matched = checkAnchors(anchors, scan.anchored, chain.runs, head, faultsBehind(chain, scan), drafts);
  }
  addIntents(scan, chain, drafts);
  return report(drafts.finish(), {
    entries: scan.entries.reduce((sum, count) => sum + count, 0),
    head,
    integrity: declared.stated,
    streamId: declared.streamId,
    keyId: declared.keyId,
    anchorsMatched: matched,
    macsChecked: declared.keyId === null ? null : usable !== null,
    openIntents: scan.notes.openIntents,
  });
}

function report(findings, rest) {
  const intact = rest.integrity === "chain" && findings.every((finding) => finding.severity !== "error");
  return { anchorsMatched: 0, macsChecked: null, openIntents: 0, ...rest, findings, intact };
}

// Steps 1 to 4; returns the chain.
async function judgeLines(scan, drafts) {
  const edited = new Set(scan.runs.filter((run) => run.kind === "edited").map((run) => run.first));
  const faults = new Map();
  const chained = scan.declared.mode === "chain";
  // Twice where there are regions: which of them are faults depends on where the chain breaks, and a region that only
  // moved (because lines above it are gone) is none. Before the chain is put together, which cuts runs.
  const faulty = scan.runs.filter((run) => run.kind !== null);
  for (const run of faulty) {
    if (!faults.has(run.segment)) faults.set(run.segment, run.first);
    drafts.addRun(run.kind, run, run.expected, run.got);
  }
  const judgedAlone = new Stretches(faulty);
  const match = () => matchRegions(scan.declarations, scan.notes.lifecycle, scan.firsts, edited, faults, scan.segments);
  await match();
  const chain = await assemble(scan.runs, faultyRegions(scan), scan.segments, chained);
  chain.disordered = outOfOrder(chain.runs);
  for (const at of [
    ...chain.breaks.map(({ after }) => after.first),
    ...chain.others.flat().map((run) => run.first),
    ...[...chain.forked, ...chain.copies, ...chain.disordered].map((run) => run.first),
    ...faultyRegions(scan),
  ]) {
    faults.set(segmentOf(at), Math.min(at, faults.get(segmentOf(at)) ?? at));
  }
  await match();
  for (const copy of chain.copies) drafts.addRun("duplicate", copy, "each line once", "the bytes of an earlier line");
  for (const run of chain.forked) {
    const got = `another successor of the entry ${run.prev || run.seq - 1}`;
    drafts.add("forked", run.first, run.offset, run.seq, "one successor", got);
  }
  for (const group of chain.others) addInserted(group, drafts);
  const missing = missingNumbers(scan.segments);
  for (const broken of chain.breaks) await addBreak(broken, missing, scan, drafts);
  for (const run of chain.disordered) {
    if (run.kind === null) drafts.addRun("reordered", run, `seq ${run.seq} behind seq ${run.seq - 1}`, "the entry in another place");
  }
  // A line that has a kind, or is not judged, has no note: one fault, one finding.
  const unjudged = new Stretches([...chain.unjudged, ...chain.copies]);
  const silent = (at) => unjudged.has(at) || judgedAlone.has(at);
  addRegions(scan.regions, scan.declarations, scan.notes.lifecycle.filter((entry) => !silent(entry.place)), drafts);
  for (const note of scan.notes.found) {
    if (!silent(note.place)) drafts.add(note.kind, note.place, note.offset, note.seq, note.expected, note.got);
  }
  return chain;
}

const faultyRegions = (scan) => scan.regions.filter((region) => !region.declared && !region.explained).map((region) => region.first);

function addInserted(group, drafts) {
  const bySegment = new Map();
  for (const run of [...group].sort((a, b) => a.first - b.first)) {
    bySegment.set(run.segment, [...(bySegment.get(run.segment) ?? []), run]);
  }
  for (const [first, ...more] of bySegment.values()) {
    const count = first.count + more.reduce((sum, run) => sum + run.count, 0);
    const got = first.prev ? `seq ${first.seq} after ${first.prev}` : `seq ${first.seq}`;
    drafts.add("inserted", first.first, first.offset, first.seq, "an entry that the chain leads to", got, { count });
  }
}

async function addBreak({ before, after, explained }, missing, scan, drafts) {
  if (explained) return;
  const seq = before === null ? 0 : before.lastSeq;
  if (after.seq > seq + 1) {
    const { number } = scan.segments[after.segment];
    const from = before === null ? 0 : scan.segments[before.segment].number;
    if (missing.some(([start]) => from < start && start < number)) return;
    drafts.add("gap", after.first, after.offset, seq + 1, `seq ${seq + 1}`, `seq ${after.seq}`, { count: after.seq - seq - 1 });
  } else if (before === null) {
    drafts.add("edited", after.first, after.offset, after.seq, `prev_hash ${GENESIS}`, `prev_hash ${shown(after.prev)}`);
  } else {
    // Its successor seals another hash: the entry was altered and sealed again.
    const expected = `hash ${shown(after.prev)}, which its successor names`;
    drafts.add("edited", before.last, await offsetOfLast(before, scan), seq, expected, `hash ${shown(before.ends[0])}`);
  }
}

async function offsetOfLast(run, scan) {
  let number = 0;
  for await (const { offset } of linesFrom(scan.segments[run.segment], run.offset)) {
    number += 1;
    if (number === run.count) return offset;
  }
  return run.offset;
}

async function lineAt(segment, offset) {
  let lines = 1;
  for await (const block of readBlocks(segment)) {
    if (block.offset >= offset) break;
    if (block.kind !== "lines" && block.kind !== "end") continue;
    const inside = block.data.subarray(0, offset - block.offset);
    lines += inside.reduce((sum, byte) => sum + (byte === 10 ? 1 : 0), 0);
    if (block.offset + block.data.length < offset) lines += 1;
  }
  return lines;
}

// The key if it is this log's; null: MACs are not checked.
async function usableKey(key, declared, segments) {
  if (key === null || declared.keyId === null || declared.segment === null) return null;
  if (key.id === declared.keyId) return key;
  // An edited declaration is believed in nothing: if the key made its hmac, it is the key.
  const { value } = await linesFrom(segments[declared.segment], declared.offset).next();
  const seal = value === undefined ? null : splitSeal(value.line);
  if (seal === null || seal.hmac === null) return null;
  return (await key.sign(seal.hash)) === seal.hmac ? key : null;
}

// Hold what the log declares against what the verifier expects: one finding each.
function checkDeclaration(declared, expected, key, usable, scan, drafts) {
  const entry = scan.notes.lifecycle.find(
    (each) => each.segment === declared.segment && each.offset === declared.offset && each.event === "audit.log.opened",
  );
  const at = entry?.place ?? place(0, 0);
  const [offset, seq] = [entry?.offset ?? null, entry?.seq ?? null];
  const edited = drafts.drafts.some((draft) => draft.at === at && draft.finding.kind === "edited");
  if (STRENGTH[declared.mode] < STRENGTH[expected]) {
    drafts.add("downgraded", at, offset, seq, `integrity mode ${expected}`, `integrity mode ${declared.mode}`);
  } else if (entry !== undefined && declared.stated === null && !edited) {
    drafts.add("downgraded", at, offset, seq, "integrity mode chain, hash or none", shown(entry.attributes["audit.integrity.mode"]));
  }
  if (key === null || usable !== null) return;
  if (declared.keyId === null) {
    if (scan.entries.some((count) => count > 0)) drafts.add("mac_missing", at, offset, seq, `the key ${key.id}`, "a log that declares no key");
  } else {
    drafts.add("mac_invalid", at, offset, seq, `the key ${key.id}`, `the key ${declared.keyId}`);
  }
}

// How many unreadable or faulty lines stand behind the last entry of the chain.
function faultsBehind(chain, scan) {
  const end = chain.runs.reduce((latest, run) => Math.max(latest, run.last), 0);
  const sum = (items) => items.reduce((total, item) => total + item.count, 0);
  return (
    sum(scan.regions.filter((region) => region.first > end && !region.declared)) +
    sum(scan.runs.filter((run) => run.first > end && run.kind !== null))
  );
}

// Add the intents that have no outcome, unless a fault behind them may have swallowed it.
function addIntents(scan, chain, drafts) {
  const lastFault = drafts.errors.reduce((latest, draft) => Math.max(latest, draft.at), -1);
  const unjudged = new Stretches([...chain.unjudged, ...chain.copies]);
  for (const note of scan.notes.intents.values()) {
    if (note.place > lastFault && !unjudged.has(note.place)) {
      drafts.add(note.kind, note.place, note.offset, note.seq, note.expected, note.got);
    }
  }
}
