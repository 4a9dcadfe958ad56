// Anchors: what stands outside the log and fixes a head.

import { segmentOf, Stretches } from "./place.js";

const ANCHOR = /^([1-9][0-9]{0,15}):([0-9a-f]{64})$/;

export function parseAnchor(text) {
  const match = ANCHOR.exec(text.trim());
  if (match === null) throw new Error(`expected SEQ:HASH, got ${text.trim().slice(0, 80)}`);
  return { seq: Number(match[1]), hash: match[2] };
}

// How many anchors the log agrees with; adds diverged and truncated where no finding so far explains them.
export function checkAnchors(anchors, found, chain, head, faultsBehind, drafts) {
  const onChain = new Stretches(chain.filter((run) => run.kind !== "edited"));
  const { errors } = drafts;
  const altered = new Set(errors.filter(({ finding }) => finding.kind === "segment_altered").map(({ at }) => segmentOf(at)));
  // The last segment is not the one that it was, or another should follow it.
  const cut = errors.some(
    ({ at, finding }) =>
      segmentOf(at) === drafts.segments.length - 1 &&
      (finding.kind === "segment_altered" || (finding.kind === "segment_missing" && at % 2 ** 32 > 0)),
  );
  const seqsOf = (...kinds) => errors.filter(({ finding }) => kinds.includes(finding.kind)).map(({ finding }) => finding.seq);
  const edited = new Set(seqsOf("edited", "downgraded"));
  const breaks = seqsOf("edited", "gap").filter((seq) => seq !== null);
  const bySeq = new Map();
  for (const [key, places] of found) {
    const [seq, digits] = key.split(":");
    bySeq.set(Number(seq), [...(bySeq.get(Number(seq)) ?? []), ...places.map((at) => ({ digits, at }))]);
  }
  const unique = [...new Map(anchors.map((anchor) => [`${anchor.seq}:${anchor.hash}`, anchor])).values()];
  unique.sort((a, b) => a.seq - b.seq || (a.hash < b.hash ? -1 : 1));
  let matched = 0;
  let agreed = 0;
  const diverged = [];
  let beyond = null;
  for (const anchor of unique) {
    const entries = bySeq.get(anchor.seq) ?? [];
    if (entries.some(({ digits, at }) => digits === anchor.hash && onChain.has(at))) {
      matched += 1;
      agreed = anchor.seq;
      continue;
    }
    if (head === null || anchor.seq > head.seq) {
      beyond = anchor;
      continue;
    }
    // On a branch or left over: that entry has a finding.
    const explained =
      edited.has(anchor.seq) ||
      entries.some(({ digits }) => digits === anchor.hash) ||
      breaks.some((seq) => agreed < seq && seq <= anchor.seq);
    const here = entries.find(({ at }) => onChain.has(at));
    if (here !== undefined && !explained && !altered.has(segmentOf(here.at))) diverged.push({ anchor, ...here });
  }
  if (diverged.length > 0) {
    // What follows a changed entry differs with it: one finding, at the first.
    const [{ anchor, digits, at }] = diverged;
    drafts.add("diverged", at, null, anchor.seq, `hash ${anchor.hash}`, `hash ${digits}`, { count: diverged.length });
  }
  if (beyond !== null && head !== null && !cut && beyond.seq - head.seq > faultsBehind) {
    const expected = `entries up to seq ${beyond.seq}, which the anchor has seen`;
    const got = `the end of the log behind seq ${head.seq}`;
    drafts.add("truncated", chain.at(-1).last, null, head.seq + 1, expected, got, { count: beyond.seq - head.seq });
  }
  return matched;
}
