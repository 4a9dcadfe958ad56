// What the charts show: counts of actions by time, actor, event and result, under the filters. Each chart leaves its own
// filter out, so that the other choices stay in sight.

import { summary } from "./data.js";
import { binOf } from "./rows.js";
import { state } from "./state.js";

export const RESULTS = summary.results;

// The rows that the filters leave.
export function chosenRows(rows) {
  const keep = rowFilter(rows);
  const log = state.get("log") === "yes";
  return rows.all.filter((row) => (log || !row.own) && keep(row));
}

function rowFilter(rows) {
  const [from, to] = range();
  const [result, actor, event, principal] = ["result", "actor", "event", "principal"].map((name) => state.get(name));
  const query = state.get("q").toLowerCase();
  return (row) =>
    (result === "" || row.result === result) &&
    (actor === "" || row.actor === actor) &&
    (event === "" || row.event === event) &&
    (principal === "" || row.principal === principal) &&
    (from === null || row.bin >= from) &&
    (to === null || row.bin <= to) &&
    (query === "" || rows.text(row).toLowerCase().includes(query));
}

// The chosen steps of the timeline, first and last; null where nothing is chosen.
export function range() {
  const [from, to] = [state.get("from"), state.get("to")];
  const bin = (text) => (Number.isNaN(Date.parse(`${text.slice(0, 23)}Z`)) ? null : binOf(text));
  return [from === "" ? null : bin(from), to === "" ? null : bin(to)];
}

// {bins: [step][result], results, actors, events, principals: Map of name to [result], flows: Map}
export function facts(rows) {
  const found = {
    bins: Array.from({ length: summary.timeline.bins }, () => RESULTS.map(() => 0)),
    results: RESULTS.map(() => 0),
    actors: new Map(),
    events: new Map(),
    flows: new Map(),
    total: 0,
  };
  const [from, to] = range();
  const [chosen, actor, event, principal] = ["result", "actor", "event", "principal"].map((name) => state.get(name));
  const add = (bin, by, who, what, index, number) => {
    const misses = [];
    if (bin !== null && ((from !== null && bin < from) || (to !== null && bin > to))) misses.push("time");
    if (chosen !== "" && RESULTS[index] !== chosen) misses.push("result");
    if (actor !== "" && who !== actor) misses.push("actor");
    if (event !== "" && what !== event) misses.push("event");
    if (principal !== "" && by !== null && by !== principal) misses.push("principal");
    if (misses.length > 1) return;
    const only = (name) => misses.length === 0 || misses[0] === name;
    if (bin !== null) {
      if (only("time")) found.bins[bin][index] += number;
      if (only("result")) found.results[index] += number;
      if (only("actor")) tally(found.actors, who, index, number);
      if (only("event")) tally(found.events, what, index, number);
      if (misses.length === 0) found.total += number;
    }
    if (by !== null && misses.length === 0) {
      const key = JSON.stringify([by, who, what]);
      tally(found.flows, key, index, number);
    }
  };
  if (rows !== null) {
    const query = state.get("q").toLowerCase();
    for (const row of rows.all) {
      if (row.counts && (query === "" || rows.text(row).toLowerCase().includes(query))) {
        add(row.bin, row.principal, row.actor, row.event, RESULTS.indexOf(row.result), 1);
      }
    }
  } else {
    for (const [bin, who, what, result, number] of summary.cells) {
      add(bin, null, summary.actors[who], summary.events[what], result, number);
    }
    for (const [by, who, what, result, number] of summary.flows) {
      add(null, summary.principals[by], summary.actors[who], summary.events[what], result, number);
    }
  }
  return found;
}

function tally(map, name, index, number) {
  let counts = map.get(name);
  if (counts === undefined) map.set(name, (counts = RESULTS.map(() => 0)));
  counts[index] += number;
}

export const sum = (counts) => counts.reduce((total, each) => total + each, 0);
