// What the content of entries gives cause to say: schema, clock, intents, the log's own life.

import { shown } from "./judge.js";

const REQUIRED = [
  "audit.record.id", "audit.actor.id", "audit.actor.type", "audit.action", "audit.outcome", "audit.schema.version",
];
const LOG_EVENTS = new Set(["opened", "closed", "rotated", "recovered", "dropped", "voided"].map((name) => `audit.log.${name}`));
const KEPT = new Set(["audit.log.opened", "audit.log.rotated", "audit.log.recovered"]);

export class Notes {
  constructor(now) {
    this.now = now; // intents observed later are open, and no warning
    this.found = [];
    this.intents = new Map();
    this.outcomes = new Set();
    this.lifecycle = [];
    this.unknownLifecycle = 0;
    this.openIntents = 0;
  }

  note(kind, at, offset, seq, expected, got) {
    this.found.push({ kind, place: at, offset, seq, expected, got });
  }

  clock(at, offset, seq, before, after) {
    this.note("clock_backwards", at, offset, seq, `observed_time from ${before}`, after);
  }

  entry(members, at, segment, offset) {
    const { attributes, seq } = members;
    const missing = REQUIRED.find((name) => !Object.hasOwn(attributes, name));
    if (missing !== undefined) this.note("schema", at, offset, seq, `attribute ${missing}`, "none of that name");
    const id = attributes["audit.record.id"];
    if (typeof id === "string") this.phase(attributes, id, members.observed_time, at, segment, offset, seq);
    if (members.event_name.startsWith("audit.log.")) this.logEntry(members.event_name, attributes, at, segment, offset, seq);
  }

  phase(attributes, id, observed, at, segment, offset, seq) {
    const phase = attributes["audit.phase"];
    if (phase === "intent") {
      if (this.now !== null && observed > this.now) this.openIntents += 1;
      else if (!this.outcomes.has(id) && !this.intents.has(id)) {
        const expected = `an outcome of intent ${id}`;
        this.intents.set(id, { kind: "intent_without_outcome", place: at, offset, seq, expected, got: "none" });
      }
    } else if (phase === "outcome") {
      const intent = attributes["audit.intent.id"];
      // Out of order, or of an intent that is lost: another finding says which.
      if (typeof intent === "string" && !this.intents.delete(intent)) this.outcomes.add(intent);
    }
  }

  logEntry(event, attributes, at, segment, offset, seq) {
    const get = (name) => shown(attributes[name]);
    if (!LOG_EVENTS.has(event)) {
      this.unknownLifecycle += 1;
    } else if (event === "audit.log.dropped") {
      const span = `from ${get("audit.dropped.first_time")} to ${get("audit.dropped.last_time")}`;
      const got = `${get("audit.dropped.count")} lost ${span}: ${get("error.type")}`;
      this.note("dropped", at, offset, seq, "every record written", got);
    } else if (event === "audit.log.voided") {
      const entries = `${get("audit.voided.first")} to ${get("audit.voided.last")}`;
      const got = `entries ${entries} reported as failed: ${get("error.type")}`;
      this.note("voided", at, offset, seq, "every entry acknowledged", got);
    } else if (KEPT.has(event)) {
      this.lifecycle.push({ event, place: at, segment, offset, seq, attributes });
    }
  }
}
