// Runs cut where others attach to them, and byte-identical lines found. After it, every link leads from the end of one
// run to the start of another, and no two runs that are not copies begin with the same line.

import { ascending, bisectLeft } from "./place.js";
import { startOf } from "./path.js";
import { lineHash, runLines } from "./run.js";
import { sha256 } from "./sha256.js";

// The runs, cut behind each line that the first line of another run names.
export async function cutAtLinks(runs, segments, chained) {
  const wanted = [...new Set(runs.map((run) => run.seq - 1))].sort(ascending);
  const named = new Set(runs.map((run) => startOf(run.seq - 1, run.prev)));
  const result = [];
  for (const run of runs) {
    result.push(run);
    const inside = wanted.slice(bisectLeft(wanted, run.seq), bisectLeft(wanted, run.lastSeq));
    if (inside.length === 0) continue;
    const seqs = new Set(inside);
    let rest = run;
    let end = null;
    let { seq } = run;
    for await (const { offset, line } of runLines(run, segments, run.count)) {
      if (end !== null) {
        rest = rest.cut(seq - rest.seq, offset, end);
        result.push(rest);
        end = null;
        if (seq > inside.at(-1)) break;
      }
      if (seqs.has(seq)) {
        const digits = lineHash(line) ?? "";
        if (!chained || named.has(startOf(seq, digits))) end = digits;
      }
      seq += 1;
    }
  }
  return result;
}

// The runs with byte-identical lines folded into the first that stands in the files, whose `copies` they become.
export async function foldCopies(runs, segments, chained) {
  const heap = new Heap();
  for (const run of runs) heap.push(run);
  const result = [];
  for (let run = heap.pop(); run !== undefined; run = heap.pop()) {
    const group = [run];
    while (heap.top !== undefined && startOf(heap.top.seq, heap.top.prev) === startOf(run.seq, run.prev)) group.push(heap.pop());
    result.push(...(await fold(group, segments, heap, chained)));
  }
  return result;
}

async function fold(group, segments, heap, chained) {
  if (group.length === 1) return group;
  const kept = [];
  const firsts = new Map();
  for (const run of group) {
    if (run.kind !== null) {
      kept.push(run);
      continue;
    }
    const { value: first } = await runLines(run, segments, 1).next();
    const digest = await sha256(first.line);
    const original = firsts.get(digest);
    if (original !== undefined) {
      await cutAlike(original, run, segments, heap);
      original.copies.push(run);
      continue;
    }
    firsts.set(digest, run);
    kept.push(run);
    // In the modes without prev_hash, runs that differ may agree again behind the line that differs.
    if (!chained && run.count > 1) heap.push(run.cut(1, first.offset + first.line.length + 1, lineHash(first.line)));
  }
  return kept;
}

// Cut two runs that begin with the same line to what they have in common.
async function cutAlike(original, copy, segments, heap) {
  const common = Math.min(original.count, copy.count);
  const others = runLines(copy, segments, common);
  let alike = 0;
  let end = null;
  for await (const { line } of runLines(original, segments, common)) {
    const { value: other } = await others.next();
    if (other === undefined || !equal(line, other.line)) break;
    alike += 1;
    end = lineHash(line);
  }
  const longer = copy.count > alike ? [copy] : [];
  if (original.count > alike) longer.push(original, ...original.copies);
  for (const run of longer) heap.push(run.cut(alike, await offsetOf(run, alike, segments), end));
}

async function offsetOf(run, index, segments) {
  let number = 0;
  for await (const { offset } of runLines(run, segments, index + 1)) {
    if (number === index) return offset;
    number += 1;
  }
  return run.offset;
}

function equal(a, b) {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

// Runs by seq, prev and place, the least first; of equals the one pushed first.
class Heap {
  constructor() {
    this.items = [];
    this.serial = 0;
  }

  get top() {
    return this.items[0]?.run;
  }

  push(run) {
    this.serial += 1;
    const { items } = this;
    items.push({ run, seq: run.seq, prev: run.prev ?? "", first: run.first, serial: this.serial });
    for (let at = items.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (before(items[parent], items[at])) break;
      [items[parent], items[at]] = [items[at], items[parent]];
      at = parent;
    }
  }

  pop() {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (items.length > 0) {
      items[0] = last;
      for (let at = 0; ; ) {
        let least = at;
        for (const child of [2 * at + 1, 2 * at + 2]) {
          if (child < items.length && before(items[child], items[least])) least = child;
        }
        if (least === at) break;
        [items[least], items[at]] = [items[at], items[least]];
        at = least;
      }
    }
    return top?.run;
  }
}

function before(a, b) {
  return (ascending(a.seq, b.seq) || ascending(a.prev, b.prev) || ascending(a.first, b.first) || ascending(a.serial, b.serial)) < 0;
}
