// The entries that the page carries, as far as tables and charts need them.

import { summary } from "./data.js";
import { shown } from "./verify/judge.js";
import { Double } from "./verify/strict_json.js";

const LOG_EVENT = "audit.log.";
const OPEN = new Set(summary.embedded.open ?? []);
const utf8 = new TextDecoder();

const string = (value) => (typeof value === "string" ? value : value === undefined || value === null ? "" : shown(value));

// One row from a line's members; `start` and `end` are its place in the carried bytes.
export function rowOf(members, segment, line, start, end) {
  const { attributes } = members;
  const delegation = Array.isArray(attributes["audit.delegation"]) ? attributes["audit.delegation"].map(string) : [];
  const actor = string(attributes["audit.actor.id"]);
  const took = attributes["audit.duration"];
  const duration = took instanceof Double ? took.value : took;
  return {
    seq: members.seq,
    segment,
    line,
    start,
    end,
    time: members.time,
    event: members.event_name,
    own: members.event_name.startsWith(LOG_EVENT),
    actor,
    principal: delegation[0] ?? actor,
    action: string(attributes["audit.action"]),
    target: string(attributes["audit.target.id"]),
    phase: string(attributes["audit.phase"]),
    id: string(attributes["audit.record.id"]),
    intent: string(attributes["audit.intent.id"]),
    trace: members.trace_id ?? "",
    span: members.span_id ?? "",
    duration: typeof duration === "number" && Number.isFinite(duration) ? duration : null,
    result: resultOf(members),
    counts: true,
    bin: binOf(members.time),
  };
}

function resultOf(members) {
  const { attributes } = members;
  if (members.event_name.startsWith(LOG_EVENT)) return "log";
  if (attributes["audit.phase"] === "intent") return "intent";
  if (attributes["audit.decision"] === "block") return "blocked";
  const outcome = attributes["audit.outcome"];
  return outcome === "success" || outcome === "failure" ? outcome : "unknown";
}

export function binOf(time) {
  const { start_ms: start, step_ms: step, bins } = summary.timeline;
  return Math.min(Math.max(Math.floor((Date.parse(`${time.slice(0, 23)}Z`) - start) / step), 0), bins - 1);
}

// All rows, with what belongs together: an action counts once, as its outcome, or as an intent that has none.
export class Rows {
  constructor(bytes) {
    this.bytes = bytes;
    this.all = [];
    this.bySeq = new Map();
    this.byId = new Map();
    this.outcomes = new Map();
  }

  add(row) {
    this.all.push(row);
    if (!this.bySeq.has(row.seq)) this.bySeq.set(row.seq, row);
    if (row.id !== "" && !this.byId.has(row.id)) this.byId.set(row.id, row);
    if (row.intent !== "" && row.phase === "outcome") this.outcomes.set(row.intent, row);
  }

  finish() {
    for (const row of this.all) {
      if (row.own) row.counts = false;
      else if (row.phase === "intent") {
        row.counts = !this.outcomes.has(row.id);
        // Where not all entries are here, the outcome may be one that is not.
        if (row.counts && (summary.embedded.whole || OPEN.has(row.seq))) row.result = "open";
      }
    }
  }

  // The intent of an outcome, or the outcome of an intent.
  partner(row) {
    return (row.phase === "outcome" ? this.byId.get(row.intent) : row.phase === "intent" ? this.outcomes.get(row.id) : null) ?? null;
  }

  lineBytes(row) {
    return this.bytes.subarray(row.start, row.end);
  }

  text(row) {
    return utf8.decode(this.lineBytes(row));
  }
}
