// Who acted for whom, and did what: three columns, joined by bands as wide as the number of actions.

import { sum } from "./count.js";
import { count, plural, svg } from "./dom.js";
import { shortened, visible } from "./inert.js";
import { state } from "./state.js";

const ROW = 30;
const GAP = 10;
const NODE = 10;
const MOST_NODES = 7;
const OTHERS = "(others)";
const COLUMNS = ["principal", "actor", "event"];

export function drawFlow(figure, flows, wanted) {
  const width = Math.max(wanted, 280);
  const { links, columns, total } = arrange(flows);
  const tallest = Math.max(...columns.map((nodes) => nodes.length), 1);
  const height = 34 + tallest * (ROW + GAP);
  const usable = height - 34 - GAP * tallest;
  const narrow = width < 560;
  const label = narrow ? 9 : 26;
  const xs = [0, (width - NODE) / 2, width - NODE];
  for (const [column, nodes] of columns.entries()) {
    let y = 30;
    for (const node of nodes) {
      node.x = xs[column];
      node.height = Math.max((node.total / Math.max(total, 1)) * usable, 2);
      node.y = y;
      node.spent = [0, 0];
      y += Math.max(node.height, 18) + GAP;
    }
  }
  const bottom = Math.max(...columns.flat().map((node) => node.y + Math.max(node.height, 18)), 60);
  const bands = links.map(({ from, to, number, failed }) => {
    const size = (each) => (number / each.total) * each.height;
    const [y0, y1] = [from.y + from.spent[1], to.y + to.spent[0]];
    from.spent[1] += size(from);
    to.spent[0] += size(to);
    const [x0, x1] = [from.x + NODE, to.x];
    const middle = (x0 + x1) / 2;
    const path = `M${x0},${y0}C${middle},${y0} ${middle},${y1} ${x1},${y1}V${y1 + size(to)}C${middle},${y1 + size(to)} ${middle},${y0 + size(from)} ${x0},${y0 + size(from)}Z`;
    const text = `${shortened(from.name, 60)} → ${shortened(to.name, 60)}: ${plural(number, "action")}, ${count(failed)} failed or blocked`;
    return svg(`path.band${failed > 0 ? ".troubled" : ""}`, { d: path }, svg("title", {}, text));
  });
  const nodes = columns.flatMap((column, index) =>
    column.map((node) => {
      const name = shortened(node.name === "" ? "(none)" : node.name, label);
      const right = index === 2;
      const choose = () => node.name !== OTHERS && state.toggle(COLUMNS[index], node.name);
      return svg(
        `g.node${node.name === OTHERS ? "" : ".choice"}`,
        node.name === OTHERS
          ? {}
          : {
              onclick: choose,
              onkeydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), choose()),
              tabindex: 0,
              role: "button",
              "aria-pressed": String(state.get(COLUMNS[index]) === node.name),
              "aria-label": `${["on behalf of", "actor", "what was done"][index]} ${name}: ${plural(node.total, "action")}`,
            },
        svg("title", {}, `${visible(node.name).slice(0, 500)}: ${plural(node.total, "action")}`),
        svg(`rect.c-${COLUMNS[index]}`, { x: node.x, y: node.y, width: NODE, height: node.height, rx: 2 }),
        svg("text", { x: right ? node.x - 7 : node.x + NODE + 7, y: node.y + Math.min(node.height / 2, 12) + 5, "text-anchor": right ? "end" : "start" }, name),
      );
    }),
  );
  const heads = ["on behalf of", "actor", "what was done"].map((text, index) =>
    svg("text.head", { x: [0, width / 2, width][index], y: 14, "text-anchor": ["start", "middle", "end"][index] }, text),
  );
  const said = links.slice(0, 12).map(({ from, to, number }) => `${shortened(from.name, 40)} to ${shortened(to.name, 40)} ${count(number)}`);
  figure.replaceChildren(
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${bottom + 4}`, width, height: bottom + 4, role: "group", "aria-label": `Who acted for whom, by actions: ${said.join("; ")}` },
      heads,
      bands,
      nodes,
    ),
  );
}

// Columns of nodes, the greatest first, and the links between neighbouring columns.
function arrange(flows) {
  const paths = [...flows].map(([key, counts]) => ({ names: JSON.parse(key), number: sum(counts), failed: counts[1] + counts[2] }));
  const columns = COLUMNS.map((_, index) => {
    const totals = new Map();
    for (const { names, number } of paths) totals.set(names[index], (totals.get(names[index]) ?? 0) + number);
    const ordered = [...totals].sort((a, b) => b[1] - a[1]);
    const leading = ordered.filter(([name]) => name !== OTHERS).slice(0, ordered.length > MOST_NODES ? MOST_NODES - 1 : MOST_NODES);
    const nodes = leading.map(([name, total]) => ({ name, total }));
    const left = sum(ordered.map(([, total]) => total)) - sum(nodes.map((node) => node.total));
    return left > 0 ? [...nodes, { name: OTHERS, total: left }] : nodes;
  });
  const links = new Map();
  for (const { names, number, failed } of paths) {
    const nodes = names.map((name, index) => columns[index].find((node) => node.name === name) ?? columns[index].at(-1));
    for (const [from, to, index] of [[nodes[0], nodes[1], 0], [nodes[1], nodes[2], 1]]) {
      const key = `${index} ${columns[index].indexOf(from)} ${columns[index + 1].indexOf(to)}`;
      const link = links.get(key) ?? { from, to, number: 0, failed: 0, order: [index, columns[index].indexOf(from), columns[index + 1].indexOf(to)] };
      link.number += number;
      link.failed += failed;
      links.set(key, link);
    }
  }
  const ordered = [...links.values()].sort((a, b) => a.order[0] - b.order[0] || a.order[1] - b.order[1] || a.order[2] - b.order[2]);
  return { links: ordered, columns, total: sum(paths.map((path) => path.number)) };
}
