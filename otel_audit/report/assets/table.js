// The entries that the page carries: filtered, a page at a time.

import { RESULT_TEXT } from "./charts.js";
import { chosenRows } from "./count.js";
import { summary } from "./data.js";
import { byId, count, el, plural } from "./dom.js";
import { shortened, visible } from "./inert.js";
import { state } from "./state.js";

const PER_PAGE = 50;
const TYPING_MILLIS = 200;
const LABELS = { result: "how it went", actor: "actor", event: "event", principal: "on behalf of", q: "text", from: "from", to: "until" };

export class Table {
  constructor(open) {
    this.rows = null;
    this.open = open;
    this.search = el("input", { id: "search", type: "search", placeholder: "text in the line: target, trace id, reason …", spellcheck: "false", oninput: () => this.typed() });
    this.log = el("input", { id: "log", type: "checkbox", onchange: () => state.set({ log: this.log.checked ? "yes" : "" }) });
    // The chart's period, for those who do not drag.
    const moment = (name) => el("input", { id: `${name}-time`, type: "datetime-local", step: 1, onchange: (event) => state.set({ [name]: event.target.value }) });
    this.since = moment("from");
    this.until = moment("to");
    this.chips = el("div.chips");
    this.total = el("p.total", { role: "status", "aria-live": "polite" }, "reading …");
    this.body = el("tbody");
    this.table = el(
      "table",
      {},
      el("caption.hidden", {}, "Entries"),
      el("thead", {}, el("tr", {}, ["#", "time (UTC)", "how it went", "actor", "event", "target", "took"].map((name) => el("th", { scope: "col" }, name)))),
      this.body,
    );
    this.pager = el("nav.pager", { "aria-label": "pages of entries" });
    const { whole, entries, of } = summary.embedded;
    byId("entries").replaceChildren(
      el("h2", { id: "entries-title" }, "Entries"),
      whole ? el("p.quiet", {}, "Every entry of the log, as this browser read it.") : el("p.plain-note", {}, `This page carries ${count(entries)} of ${plural(of, "entry", "entries")}: failures, blocked and open actions and losses with their neighbours first, then the latest. The charts above are of all of them.`),
      el("div.filters", {}, el("label.hidden", { for: "search" }, "Search"), this.search, el("label.check", { for: "from-time" }, "from ", this.since), el("label.check", { for: "to-time" }, "until ", this.until), el("label.check", { for: "log" }, this.log, " the log's own entries, too")),
      this.chips,
      this.total,
      el("div.table-box", {}, this.table),
      this.pager,
    );
    state.onChange(() => this.draw());
  }

  from(rows) {
    this.rows = rows;
    this.draw();
  }

  typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => state.set({ q: this.search.value.trim() }), TYPING_MILLIS);
  }

  draw() {
    if (document.activeElement !== this.search) this.search.value = state.get("q");
    this.log.checked = state.get("log") === "yes";
    this.since.value = momentText(state.get("from"));
    this.until.value = momentText(state.get("to"));
    this.drawChips();
    if (this.rows === null) return;
    const key = JSON.stringify([...state.values].filter(([name]) => name !== "entry"));
    if (key === this.drawn) return;
    this.drawn = key;
    const chosen = chosenRows(this.rows);
    const pages = Math.max(1, Math.ceil(chosen.length / PER_PAGE));
    const page = Math.min(Math.max(Number.parseInt(state.get("page"), 10) || 1, 1), pages);
    this.total.textContent = chosen.length === 0 ? "No entry fits." : `${plural(chosen.length, "entry", "entries")}, ${count((page - 1) * PER_PAGE + 1)} to ${count(Math.min(page * PER_PAGE, chosen.length))} shown`;
    this.body.replaceChildren(...chosen.slice((page - 1) * PER_PAGE, page * PER_PAGE).map((row) => this.row(row)));
    const to = (number, text, disabled) => el("button", { type: "button", disabled, onclick: () => state.set({ page: number }) }, text);
    this.pager.replaceChildren(
      to(1, "First", page === 1),
      to(page - 1, "Back", page === 1),
      el("span", {}, `page ${count(page)} of ${count(pages)}`),
      to(page + 1, "On", page === pages),
      to(pages, "Last", page === pages),
    );
  }

  drawChips() {
    const chips = state.filters.map((name) => {
      const value = state.get(name);
      const text = name === "result" ? (RESULT_TEXT[value] ?? value) : shortened(value, 40);
      return el("button.chip", { type: "button", onclick: () => state.set({ [name]: "" }), "aria-label": `take away the filter ${LABELS[name]} ${text}` }, `${LABELS[name]}: ${text} ✕`);
    });
    if (chips.length > 1) chips.push(el("button.chip.all", { type: "button", onclick: () => state.set(Object.fromEntries(state.filters.map((name) => [name, ""]))) }, "Take away all"));
    this.chips.replaceChildren(...chips);
  }

  row(row) {
    const cell = (label, ...content) => el("td", { "data-label": label }, ...content);
    const acted = row.principal !== row.actor ? el("span.quiet", {}, ` for ${shortened(row.principal, 32)}`) : null;
    return el(
      "tr",
      { onclick: (event) => event.target.closest("button") === null && this.open(row.seq) },
      cell("#", el("button.link", { type: "button", onclick: () => this.open(row.seq), "aria-label": `entry ${row.seq}` }, count(row.seq))),
      cell("time (UTC)", el("span.time", { title: row.time }, `${row.time.slice(0, 10)} ${row.time.slice(11, 23)}`)),
      cell("how it went", el(`span.badge.r-${row.result}`, {}, RESULT_TEXT[row.result])),
      cell("actor", el("span", { title: visible(row.actor).slice(0, 500) }, shortened(row.actor, 36)), acted),
      cell("event", shortened(row.event, 44)),
      cell("target", el("span", { title: visible(row.target).slice(0, 500) }, shortened(row.target, 44))),
      cell("took", row.duration === null ? "" : durationText(row.duration)),
    );
  }
}

const momentText = (text) => /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?/.exec(text)?.[0] ?? "";

export function durationText(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return seconds >= 0.001 ? `${(seconds * 1000).toFixed(1)} ms` : `${(seconds * 1e6).toFixed(0)} µs`;
}
