// One entry: what it says, its other half, its neighbours, its check, and the exact line.

import { durationText } from "./table.js";
import { RESULT_TEXT } from "./charts.js";
import { summary } from "./data.js";
import { byId, count, el } from "./dom.js";
import { visible } from "./inert.js";
import { shown } from "./verify/judge.js";
import { isObject, splitSeal } from "./verify/line.js";
import { parseObject } from "./verify/strict_json.js";
import { sha256 } from "./verify/sha256.js";
import { state } from "./state.js";

const MOST_CHARACTERS = 20_000;

export class Detail {
  constructor() {
    this.rows = null;
    this.dialog = byId("detail");
    this.dialog.addEventListener("close", () => state.get("entry") !== "" && state.set({ entry: "" }));
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    state.onChange(() => this.follow());
  }

  from(rows) {
    this.rows = rows;
    this.follow();
  }

  follow() {
    const seq = Number(state.get("entry"));
    if (this.rows === null) return;
    if (seq > 0) this.show(seq);
    else if (this.dialog.open) this.dialog.close();
  }

  show(seq) {
    if (this.shown === seq && this.dialog.open) return;
    this.shown = seq;
    const row = this.rows.bySeq.get(seq);
    this.dialog.replaceChildren(...(row === undefined ? this.absent(seq) : this.content(row)));
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
  }

  head(title, ...more) {
    return el("div.detail-head", {}, el("h2", { id: "detail-title" }, title), ...more, el("button.close", { type: "button", onclick: () => this.dialog.close(), "aria-label": "close" }, "✕"));
  }

  absent(seq) {
    return [
      this.head(`Entry ${count(seq)}`),
      el("p", {}, `This page does not carry entry ${count(seq)}. In the log: `, el("code", {}, `otel-audit show LOG --seq ${seq}`)),
    ];
  }

  content(row) {
    const text = this.rows.text(row);
    const members = parseObject(text);
    const check = el("p.check", { role: "status" }, "checking …");
    this.check(row, members).then((words) => check.replaceChildren(...words));
    const partner = this.rows.partner(row);
    const go = (seq, label) => el("button", { type: "button", disabled: !this.rows.bySeq.has(seq), onclick: () => state.set({ entry: seq }) }, label);
    const { attributes } = members;
    const delegation = Array.isArray(attributes["audit.delegation"]) ? attributes["audit.delegation"].map(shown).join(" → ") : "";
    const facts = [
      ["time", members.time],
      ["event", members.event_name],
      ["actor", `${row.actor} (${shown(attributes["audit.actor.type"] ?? "")})`],
      ["on behalf of", delegation],
      ["action", row.action],
      ["target", row.target === "" ? "" : `${row.target} (${shown(attributes["audit.target.type"] ?? "")})`],
      ["decision", attributes["audit.decision"]],
      ["reason", attributes["audit.reason"]],
      ["error", attributes["error.type"]],
      ["took", row.duration === null ? "" : durationText(row.duration)],
      ["severity", members.severity_text],
      ["message", members.body === undefined ? "" : typeof members.body === "string" ? members.body : jsonText(members.body)],
    ].filter(([, value]) => value !== undefined && value !== null && value !== "");
    const trace = members.trace_id === undefined ? [] : [["trace", this.trace(members)]];
    return [
      this.head(`Entry ${count(row.seq)}`, el(`span.badge.r-${row.result}`, {}, RESULT_TEXT[row.result])),
      check,
      el("div.row", {}, go(row.seq - 1, "← before"), go(row.seq + 1, "after →"), partner === null ? null : go(partner.seq, row.phase === "intent" ? `its outcome: ${count(partner.seq)}` : `its intent: ${count(partner.seq)}`)),
      el("dl.facts", {}, [...facts, ...trace].map(([name, value]) => [el("dt", {}, name), el("dd", {}, value instanceof Node ? value : cut(visible(shown(value))))])),
      el("h3", {}, "All attributes"),
      el("dl.facts.all", {}, Object.entries(attributes).map(([name, value]) => [el("dt", {}, cut(visible(name))), el("dd", {}, cut(visible(typeof value === "string" ? value : jsonText(value))))])),
      el("h3", {}, "Resource"),
      el("dl.facts.all", {}, Object.entries(members.resource ?? {}).map(([name, value]) => [el("dt", {}, cut(visible(name))), el("dd", {}, cut(visible(typeof value === "string" ? value : jsonText(value))))])),
      el("div.detail-head", {}, el("h3", {}, `The exact line: ${visible(summary.verification.segments[row.segment]?.path ?? "")}, line ${count(row.line)}`), copyButton("Copy the line", text)),
      el("pre.line", { tabindex: "0", role: "region", "aria-label": "the exact line" }, cut(visible(text))),
    ];
  }

  async check(row, members) {
    const line = this.rows.lineBytes(row);
    const seal = splitSeal(line);
    if (seal === null) return ["This entry has no hash: its log's integrity mode is none."];
    const right = (await sha256(line.subarray(0, seal.start))) === seal.hash;
    const before = this.rows.bySeq.get(row.seq - 1);
    const after = this.rows.bySeq.get(row.seq + 1);
    const hashOf = (other) => splitSeal(this.rows.lineBytes(other))?.hash;
    const words = [right ? "✓ its hash is right" : "✕ its hash is wrong: the line was changed"];
    if (members.prev_hash !== undefined && before !== undefined) words.push(members.prev_hash === hashOf(before) ? "✓ follows the entry before" : "✕ does not follow the entry before");
    if (after !== undefined && members.prev_hash !== undefined) words.push(this.rows.text(after).includes(`"prev_hash":"${seal.hash}"`) ? "✓ the entry after names it" : "✕ the entry after names another");
    return [words.join(" · ")];
  }

  trace(members) {
    const id = members.trace_id;
    const address = summary.trace_url?.replaceAll("{trace_id}", id).replaceAll("{span_id}", members.span_id);
    const shown = address === undefined ? el("code", {}, id) : el("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, id);
    const only = el("button.small", { type: "button", onclick: () => state.set({ q: id, entry: "" }) }, "its entries");
    return el("span", {}, shown, " ", copyButton("Copy", id), " ", only);
  }
}

function cut(text) {
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}… (${count(text.length)} characters; the copy has all)` : text;
}

function jsonText(value) {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(", ")}]`;
  if (!isObject(value)) return String(value);
  return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${jsonText(item)}`).join(", ")}}`;
}

function copyButton(label, text) {
  const button = el("button.small", { type: "button" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = el("textarea", {}, text); // where the browser gives a file no clipboard
      button.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
  });
  return button;
}
