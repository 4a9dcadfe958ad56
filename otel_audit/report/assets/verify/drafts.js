// Findings in the making: gathered by place, merged, put in order.

import { lineOf, segmentOf } from "./place.js";

const WARNINGS = new Set(["clock_backwards", "intent_without_outcome", "schema"]);
const INFORMATION = new Set(["voided", "dropped"]);
const EACH_ITS_OWN = new Set(["edited", "forked", "gap", "truncated", "diverged", "segment_missing", "segment_altered"]);

export class Drafts {
  constructor(segments) {
    this.segments = segments;
    this.drafts = [];
  }

  // A place without a line (0), or another file's path, means a file as a whole.
  add(kind, at, offset, seq, expected, got, { count = 1, severity = null, path = null } = {}) {
    this.drafts.push({
      at,
      finding: {
        kind,
        severity: severity ?? (WARNINGS.has(kind) ? "warning" : INFORMATION.has(kind) ? "info" : "error"),
        path: path ?? this.segments[segmentOf(at)].path,
        line: path !== null ? null : lineOf(at) || null,
        offset,
        seq,
        expected,
        got,
        count,
      },
    });
  }

  addRun(kind, run, expected, got) {
    this.add(kind, run.first, run.offset, run.seq, expected, got, { count: run.count });
  }

  get errors() {
    return this.drafts.filter((draft) => draft.finding.severity === "error");
  }

  // The findings in the order of the files, adjoining ones of one kind as one.
  finish() {
    const merged = [];
    const latest = new Map(); // a line can have notes of several kinds: each kind is merged by itself
    for (const { at, finding } of [...this.drafts].sort((a, b) => a.at - b.at)) {
      const key = `${finding.kind} ${finding.severity}`;
      const before = latest.get(key);
      if (
        before !== undefined &&
        lineOf(at) > 0 &&
        !EACH_ITS_OWN.has(finding.kind) &&
        at === before.at + before.finding.count &&
        segmentOf(at) === segmentOf(before.at)
      ) {
        before.finding = { ...before.finding, count: before.finding.count + finding.count };
        continue;
      }
      const draft = { at, finding };
      latest.set(key, draft);
      merged.push(draft);
    }
    return merged.map((draft) => draft.finding);
  }
}
