// One pass over the files: runs of linked lines, unreadable regions, notes.

import { judge } from "./judge.js";
import { splitSeal } from "./line.js";
import { Notes } from "./notes.js";
import { bisectLeft, place } from "./place.js";
import { Region } from "./region.js";
import { lineHash, Run } from "./run.js";
import { readBlocks, splitLines } from "./segment.js";
import { Sha256, sha256 } from "./sha256.js";

// Lines of these kinds can follow one another by the thousand, each linked to the next.
const LINKED = new Set([null, "mac_missing", "mac_invalid"]);

export class Scan {
  constructor(segments, declared, { key = null, now = null, anchors = [], closed = new Set(), onBytes = null, onLine = null } = {}) {
    Object.assign(this, { segments, declared, key, anchors, closed, onBytes, onLine });
    this.notes = new Notes(now);
    this.runs = [];
    this.regions = [];
    this.declarations = new Map(); // regions by the place of the readable line behind them
    this.anchored = new Map(); // "seq:hash" to the places where such an entry stands
    this.digests = new Map(); // SHA-256 of each closed segment
    this.entries = [];
    this.firsts = []; // readable lines of each segment
    this.lasts = [];
    this.run = null;
    this.beforeRegion = null; // the run that unreadable lines cut off
    this.observed = "";
    this.region = null;
  }

  async read() {
    for (const [number, segment] of this.segments.entries()) {
      const active = number === this.segments.length - 1 && !this.closed.has(segment.name);
      const digest = active ? null : new Sha256();
      this.entries.push(0);
      this.firsts.push(null);
      this.lasts.push(null);
      let at = 1;
      for await (const block of readBlocks(segment)) {
        if (digest !== null) {
          digest.update(block.data);
          if (block.kind === "lines" || block.kind === "end") digest.update(Uint8Array.of(10));
        }
        at = block.kind === "lines" ? await this.lines(block, number, at) : this.unreadable(block, number, at);
        this.onBytes?.(block.data.length + 1);
      }
      this.closeRegion(false);
      if (digest !== null) this.digests.set(number, digest.hex());
    }
  }

  async lines(block, number, at) {
    const lines = [...splitLines(block)];
    const hashes = await Promise.all(
      lines.map(({ line }) => {
        const seal = splitSeal(line);
        return sha256(seal === null ? line.subarray(0, -1) : line.subarray(0, seal.start));
      }),
    );
    for (const [index, { offset, line }] of lines.entries()) {
      const verdict = await judge(line, this.declared, this.key, number, offset, hashes[index]);
      this.line(line, verdict, number, at + index, offset);
      this.onLine?.(line, verdict, number, at + index);
    }
    return at + lines.length;
  }

  line(line, verdict, number, at, offset) {
    const here = place(number, at);
    if (verdict.members === null) {
      this.region ??= this.openRegion(number, at, offset, verdict.got);
      this.region.add(line, true);
      return;
    }
    const region = this.closeRegion(false);
    if (region !== null) this.declarations.set(here, region);
    const before = this.run ?? this.beforeRegion;
    const linked = this.link(verdict, number, at, offset) && before !== null && before.kind === null;
    this.entries[number] += 1;
    this.firsts[number] ??= here;
    this.lasts[number] = here;
    const index = bisectLeft(this.anchors, verdict.seq);
    if (this.anchors[index] === verdict.seq) {
      const digits = lineHash(line);
      const key = `${verdict.seq}:${digits}`;
      if (digits !== null) this.anchored.set(key, [...(this.anchored.get(key) ?? []), here]);
    }
    const observed = verdict.members.observed_time;
    if (linked && verdict.kind === null && observed < this.observed) {
      this.notes.clock(here, offset, verdict.seq, this.observed, observed);
    }
    this.notes.entry(verdict.members, here, number, offset);
    this.observed = observed;
  }

  // Add a readable line to the current run, or begin one; return whether it follows.
  link(verdict, segment, line, offset) {
    const { run } = this;
    const before = run ?? this.beforeRegion;
    this.beforeRegion = null;
    const chained = this.declared.mode === "chain";
    const linked = before !== null && verdict.seq === before.lastSeq + 1 && (!chained || before.ends.includes(verdict.prev));
    if (linked && run !== null && run.segment === segment && run.kind === verdict.kind && LINKED.has(verdict.kind)) {
      run.count += 1;
      run.ends = verdict.ends;
    } else {
      const { seq, prev, ends, kind, expected, got } = verdict;
      this.run = new Run({ segment, line, offset, count: 1, seq, prev, ends, kind, expected, got });
      this.runs.push(this.run);
    }
    return linked;
  }

  // Take a piece of a line of more than 1 MiB, or what stands behind the last LF; return the line after it.
  unreadable(block, number, at) {
    const tail = block.kind === "tail";
    // The next segment is created before this one is finished: that it is there says nothing.
    const torn = tail && this.segments.slice(number + 1).every((segment) => segment.size === 0);
    // A whole line that was altered is not what a crash leaves: it stays malformed.
    if (torn && this.region !== null && this.region.head === null && this.region.sealed) this.closeRegion(false);
    this.region ??= this.openRegion(number, at, block.offset, tail ? "no LF at the end" : "longer than 1 MiB");
    this.region.add(block.data, block.kind === "end");
    if (block.kind === "piece") return at;
    if (tail) this.closeRegion(torn);
    return at + 1;
  }

  openRegion(segment, line, offset, reason) {
    this.beforeRegion = this.run ?? this.beforeRegion;
    this.run = null;
    return new Region(segment, line, offset, reason);
  }

  closeRegion(torn) {
    const { region } = this;
    if (region === null) return null;
    region.close();
    region.torn = torn;
    this.regions.push(region);
    this.region = null;
    return region;
  }
}
