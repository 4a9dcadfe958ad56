// A stretch of adjoining, linked lines of one kind.

import { place } from "./place.js";
import { linesFrom } from "./segment.js";
import { splitSeal } from "./line.js";

const BLOCK_BYTES = 1 << 16;

export class Run {
  constructor({ segment, line, offset, count, seq, prev, ends, kind = null, expected = "", got = "" }) {
    Object.assign(this, { segment, line, offset, count, seq, prev, ends, kind, expected, got });
    this.copies = [];
    this.length = 0; // entries on the best path that begins here
    this.breaks = 0; // on that path
    this.following = null; // linked to its end
    this.onward = null; // where none is: what the path goes on with
    this.used = false;
    this.unjudged = false;
  }

  get lastSeq() {
    return this.seq + this.count - 1;
  }

  get first() {
    return place(this.segment, this.line);
  }

  get last() {
    return place(this.segment, this.line + this.count - 1);
  }

  // Shorten this run to so many lines and return the rest, which begins at an offset behind a line with this hash.
  cut(lines, offset, end) {
    const rest = new Run({
      segment: this.segment,
      line: this.line + lines,
      offset,
      count: this.count - lines,
      seq: this.seq + lines,
      prev: this.prev !== null ? end : null,
      ends: this.ends,
      kind: this.kind,
      expected: this.expected,
      got: this.got,
    });
    this.count = lines;
    this.ends = end === null ? [] : [end];
    return rest;
  }
}

// Offset and bytes of each line of a run, or of its first ones, read again.
export async function* runLines(run, segments, count = run.count) {
  let left = Math.min(count, run.count);
  if (left === 0) return;
  for await (const each of linesFrom(segments[run.segment], run.offset, Math.min(BLOCK_BYTES, left * 4096))) {
    yield each;
    left -= 1;
    if (left === 0) return;
  }
}

export const lineHash = (line) => splitSeal(line)?.hash ?? null;
