// Step 5: how the segments of a log hang together (docs/format.md, "Segments").

import { shown } from "./judge.js";
import { ascending, bisectLeft, bisectRight, place, segmentOf, Stretches } from "./place.js";
import { segmentName } from "./segment.js";

const PREVIOUS = ["audit.segment.previous.name", "audit.segment.previous.size", "audit.segment.previous.sha256"];

// The runs of numbers of segments that are not there though later ones are: [first, behind the last].
export function missingNumbers(segments) {
  const numbers = [0, ...new Set(segments.map((segment) => segment.number))].sort(ascending);
  return numbers.slice(1).flatMap((after, index) => (after > numbers[index] + 1 ? [[numbers[index] + 1, after]] : []));
}

// Add segment_missing and segment_altered where nothing so far explains them.
export function checkSegments(scan, chain, first, checksums, drafts) {
  const check = new Check(scan, chain, first, checksums, drafts);
  check.missing();
  for (const index of scan.segments.keys()) check.begins(index);
  for (const index of scan.segments.keys()) check.closed(index);
  check.rotated();
}

class Check {
  constructor(scan, chain, first, checksums, drafts) {
    Object.assign(this, { scan, first, checksums, drafts });
    this.faults = drafts.errors.map((draft) => draft.at).sort(ascending);
    const sound = chain.runs.filter((run) => run.kind === null);
    this.starts = new Map(sound.map((run) => [run.first, run]));
    const onChain = new Stretches(sound);
    // Only entries of the chain are believed: the others have a finding themselves.
    this.entries = new Map(scan.notes.lifecycle.filter((entry) => onChain.has(entry.place)).map((entry) => [entry.place, entry]));
    // What was moved or copied is missing, or too many, in a segment without a finding.
    this.explained = new Set(chain.originals.map((run) => run.segment));
    const moved = new Set(chain.disordered);
    for (const [index, run] of chain.runs.entries()) {
      if (!moved.has(run)) continue;
      for (const other of [chain.runs[index - 1], run, chain.runs[index + 1]]) {
        if (other !== undefined) this.explained.add(other.segment);
      }
    }
  }

  missing() {
    for (const [start, stop] of missingNumbers(this.scan.segments)) {
      const index = this.scan.segments.findIndex((segment) => segment.number >= stop);
      this.addMissing(place(index, 0), start, stop - start);
    }
  }

  begins(index) {
    const segment = this.scan.segments[index];
    const first = this.scan.firsts[index];
    const run = first === null ? undefined : this.starts.get(first);
    if (run === undefined || this.explained.has(index) || this.fault(place(index, 0), first)) return;
    const opened = this.opened(index);
    const number = opened?.attributes["audit.segment.number"];
    if (opened === undefined || number !== segment.number) {
      const got = opened === undefined ? "another entry" : `segment ${shown(number)}`;
      const expected = `audit.log.opened of segment ${segment.number} as the first entry`;
      this.drafts.add("segment_altered", first, run.offset, run.seq, expected, got);
      this.explained.add(index);
    }
  }

  closed(index) {
    const { segments, digests } = this.scan;
    const segment = segments[index];
    const digest = digests.get(index);
    if (digest === undefined) return;
    const follows = segments[index + 1]?.number === segment.number + 1;
    const witness = follows ? this.opened(index + 1) : undefined;
    const readable = follows && this.scan.firsts[index + 1] !== null;
    let explained = this.explained.has(index) || this.fault(place(index, 0), place(index + 1, 0));
    let agrees = false;
    if (witness !== undefined) {
      const actual = [segment.name, segment.size, digest];
      const said = PREVIOUS.map((name) => witness.attributes[name] ?? null);
      agrees = said.every((value, each) => value === actual[each]);
      explained ||= this.explained.has(index + 1) || this.fault(place(index + 1, 0), witness.place);
      if (!agrees && !explained) {
        const [expected, got] = [said, actual].map(([name, size, sha]) => `${shown(name)} of ${shown(size)} bytes, SHA-256 ${shown(sha)}`);
        this.drafts.add("segment_altered", place(index, 0), null, null, expected, got);
        this.explained.add(index);
      }
    }
    const noted = this.checksums.digests.get(segment.name);
    if (noted === undefined || noted === digest) return;
    if (agrees) {
      const expected = `SHA-256 ${digest} of ${segment.name}, as the chain says`;
      const { path } = this.checksums;
      this.drafts.add("segment_altered", place(index, 0), null, null, expected, noted, { severity: "warning", path });
    } else if (!readable && !explained) {
      // No entry says what this segment was: the checksum file is the only witness.
      const expected = `SHA-256 ${noted}, as ${this.checksums.path} says`;
      this.drafts.add("segment_altered", place(index, 0), null, null, expected, `SHA-256 ${digest}`);
      this.explained.add(index);
    }
  }

  rotated() {
    for (const [at, entry] of this.entries) {
      if (entry.event !== "audit.log.rotated") continue;
      const index = segmentOf(at);
      const following = segmentName(this.first, this.scan.segments[index].number + 1);
      const said = entry.attributes["audit.segment.next"];
      if (said !== following || at !== this.scan.lasts[index]) {
        if (!this.explained.has(index) && !this.fault(at, place(index + 1, 0))) {
          const expected = `audit.log.rotated to ${following} as the last entry`;
          const got = said === following ? "entries behind it" : shown(said);
          this.drafts.add("segment_altered", at, entry.offset, entry.seq, expected, got);
        }
      } else if (index === this.scan.segments.length - 1) {
        this.addMissing(at, this.scan.segments[index].number + 1, 1);
      }
    }
  }

  addMissing(at, number, count) {
    const name = segmentName(this.first, number);
    this.drafts.add("segment_missing", at, null, null, name, "no such file", { path: name, count });
  }

  opened(index) {
    const entry = this.entries.get(this.scan.firsts[index]);
    return entry?.event === "audit.log.opened" ? entry : undefined;
  }

  // Whether a finding stands from one place up to another.
  fault(first, last) {
    return bisectLeft(this.faults, first) < bisectRight(this.faults, last);
  }
}
