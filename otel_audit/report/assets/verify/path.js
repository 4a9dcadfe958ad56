// Which way the chain goes: links, and where there is none the heaviest path over breaks (docs/format.md,
// "Verification", step 3).

import { ascending, bisectLeft, compareLists } from "./place.js";

export const startOf = (seq, prev) => `${seq} ${prev}`;

// Of several successors: a sound one, then the one with the longest chain behind it, fewer breaks, the earlier.
const preference = (run) => [run.kind !== null, -run.length, run.breaks, run.first];
const preferred = (a, b) => compareLists(preference(a), preference(b));

export class Paths {
  // `runs` in the order of the files; links lead from ends to starts only. Sets length, breaks, following and onward.
  constructor(runs, chained) {
    this.chained = chained;
    this.starts = new Map();
    for (const run of runs) {
      const start = startOf(run.seq, run.prev);
      const found = this.starts.get(start);
      if (found === undefined) this.starts.set(start, [run]);
      else found.push(run);
    }
    this.best = new Map();
    const foreign = chained ? this.foreign(runs) : new Set();
    const asked = runs.filter((run) => !this.named(run.lastSeq, run.ends).some((start) => this.starts.has(start)));
    const breaks = new Breaks(runs, asked.map((run) => run.lastSeq), foreign);
    const slots = new Map(runs.map((run, slot) => [run, slot]));
    // The highest seq first: what follows a run is measured before it.
    for (const run of [...runs].sort((a, b) => b.lastSeq - a.lastSeq)) {
      run.following = this.followingOf(run);
      let after = run.following;
      let broken = 0;
      let beyond = 0;
      if (after === null) {
        after = breaks.best(slots.get(run) + 1, run.lastSeq);
        broken = 1;
        run.onward = after;
        if (after !== null) beyond = Math.max(0, run.lastSeq + 1 - after.seq);
      }
      run.length = run.count + (after === null ? 0 : after.length - beyond);
      run.breaks = after === null ? 0 : after.breaks + broken;
    }
    this.first = breaks.best(0, 0);
  }

  // What a successor of an entry may say of its predecessor.
  named(seq, ends) {
    return (this.chained ? ends : [null]).map((end) => startOf(seq + 1, end));
  }

  successors(seq, ends) {
    const found = this.named(seq, ends).flatMap((start) => this.starts.get(start) ?? []);
    return found.length > 1 ? found.sort(preferred) : found;
  }

  // The runs that follow one, but for those that have been returned before.
  behind(run, seen) {
    const fresh = this.named(run.lastSeq, run.ends).filter((start) => !seen.has(start));
    for (const start of fresh) seen.add(start);
    return fresh.flatMap((start) => this.starts.get(start) ?? []);
  }

  followingOf(run) {
    const found = [];
    for (const start of this.named(run.lastSeq, run.ends)) {
      const starting = this.starts.get(start);
      if (starting === undefined) continue;
      if (!this.best.has(start)) this.best.set(start, least(starting, preferred));
      found.push(this.best.get(start));
    }
    return found.length === 0 ? null : least(found, preferred);
  }

  // The runs that begin with another stream's `opened`, or follow one.
  foreign(runs) {
    const found = new Set();
    const seen = new Set();
    const waiting = runs.filter((run) => run.kind === "inserted");
    while (waiting.length > 0) {
      const run = waiting.pop();
      found.add(run);
      waiting.push(...this.behind(run, seen));
    }
    return found;
  }
}

function least(items, compare) {
  return items.reduce((best, item) => (compare(item, best) < 0 ? item : best));
}

// Answers where to go on, for one seq after the other, the highest first: of runs that begin beyond the seq, and of
// those in which it lies, which would be entered in their middle.
class Breaks {
  constructor(runs, asked, foreign) {
    this.runs = runs;
    this.whole = new SuffixMaximum(runs.length);
    this.cut = new SuffixMaximum(runs.length);
    const sorted = [...asked].sort(ascending);
    const own = [...runs.keys()].filter((slot) => !foreign.has(runs[slot]));
    // Ascending, so that the highest is popped first.
    this.bySeq = [...own].sort((a, b) => runs[a].seq - runs[b].seq);
    this.byLast = own
      .filter((slot) => bisectLeft(sorted, runs[slot].seq) < bisectLeft(sorted, runs[slot].lastSeq))
      .sort((a, b) => runs[a].lastSeq - runs[b].lastSeq);
    this.inCut = new Set();
  }

  best(start, seq) {
    const { runs, byLast, bySeq } = this;
    while (byLast.length > 0 && runs[byLast.at(-1)].lastSeq > seq) {
      const slot = byLast.pop();
      this.cut.set(slot, [runs[slot].length + runs[slot].seq, -runs[slot].breaks]);
      this.inCut.add(slot);
    }
    while (bySeq.length > 0 && runs[bySeq.at(-1)].seq > seq) {
      const slot = bySeq.pop();
      const run = runs[slot];
      this.whole.set(slot, [run.length, -run.breaks, -run.seq, run.kind === null]);
      if (this.inCut.has(slot)) this.cut.set(slot, []);
    }
    const candidates = [];
    const whole = this.whole.best(start);
    if (whole !== null) candidates.push([[...whole.key, -whole.slot], runs[whole.slot]]);
    const cut = this.cut.best(start);
    if (cut !== null) {
      const [reach, breaks] = cut.key;
      candidates.push([[reach - seq - 1, breaks, -seq - 1, runs[cut.slot].kind === null, -cut.slot], runs[cut.slot]]);
    }
    if (candidates.length === 0) return null;
    return candidates.reduce((best, each) => (compareLists(each[0], best[0]) > 0 ? each : best))[1];
  }
}

// The greatest of all keys at or behind a slot, the first of equals, in logarithmic time.
class SuffixMaximum {
  constructor(slots) {
    this.size = 1;
    while (this.size < slots) this.size *= 2;
    this.tree = Array.from({ length: 2 * this.size }, () => []);
  }

  set(slot, key) {
    const { tree } = this;
    let node = slot + this.size;
    tree[node] = key;
    while (node > 1) {
      node >>= 1;
      const [left, right] = [tree[2 * node], tree[2 * node + 1]];
      tree[node] = compareLists(left, right) >= 0 ? left : right;
    }
  }

  best(start) {
    if (start >= this.size) return null;
    const { tree } = this;
    let node = start + this.size;
    let found = 0;
    let key = [];
    for (;;) {
      if (compareLists(tree[node], key) > 0) [found, key] = [node, tree[node]];
      while (node % 2 === 1) node >>= 1;
      if (node <= 1) break;
      node += 1;
    }
    if (key.length === 0) return null;
    while (found < this.size) {
      found *= 2;
      if (compareLists(tree[found], key) !== 0) found += 1;
    }
    return { slot: found - this.size, key };
  }
}
