// One file of a log, as bytes that are read a block at a time.

import { MAX_LINE_BYTES } from "./line.js";

const BLOCK_BYTES = 1 << 20;
const LF = 10;

export const GENESIS = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// The name of a segment's file: NAME.jsonl, NAME.000002.jsonl, …
export function segmentName(first, number) {
  return number === 1 ? first : `${first.slice(0, -".jsonl".length)}.${String(number).padStart(6, "0")}.jsonl`;
}

// The number of a segment of a log, from its file's name; null where it is none.
export function segmentNumber(first, name) {
  if (name === first) return 1;
  const base = first.slice(0, -".jsonl".length);
  if (!name.startsWith(`${base}.`)) return null;
  const match = /^([0-9]{6,15})\.jsonl$/.exec(name.slice(base.length + 1));
  const number = match === null ? 0 : Number(match[1]);
  return number >= 2 && segmentName(first, number) === name ? number : null;
}

// The name of a log's first segment, from that of any.
export function firstName(name) {
  const match = /^(.+)\.([0-9]{6,15})\.jsonl$/.exec(name);
  if (match === null) return name;
  const first = `${match[1]}.jsonl`;
  return segmentNumber(first, name) === null ? name : first;
}

// A segment from a File or Blob.
export function fromBlob(name, number, blob) {
  return {
    path: name,
    name,
    number,
    size: blob.size,
    async read(offset, length) {
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
  };
}

// A segment from bytes in memory.
export function fromBytes(name, number, bytes) {
  return { path: name, name, number, size: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) };
}

// A segment's bytes in order. `lines`: whole lines, the last LF left off. `piece`: of a line of more than 1 MiB, with
// more to come; `end`: its last piece, LF left off. `tail`: what stands behind the last LF, or its last piece.
export async function* readBlocks(segment, start = 0, size = BLOCK_BYTES) {
  let offset = start;
  let rest = new Uint8Array(0);
  let endless = false;
  while (offset < segment.size) {
    const data = await segment.read(offset, Math.min(size, segment.size - offset));
    if (data.length === 0) break;
    if (endless) {
      const cut = data.indexOf(LF);
      yield { kind: cut < 0 ? "piece" : "end", offset, data: cut < 0 ? data : data.subarray(0, cut) };
      endless = cut < 0;
      offset += cut < 0 ? data.length : cut + 1;
      continue;
    }
    const cut = data.lastIndexOf(LF);
    if (cut >= 0) {
      const begin = offset - rest.length;
      yield { kind: "lines", offset: begin, data: rest.length > 0 ? joined(rest, data.subarray(0, cut)) : data.subarray(0, cut) };
      rest = new Uint8Array(0);
      offset += cut + 1;
      continue;
    }
    rest = joined(rest, data);
    offset += data.length;
    if (rest.length > MAX_LINE_BYTES) {
      yield { kind: "piece", offset: offset - rest.length, data: rest };
      rest = new Uint8Array(0);
      endless = true;
    }
  }
  if (rest.length > 0 || endless) yield { kind: "tail", offset: offset - rest.length, data: rest };
}

// The lines of a block that is `lines`: each with its offset in the segment, LF left off.
export function* splitLines(block) {
  let at = 0;
  for (;;) {
    const cut = block.data.indexOf(LF, at);
    const end = cut < 0 ? block.data.length : cut;
    yield { offset: block.offset + at, line: block.data.subarray(at, end) };
    if (cut < 0) return;
    at = cut + 1;
  }
}

// Each whole line from an offset on; only for stretches without a line of more than 1 MiB.
export async function* linesFrom(segment, offset, size = BLOCK_BYTES) {
  for await (const block of readBlocks(segment, offset, size)) {
    if (block.kind !== "lines") return;
    yield* splitLines(block);
  }
}

function joined(a, b) {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
