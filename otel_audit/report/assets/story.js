// What happened: the numbers, the charts, and what an assessor looks at first.

import { drawBars, drawLegend, drawTimeline } from "./charts.js";
import { facts } from "./count.js";
import { summary } from "./data.js";
import { byId, count, el, plural, timeText } from "./dom.js";
import { drawFlow } from "./flow.js";
import { shortened, visible } from "./inert.js";
import { state } from "./state.js";

const MOST = 8;
const PAPER_WIDTH = 700; // of an A4 page, less its margins: what is drawn for a screen would be shrunk to nothing

export class Story {
  constructor(open) {
    this.rows = null;
    this.open = open;
    this.timeline = el("figure.timeline");
    this.flow = el("figure.flow");
    this.legend = el("div.legend", { role: "group", "aria-label": "how it went" });
    this.actors = el("div.bars");
    this.events = el("div.bars");
    this.flowNote = el("p.quiet");
    byId("story").replaceChildren(
      el("h2", { id: "story-title" }, "What happened"),
      this.tiles(),
      el(
        "div.card.wide",
        {},
        el("div.card-head", {}, el("h3", {}, "Actions over time"), this.legend),
        this.timeline,
        el("p.quiet", {}, "Times are UTC. An action counts once. ", el("span.screen", {}, "Drag over the chart to choose a period.")),
      ),
      el("div.card.wide", {}, el("h3", {}, "Who acted for whom"), this.flow, this.flowNote),
      el(
        "div.grid",
        {},
        el("div.card", {}, el("h3", {}, "Actors"), this.actors, together(summary.together)),
        el("div.card", {}, el("h3", {}, "What was done"), this.events),
        listCard("Targets", summary.targets.map(([id, type, number]) => [id, type, number]), "None.", missed(summary.targets_missed)),
        listCard("Errors", summary.errors.map(([name, number]) => [name, "", number]), "No action failed with a named error."),
      ),
      el("div.grid", {}, this.openIntents(), this.losses(), this.writers()),
    );
    state.onChange(() => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.timeline);
    addEventListener("beforeprint", () => this.draw(PAPER_WIDTH));
    addEventListener("afterprint", () => this.draw());
  }

  // Charts from the entries themselves, once they are checked.
  from(rows) {
    this.rows = rows;
    this.draw();
  }

  draw(width = this.timeline.clientWidth) {
    const found = facts(this.rows);
    drawTimeline(this.timeline, found, width);
    drawLegend(this.legend, found);
    drawBars(this.actors, found.actors, "actor", "No actor under these filters.");
    drawBars(this.events, found.events, "event", "Nothing was done under these filters.");
    drawFlow(this.flow, found.flows, width);
    const unheard = ["from", "q"].filter((name) => this.rows === null && state.get(name) !== "");
    this.flowNote.textContent = unheard.length > 0 ? "This chart is of the whole period: the page does not carry every entry." : "";
  }

  tiles() {
    // Of the whole log, whatever the reader has chosen: what went wrong must not depend on an address.
    const totals = summary.results.map(() => 0);
    for (const [, , , result, number] of summary.cells) totals[result] += number;
    const { period, actions, traces, services, actor_count: actors } = summary;
    const tile = (label, value, detail = "", kind = "") =>
      el(`div.tile${kind}`, {}, el("span.tile-label", {}, label), el("span.tile-value", {}, value), el("span.tile-detail", {}, detail));
    const span = period.first === "" ? "nothing recorded" : spanText(Date.parse(`${period.last.slice(0, 23)}Z`) - Date.parse(`${period.first.slice(0, 23)}Z`));
    return el(
      "div.tiles",
      {},
      tile("period", span, period.first === "" ? "" : `${timeText(period.first)} to ${timeText(period.last)} UTC`, ".long"),
      tile("actions", count(actions), `${plural(summary.entries, "entry", "entries")}, ${traces < summary.most_told_apart ? plural(traces, "trace") : `${count(traces)} traces or more`}`),
      tile("actors", actors < summary.most_told_apart ? count(actors) : `${count(actors)} or more`, services.length === 0 ? "" : `${plural(services.length, "service")}: ${shortened(services.map(([name]) => name || "(none)").join(", "), 60)}`),
      tile("failed", count(totals[1]), summary.errors.length > 0 ? shortened(summary.errors[0][0], 40) : "", totals[1] > 0 ? ".failure" : ""),
      tile("blocked", count(totals[2]), summary.decisions.map(([name, number]) => `${visible(name)} ${count(number)}`).join(", "), totals[2] > 0 ? ".blocked" : ""),
      tile("never ended", count(totals[4]), totals[4] > 0 ? "the log does not say how" : "every action has its outcome", totals[4] > 0 ? ".open" : ""),
    );
  }

  openIntents() {
    const { unfinished } = summary.verification;
    const items = unfinished.slice(0, MOST).map((action) =>
      el(
        "li",
        {},
        el("button.link", { type: "button", onclick: () => this.open(action.seq) }, `#${count(action.seq)}`),
        ` ${shortened(action.event_name, 60)} by ${shortened(action.actor_id ?? "", 40)}, ${timeText(action.time)}: `,
        action.voided ? "its caller was told that it was not recorded" : action.writer_closed === true ? "its writer closed the log all the same" : action.writer_closed === false ? "its writer was killed, or is still at work" : "which process it was is not said",
      ),
    );
    return card("Actions that never ended", items, unfinished.length, "None: of each action the log says how it ended.");
  }

  losses() {
    const kinds = ["audit.log.dropped", "audit.log.voided", "audit.log.recovered"];
    const found = summary.log_events.filter((event) => kinds.includes(event.event_name));
    const text = {
      "audit.log.dropped": (said) => `${told(said["audit.dropped.count"])} records were lost (${told(said["error.type"])})`,
      "audit.log.voided": (said) => `entries ${told(said["audit.voided.first"])} to ${told(said["audit.voided.last"])} were reported as failed to their callers`,
      "audit.log.recovered": (said) => `${told(said["audit.fragment.length"])} bytes that a crash left were declared`,
    };
    const items = found.slice(0, MOST).map((event) =>
      el(
        "li",
        {},
        el("button.link", { type: "button", onclick: () => this.open(event.seq) }, `#${count(event.seq)}`),
        ` ${timeText(event.time)}: ${text[event.event_name](event.attributes)}`,
      ),
    );
    return card("Losses and recoveries", items, found.length, "None was declared.");
  }

  writers() {
    const counts = summary.log_event_counts;
    const said = (name) => counts[`audit.log.${name}`] ?? 0;
    const { segments } = summary.verification;
    const items = [
      el("li", {}, `${plural(segments.length, "file")}: ${shortened(segments.map((segment) => segment.path).join(", "), 160)}`),
      el("li", {}, `opened ${plural(said("opened"), "time")}, closed ${plural(said("closed"), "time")}, rotated ${plural(said("rotated"), "time")}`),
      ...(said("opened") - said("rotated") > said("closed")
        ? [el("li", {}, `${plural(said("opened") - said("rotated") - said("closed"), "writer")} did not close the log: killed, or still at work`)]
        : []),
    ];
    return card("Files and writers", items, items.length, "");
  }
}

const told = (value) => shortened(String(value), 80);

function card(title, items, total, empty) {
  const left = total - items.length;
  const rest = left > 0 ? [el("p.quiet", {}, `and ${count(left)} more`)] : [];
  return el("div.card", {}, el("h3", {}, title), items.length > 0 ? el("ul.plain", {}, items) : el("p.quiet", {}, empty), rest);
}

function together(number) {
  return number === 0 ? null : el("p.quiet", {}, `There are more actors and kinds of action than are told apart: of ${plural(number, "action")} it is not told who did them.`);
}

function missed(most) {
  return most === 0 ? null : el("p.quiet", {}, `There are so many different ones that each number may be up to ${count(most)} too low.`);
}

function listCard(title, items, empty = "None.", note = null) {
  const rows = items.slice(0, MOST).map(([name, detail, number]) =>
    el("li.counted", {}, el("span", { title: visible(name).slice(0, 500) }, shortened(name, 44), detail === "" ? null : el("span.quiet", {}, ` ${shortened(detail, 24)}`)), el("b", {}, count(number))),
  );
  return el("div.card", {}, el("h3", {}, title), rows.length > 0 ? el("ul.plain", {}, rows) : el("p.quiet", {}, empty), note);
}

function spanText(milliseconds) {
  for (const [unit, name] of [[86_400_000, "day"], [3_600_000, "hour"], [60_000, "minute"], [1000, "second"]]) {
    if (milliseconds >= 2 * unit || (unit === 1000 && milliseconds >= unit)) return plural(Math.round(milliseconds / unit), name);
  }
  return `${milliseconds} ms`;
}
