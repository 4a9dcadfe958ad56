// Unreadable lines that follow one another: what a crash left, or what someone spoilt.

import { shown } from "./judge.js";
import { place } from "./place.js";
import { splitSeal } from "./line.js";
import { Sha256 } from "./sha256.js";

const HEAD_BYTES = 28; // longer than any {"seq":N,
const MAX_HEADS = 64;
const SEAL_WINDOW = 150;
const latin1 = new TextDecoder("latin1");

export class Region {
  constructor(segment, line, offset, reason) {
    Object.assign(this, { segment, line, offset, reason });
    this.count = 0;
    this.length = 0; // bytes, the last LF left off
    this.heads = new Set(); // how its lines begin, but for lines of only NUL bytes
    this.many = false; // there were more
    this.end = new Uint8Array(0);
    this.head = null; // of the line under construction
    this.nulOnly = true;
    this.torn = false;
    this.declared = false;
    this.declaredBy = 0;
    this.explained = false;
  }

  get first() {
    return place(this.segment, this.line);
  }

  // Take more bytes of the current line; `whole`: its LF follows.
  add(data, whole) {
    if (this.head === null) {
      if (this.length > 0 || this.count > 0) this.length += 1;
      this.head = latin1.decode(data.subarray(0, HEAD_BYTES));
      this.nulOnly = true;
    } else if (this.head.length < HEAD_BYTES) {
      this.head = (this.head + latin1.decode(data.subarray(0, HEAD_BYTES))).slice(0, HEAD_BYTES);
    }
    this.nulOnly &&= data.every((byte) => byte === 0);
    this.length += data.length;
    const tail = data.subarray(-SEAL_WINDOW);
    const both = new Uint8Array(this.end.length + tail.length);
    both.set(this.end);
    both.set(tail, this.end.length);
    this.end = both.slice(-SEAL_WINDOW);
    if (whole) this.close();
  }

  close() {
    if (this.head === null) return;
    if (!(this.nulOnly && this.head !== "")) {
      if (this.heads.size < MAX_HEADS || this.heads.has(this.head)) this.heads.add(this.head);
      else this.many = true;
    }
    this.head = null;
    this.count += 1;
  }

  get sealed() {
    return splitSeal(this.end) !== null;
  }

  // Whether each line begins as {"seq":N, would, or is only NUL bytes.
  beginsAs(seq) {
    const start = `{"seq":${seq},`;
    return !this.many && [...this.heads].every((head) => head.startsWith(start) || start.startsWith(head));
  }

  async sha256(segments) {
    const digest = new Sha256();
    const stop = this.offset + this.length;
    for (let at = this.offset; at < stop; ) {
      const data = await segments[this.segment].read(at, Math.min(1 << 20, stop - at));
      if (data.length === 0) break;
      digest.update(data);
      at += data.length;
    }
    return digest.hex();
  }
}

const declares = (entry) =>
  entry.event === "audit.log.recovered" ||
  (entry.event === "audit.log.opened" && Object.hasOwn(entry.attributes, "audit.fragment.offset"));

// Mark each region as declared, or as explained by a declaration that was edited.
export async function matchRegions(regions, lifecycle, firsts, edited, faults, segments) {
  for (const entry of lifecycle) {
    const region = regions.get(entry.place);
    if (region === undefined || !declares(entry)) continue;
    if (entry.event === "audit.log.opened" && firsts[entry.segment] !== entry.place) continue;
    if (edited.has(entry.place)) {
      region.explained = true;
      continue;
    }
    const { attributes } = entry;
    // Lines lost or changed further up move the region: that is their finding, not another.
    const fault = faults.get(region.segment);
    const moved = fault !== undefined && fault < region.first;
    region.declared =
      (moved || attributes["audit.fragment.offset"] === region.offset) &&
      attributes["audit.fragment.length"] === region.length &&
      !region.sealed &&
      attributes["audit.fragment.sha256"] === (await region.sha256(segments));
    region.declaredBy = entry.seq;
  }
}

// Add the findings: malformed, torn, recovered, declarations without a region.
export function addRegions(all, regions, lifecycle, drafts) {
  for (const region of all) {
    if (region.explained) continue;
    const { first, offset, count } = region;
    if (region.torn) {
      drafts.add("torn", first, offset, null, "LF at the end", `${region.length} bytes behind the last whole line`, { count });
    } else if (region.declared) {
      const severity = region.beginsAs(region.declaredBy) ? "info" : "warning";
      const got = `a fragment of ${region.length} bytes, declared`;
      drafts.add("recovered", first, offset, region.declaredBy, "whole lines", got, { count, severity });
    } else {
      drafts.add("malformed", first, offset, null, "a line of the format", region.reason, { count });
    }
  }
  for (const entry of lifecycle) {
    if (declares(entry) && !regions.has(entry.place)) {
      const expected = `the fragment of ${shown(entry.attributes["audit.fragment.length"])} bytes that it declares`;
      drafts.add("edited", entry.place, entry.offset, entry.seq, expected, "none before it");
    }
  }
}
