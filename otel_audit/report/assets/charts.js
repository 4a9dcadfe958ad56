// The timeline, and bars of names: hand-made SVG and elements.

import { RESULTS, range, sum } from "./count.js";
import { summary } from "./data.js";
import { count, el, plural, svg } from "./dom.js";
import { shortened, visible } from "./inert.js";
import { state } from "./state.js";

const HEIGHT = 232;
const FOOT = 28;
const SIDE = 46;
const MOST_BARS = 8;

export const RESULT_TEXT = {
  __proto__: null,
  success: "succeeded",
  failure: "failed",
  blocked: "blocked",
  unknown: "unknown",
  open: "never ended",
  intent: "began",
  log: "log",
};

const LAST_MOMENT = Date.parse("9999-12-31T23:59:59.999Z");
const isoOf = (bin) => new Date(Math.min(summary.timeline.start_ms + bin * summary.timeline.step_ms, LAST_MOMENT)).toISOString().slice(0, 23);

function stepText() {
  const seconds = summary.timeline.step_ms / 1000;
  for (const [unit, name] of [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]]) {
    if (seconds >= unit) return seconds === unit ? name : `${count(seconds / unit)} ${name}s`;
  }
  return `${summary.timeline.step_ms} ms`;
}

function tickText(iso, previous) {
  const step = summary.timeline.step_ms;
  if (step >= 43_200_000) return iso.slice(5, 10);
  const clock = step >= 60_000 ? iso.slice(11, 16) : step >= 1000 ? iso.slice(11, 19) : iso.slice(11, 23);
  // In a short period the day is the same everywhere, and stands above.
  return step < 60_000 || (previous !== null && previous.slice(0, 10) === iso.slice(0, 10)) ? clock : `${iso.slice(5, 10)} ${clock}`;
}

function niceMost(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 4, 5, 10].map((factor) => factor * power).find((value) => value >= most && value >= 4) ?? 10 * power;
}

// Actions over time, stacked by how they went; drag to choose a period.
export function drawTimeline(figure, found, wanted) {
  const width = Math.max(wanted, 280);
  const plot = { left: SIDE, right: width - 8, top: 8, bottom: HEIGHT - FOOT };
  const { bins } = summary.timeline;
  const slot = (plot.right - plot.left) / bins;
  const most = niceMost(Math.max(...found.bins.map(sum), 1));
  const y = (value) => plot.bottom - (value / most) * (plot.bottom - plot.top);
  const grid = [0.25, 0.5, 0.75, 1].flatMap((part) => [
    svg("line.grid", { x1: plot.left, x2: plot.right, y1: y(part * most), y2: y(part * most) }),
    svg("text.tick", { x: plot.left - 8, y: y(part * most) + 4, "text-anchor": "end" }, Number.isInteger(part * most) ? count(part * most) : ""),
  ]);
  const [from, to] = range();
  const bars = found.bins.flatMap((counts, bin) => {
    let base = 0;
    const x = plot.left + bin * slot;
    const faded = (from !== null && bin < from) || (to !== null && bin > to);
    return counts.flatMap((number, index) => {
      if (number === 0) return [];
      base += number;
      const height = Math.max((number / most) * (plot.bottom - plot.top), 1);
      const gap = slot > 4 ? 1 : 0;
      return [
        svg(`rect.r-${RESULTS[index]}${faded ? ".faded" : ""}`, { x: x + gap / 2, y: y(base), width: Math.max(slot - gap, 0.75), height }),
      ];
    });
  });
  const every = Math.max(1, Math.ceil(bins / Math.max(2, Math.floor((plot.right - plot.left) / 112))));
  let previous = null;
  let end = 0; // of the label before, as far as it can be told without drawing it
  const ticks = [];
  for (let bin = 0; bin < bins; bin += every) {
    const iso = isoOf(bin);
    const text = tickText(iso, previous);
    const half = text.length * 3.4;
    const x = Math.max(plot.left + (bin + 0.5) * slot, half);
    if (x - half > end && x + half < width) {
      ticks.push(svg("text.tick", { x, y: HEIGHT - 8, "text-anchor": "middle" }, text));
      previous = iso;
      end = x + half + 8;
    }
  }
  const brush = svg("rect.brush", { x: 0, y: plot.top, width: 0, height: plot.bottom - plot.top });
  const total = sum(found.bins.map(sum));
  const label = `${plural(total, "action")} from ${isoOf(0).slice(0, 19)} on, by ${stepText()}: ${RESULTS.map((name, index) => `${count(sum(found.bins.map((each) => each[index])))} ${RESULT_TEXT[name]}`).join(", ")}`;
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": label },
    grid,
    svg("line.axis", { x1: plot.left, x2: plot.right, y1: plot.bottom, y2: plot.bottom }),
    bars,
    ticks,
    brush,
  );
  letBrush(drawing, brush, plot, slot);
  figure.replaceChildren(drawing);
}

function letBrush(drawing, brush, plot, slot) {
  let start = null;
  const at = (event) => Math.min(Math.max(event.clientX - drawing.getBoundingClientRect().left, plot.left), plot.right);
  drawing.addEventListener("pointerdown", (event) => {
    start = at(event);
    drawing.setPointerCapture(event.pointerId);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [low, high] = [Math.min(start, at(event)), Math.max(start, at(event))];
    brush.setAttribute("x", low);
    brush.setAttribute("width", high - low);
  });
  drawing.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const bins = [start, at(event)].map((x) => Math.min(Math.floor((x - plot.left) / slot), summary.timeline.bins - 1));
    start = null;
    const [from, to] = [Math.min(...bins), Math.max(...bins)];
    state.set({ from: isoOf(from), to: new Date(Date.parse(`${isoOf(to + 1)}Z`) - 1).toISOString().slice(0, 23) });
  });
}

// Names by how many actions, each a button that filters.
export function drawBars(box, totals, filter, empty) {
  const ordered = [...totals].map(([name, counts]) => [name, counts, sum(counts)]).sort((a, b) => b[2] - a[2] || (a[0] < b[0] ? -1 : 1));
  const chosen = state.get(filter);
  const leading = ordered.slice(0, MOST_BARS);
  const own = ordered.find(([name]) => name === chosen);
  if (own !== undefined && !leading.includes(own)) leading[leading.length - 1] = own;
  const most = Math.max(...leading.map(([, , total]) => total), 1);
  const left = ordered.length - leading.length;
  // What was as high as this stays so under filters: nothing below it jumps.
  box.style.minHeight = `${Math.max(Number.parseFloat(box.style.minHeight) || 0, leading.length * 2.75)}rem`;
  box.replaceChildren(
    ...leading.map(([name, counts, total]) =>
      el(
        `button.bar${chosen !== "" && chosen !== name ? ".faded" : ""}`,
        { type: "button", "aria-pressed": String(chosen === name), title: visible(name).slice(0, 500), onclick: () => state.toggle(filter, name) },
        el("span.bar-name", {}, name === "" ? "(none)" : shortened(name, 48)),
        el("span.bar-count", {}, count(total)),
        svg(
          "svg.bar-line",
          { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
          stacked(counts, most),
        ),
      ),
    ),
    ...(leading.length === 0 ? [el("p.quiet", {}, empty)] : []),
    ...(left > 0 ? [el("p.quiet", {}, `and ${count(left)} more`)] : []),
  );
}

function stacked(counts, most) {
  let x = 0;
  return counts.flatMap((number, index) => {
    if (number === 0) return [];
    const width = Math.max((100 * number) / most, 0.6);
    const part = svg(`rect.r-${RESULTS[index]}`, { x, y: 0, width, height: 6 });
    x += width;
    return [part];
  });
}

// The legend, each result a button that filters.
export function drawLegend(box, found) {
  const chosen = state.get("result");
  box.replaceChildren(
    ...RESULTS.map((name, index) =>
      el(
        `button.key${chosen !== "" && chosen !== name ? ".faded" : ""}`,
        { type: "button", "aria-pressed": String(chosen === name), onclick: () => state.toggle("result", name) },
        el(`span.dot.r-${name}`, { "aria-hidden": "true" }),
        `${RESULT_TEXT[name]} `,
        el("b", {}, count(found.results[index])),
      ),
    ),
  );
}
