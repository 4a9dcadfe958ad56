// Whether the record is whole: what this page proved by itself, and what it was only told.

import { parseAnchor } from "./verify/anchors.js";
import { summary } from "./data.js";
import { byId, count, el, plural, timeText } from "./dom.js";
import { visible } from "./inert.js";

const MOST_SHOWN = 50;

const SIGNS = { checking: "…", good: "✓", bad: "✕", unsure: "!" };

// A reader of paper can open nothing.
function unfoldOnPaper(box) {
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...box.querySelectorAll(".told:not([open])")];
    for (const each of folded) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of folded) each.open = false;
  });
}

export class Integrity {
  // `onAnchor` is told of the anchor that the reader gives.
  constructor(onAnchor) {
    this.box = byId("integrity");
    this.sign = el("span.sign", { "aria-hidden": "true" });
    this.title = el("h2", { id: "integrity-title" });
    this.words = el("div.words", { role: "status", "aria-live": "polite" });
    this.bar = el("progress", { max: 1, value: 0, "aria-label": "checking" });
    this.more = el("div.more");
    this.panel = el("div.verdict.checking", {}, this.sign, el("div.verdict-text", {}, this.title, this.words, this.bar), this.more);
    this.box.replaceChildren(this.panel, ...this.told(), this.anchorForm(onAnchor));
    unfoldOnPaper(this.box);
    this.state("checking", "Checking this record in your browser", [el("p", {}, "Each line that this page carries is hashed again, and the chain followed.")]);
  }

  state(name, title, words, more = []) {
    this.panel.setAttribute("class", `verdict ${name}`);
    this.sign.textContent = SIGNS[name];
    this.title.textContent = title;
    this.words.replaceChildren(...words);
    this.bar.hidden = name !== "checking";
    this.more.replaceChildren(...more);
  }

  progress(part) {
    this.bar.value = part;
  }

  // What a whole log comes to.
  whole(report, anchors) {
    const errors = report.findings.filter((finding) => finding.severity === "error");
    const others = report.findings.filter((finding) => finding.severity !== "error");
    const list = [...findingList(errors), ...remarks(others)];
    const { verification: said } = summary;
    if (errors.length === 0 && isToldBroken()) {
      // What it needs is not in the page: the key, for one.
      const words = [el("p", {}, `Your browser found no fault in the entries themselves. But otel-audit verify found ${plural(said.errors, "fault")} when this report was made, with what this page does not have, such as the key. Do not rely on the record before they are explained.`)];
      const told = toldErrors();
      this.state("bad", "Not intact, as told", words, findingList(told, said.errors - told.length));
      return;
    }
    if (errors.length > 0) {
      const words = [el("p", {}, `Your browser found ${plural(errors.length, "fault")} in the ${plural(report.entries, "entry", "entries")} that this page carries. Do not rely on the record before they are explained.`)];
      this.state("bad", "Not intact", words, list);
      return;
    }
    if (!report.intact) {
      const words = [el("p", {}, `No fault was found, but a log in integrity mode ${visible(String(report.integrity))} cannot prove itself.`)];
      this.state("unsure", "Not provable", words, list);
      return;
    }
    const { head } = said;
    if (head !== null && (head.seq !== report.head?.seq || head.hash !== report.head?.hash)) {
      const words = [el("p", {}, "The entries fit together, but they are not those that this report was made from: the last one is another. Ask for the original.")];
      this.state("bad", "Not the record this report was made from", words, list);
      return;
    }
    const words = [
      el("p", {}, `Your browser has just hashed all ${plural(report.entries, "entry", "entries")} again and followed the chain from the first to the last: none was changed, removed, added or moved${atEnd(report, anchors) ? "" : " before the end"}.`),
      ...anchoring(report, anchors),
      ...notes(report),
    ];
    this.state("good", `Intact, ${anchoredText(report.anchorsMatched > 0, anchors, report.head)}`, words, list);
  }

  // What some lines of a larger log come to.
  part({ proved, links, faults, head }) {
    const { entries } = summary.embedded;
    if (faults.length > 0) {
      const words = [el("p", {}, `Your browser found ${plural(faults.length, "fault")} in the ${plural(entries, "entry", "entries")} that this page carries.`)];
      this.state("bad", "Not intact", words, findingList(faults));
      return;
    }
    const { verification: said } = summary;
    const words = [
      el("p", {}, el("b", {}, "Proved here: "), `${plural(proved, "entry", "entries")} of ${count(summary.embedded.of)}. Your browser hashed each of them again; ${plural(links, "pair")} of neighbours are linked by hash.${head ? " The last entry of the log is among them." : ""}`),
      el("p", {}, el("b", {}, "Not proved here: "), `the other ${plural(summary.embedded.of - proved, "entry", "entries")}, and that nothing stands between those above but what belongs there. For that, drop the log's own files below: your browser then checks all of it.`),
    ];
    if (said.key_id !== null) words.push(el("p", {}, "The log has a key, and its MACs are not checked here."));
    if (isToldBroken()) {
      words.unshift(el("p", {}, `When this report was made, otel-audit verify found ${plural(said.errors, "fault")} in the log; they stand below.`));
      this.state("bad", "Not intact", words);
    } else {
      this.state("good", `${plural(proved, "entry", "entries")} proved, the rest as told`, words);
    }
  }

  damaged(message) {
    const words = [el("p", {}, `The data in this page cannot be read: ${visible(message)}. The file was changed or cut short on its way: get it again from where it was made.`)];
    this.state("bad", "This page is damaged", words);
  }

  // What the program said when the page was made: told, not proved.
  told() {
    const { verification: said, made } = summary;
    const verdict = {
      intact: `intact, ${anchoredText(said.anchored, summary.anchors, said.head)}`,
      not_intact: "not intact",
      no_errors: "no errors, but not provable",
      unsupported: "of a version it does not know",
    }[said.status];
    const head = said.head === null ? "" : `, head ${said.head.seq}:${said.head.hash ?? ""}`;
    const counted = `${plural(said.entries, "entry", "entries")} in ${plural(said.segments.length, "file")}${head}`;
    const errors = toldErrors();
    const others = said.findings.filter((finding) => finding.severity !== "error");
    const leftOut = said.errors - errors.length; // of errors: they stand before all others
    const findings = summary.embedded.whole ? [] : [...findingList(errors, leftOut), ...remarks(others, said.findings_left_out - leftOut)];
    return [
      el(
        "details.told",
        { open: !summary.embedded.whole && isToldBroken() },
        el("summary", {}, `What otel-audit verify said on ${timeText(made)} UTC: `, el("b", {}, verdict)),
        el("p", {}, `${counted}. This is the result that the report was made with; it is told here, and not proved by this page.`),
        ...findings,
      ),
    ];
  }

  anchorForm(onAnchor) {
    if (!summary.embedded.whole) return "";
    const input = el("input", { id: "anchor", type: "text", placeholder: "SEQ:HASH", spellcheck: "false", autocomplete: "off" });
    const problem = el("p.problem", { role: "alert" });
    const submit = (event) => {
      event.preventDefault();
      problem.textContent = "";
      try {
        onAnchor(parseAnchor(input.value));
      } catch (error) {
        problem.textContent = visible(error.message);
      }
    };
    return el(
      "form.anchor",
      { onsubmit: submit },
      el("label", { for: "anchor" }, "Have you a receipt, or an entry of a collector's copy? Check this record against it:"),
      el("div.row", {}, input, el("button", { type: "submit" }, "Check")),
      problem,
    );
  }
}

// Not by the findings: the page has the first of them only.
const isToldBroken = () => summary.verification.status === "not_intact" || summary.verification.errors > 0;
const toldErrors = () => summary.verification.findings.filter((finding) => finding.severity === "error");

const lastOf = (anchors) => Math.max(0, ...anchors.map((anchor) => anchor.seq));
const atEnd = (report, anchors) => report.anchorsMatched > 0 && lastOf(anchors) >= report.head.seq;

// "anchored" alone where an anchor is of the last entry; of what is behind one it says nothing.
export function anchoredText(anchored, anchors, head) {
  if (!anchored) return "unanchored";
  const last = lastOf(anchors);
  return head !== null && last < head.seq ? `anchored up to entry ${count(last)}` : "anchored";
}

function anchoring(report, anchors) {
  if (report.anchorsMatched > 0) {
    const last = lastOf(anchors);
    const behind = last < report.head.seq ? ` Nothing outside the file proves it complete behind entry ${count(last)}.` : "";
    return [el("p", {}, `It agrees with ${plural(report.anchorsMatched, "anchor")} from outside, up to entry ${count(last)}.${behind}`)];
  }
  return [
    el("p", {}, el("b", {}, "Unanchored: "), "nothing outside the file proves its end. Lines cut off there leave no trace in what is left, and whoever may write the file could have sealed all of it anew. A receipt or a collector's copy, kept elsewhere, would show that."),
  ];
}

function notes(report) {
  if (report.macsChecked === false) return [el("p", {}, "The log has a key, and its MACs were not checked: that needs the key file, below.")];
  if (report.macsChecked) return [el("p", {}, `Every MAC was checked with the key ${visible(report.keyId ?? "")}.`)];
  return [];
}

// Warnings and information: what is worth knowing, and no fault.
function remarks(findings, leftOut = 0) {
  if (findings.length + leftOut === 0) return [];
  const kinds = new Map();
  for (const { kind, count: lines } of findings) kinds.set(kind, (kinds.get(kind) ?? 0) + lines);
  const parts = [...kinds].map(([kind, number]) => `${count(number)} ${kind}`);
  if (leftOut > 0) parts.push(`${count(leftOut)} more`);
  return [el("details.remarks", {}, el("summary", {}, `Worth knowing: ${parts.join(", ")}`), ...findingList(findings, leftOut))];
}

export function findingList(findings, leftOut = 0) {
  if (findings.length === 0) return [];
  const shownOnes = findings.slice(0, MOST_SHOWN);
  const left = findings.length - shownOnes.length + leftOut;
  return [
    el(
      "ul.findings",
      {},
      shownOnes.map((finding) => {
        const where = finding.line === null ? finding.path : `${finding.path}, line ${count(finding.line)}`;
        const which = finding.seq === null ? "" : `, entry ${count(finding.seq)}`;
        const many = finding.count > 1 ? ` (${count(finding.count)})` : "";
        return el(
          `li.${finding.severity}`,
          {},
          el("b", {}, `${finding.kind}${many}`),
          ` ${visible(where)}${which}: expected ${visible(String(finding.expected)).slice(0, 400)}, got ${visible(String(finding.got)).slice(0, 400)}`,
          el("span.remedy", {}, summary.remedies[finding.kind] ?? ""),
        );
      }),
      left > 0 ? el("li.quiet", {}, `and ${count(left)} more`) : null,
    ),
  ];
}
