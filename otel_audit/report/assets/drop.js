// The original log, dropped on the page and verified whole, in this browser, a block at a time.

import { anchoredText, findingList } from "./integrity.js";
import { byId, bytesText, el, plural } from "./dom.js";
import { visible } from "./inert.js";
import { Relation } from "./relation.js";
import { parseAnchor } from "./verify/anchors.js";
import { readKey } from "./verify/key.js";
import { firstName, fromBlob, segmentNumber } from "./verify/segment.js";
import { verify } from "./verify/verifier.js";

const CHECKSUM = /^([0-9a-f]{64}) [ *]([^/\n]+)$/;

// `carried` gives the hashes of the entries that the page carries, by seq, once the page has checked them.
export function dropZone(carried) {
  const files = el("input", { id: "files", type: "file", multiple: true, accept: ".jsonl,.sha256,.key" });
  const anchor = el("input", { id: "drop-anchor", type: "text", placeholder: "SEQ:HASH", spellcheck: "false", autocomplete: "off" });
  const result = el("div.drop-result", { role: "status", "aria-live": "polite" });
  const zone = el(
    "div.drop",
    {},
    el("h3", {}, "Check the original log"),
    el("p", {}, "Drop the log's files here, all segments at once, with NAME.sha256 and the key file (.key) if you have them. Nothing leaves this computer: the page cannot reach a network."),
    el("div.row", {}, el("label.button", { for: "files" }, "Choose files"), files, el("label.hidden", { for: "drop-anchor" }, "anchor"), anchor),
    result,
  );
  const run = async (list) => {
    if (list.length === 0) return;
    try {
      await check([...list], anchor.value.trim(), carried, result);
    } catch (error) {
      result.replaceChildren(el("p.problem", {}, visible(error.message)));
    }
  };
  files.addEventListener("change", () => run(files.files));
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && zone.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    zone.scrollIntoView({ block: "center" });
    run(event.dataTransfer.files);
  });
  byId("integrity").append(zone);
}

async function check(files, anchorText, carried, result) {
  const logs = files.filter((file) => !/\.(sha256|key)$/.test(file.name));
  const [first, ...others] = new Set(logs.map((file) => firstName(file.name)));
  if (first === undefined) throw new Error("expected a log's files (NAME.jsonl and its further segments), got none");
  if (others.length > 0) throw new Error(`expected the files of one log, got ${[first, ...others].join(", ")}`);
  const segments = logs
    .map((file) => fromBlob(file.name, segmentNumber(first, file.name) ?? 1, file))
    .sort((a, b) => a.number - b.number);
  const keyFile = files.find((file) => file.name.endsWith(".key"));
  const key = keyFile === undefined ? null : await readKey(new Uint8Array(await keyFile.arrayBuffer()));
  const anchors = anchorText === "" ? [] : [parseAnchor(anchorText)];
  const total = segments.reduce((sum, segment) => sum + segment.size, 0);
  const bar = el("progress", { max: Math.max(total, 1), value: 0, "aria-label": "checking the log" });
  const words = el("p", {}, `checking ${plural(segments.length, "file")}, ${bytesText(total)} …`);
  result.replaceChildren(words, bar);
  const relation = new Relation(await carried());
  let read = 0;
  const began = performance.now();
  const report = await verify(segments, {
    first,
    key,
    anchors,
    checksums: await checksums(files, first),
    now: `${new Date().toISOString().slice(0, 23)}000000Z`,
    onBytes: (bytes) => {
      read += bytes;
      bar.value = read;
    },
    onLine: (_, verdict) => relation.line(verdict),
  });
  const seconds = (performance.now() - began) / 1000;
  const found = relation.of(report);
  const errors = report.findings.some((finding) => finding.severity === "error");
  const intact = `Intact, ${anchoredText(report.anchorsMatched > 0, anchors, report.head)}`;
  const verdict = !report.intact ? (errors ? "Not intact" : "Not provable") : found.title === "" ? intact : `${found.title} (${intact.toLowerCase()} by itself)`;
  const kind = report.intact ? found.kind : "bad";
  const head = report.head === null ? "" : `, head ${report.head.seq}:${report.head.hash}`;
  const key_ = report.macsChecked === false ? " MACs not checked: drop the key file, too." : report.macsChecked ? " MACs checked." : "";
  result.replaceChildren(
    el(`p.outcome.${kind}`, {}, el("b", {}, `${verdict}: `), `${plural(report.entries, "entry", "entries")}${head}; ${seconds.toFixed(1)} s.${key_} ${found.text}`),
    ...findingList(report.findings),
  );
}

async function checksums(files, first) {
  const name = `${first.replace(/\.jsonl$/, "")}.sha256`;
  const digests = new Map();
  const file = files.find((each) => each.name === name);
  for (const line of file === undefined ? [] : (await file.text()).split("\n")) {
    const match = CHECKSUM.exec(line);
    if (match === null) continue;
    const before = digests.get(match[2]) ?? match[1];
    digests.set(match[2], before.includes(match[1]) ? before : `${before} and ${match[1]}`);
  }
  return { path: name, digests };
}
