// Show the summary at once; then check what the page carries, and show that.

import { carriedBytes, summary } from "./data.js";
import { Detail } from "./detail.js";
import { byId, bytesText, plural, timeText } from "./dom.js";
import { dropZone } from "./drop.js";
import { visible } from "./inert.js";
import { Integrity } from "./integrity.js";
import { rowOf, Rows } from "./rows.js";
import { state } from "./state.js";
import { Story } from "./story.js";
import { Table } from "./table.js";
import { judge } from "./verify/judge.js";
import { splitSeal } from "./verify/line.js";
import { fromBytes } from "./verify/segment.js";
import { sha256 } from "./verify/sha256.js";
import { verify } from "./verify/verifier.js";

const open = (seq) => state.set({ entry: seq });
const anchors = summary.anchors.map(({ seq, hash }) => ({ seq, hash }));
const given = anchors.length;

byId("title").textContent = visible(summary.title);
byId("about").textContent = about();
byId("foot").textContent = `Made ${timeText(summary.made)} UTC by otel-audit ${summary.version}. This file fetches nothing and sends nothing.`;

byId("page").hidden = false; // all of it at once: nothing that is painted moves
const integrity = new Integrity((anchor) => {
  anchors.splice(given, anchors.length, anchor); // in place of the one typed before
  checked = check();
});
const story = new Story(open);
const table = new Table(open);
const detail = new Detail();
let carried = null;
let hashes = new Map(); // of the carried entries, by seq
let checked = new Promise((resolve) => window.addEventListener("DOMContentLoaded", () => setTimeout(resolve))).then(check);
dropZone(async () => {
  await checked.catch(() => {}); // a page that is damaged says so, and knows its head all the same
  return hashes;
});

function about() {
  const { segments, stream_id: stream } = summary.verification;
  const size = segments.reduce((total, segment) => total + segment.size_bytes, 0);
  const parts = [`${plural(summary.verification.entries, "entry", "entries")}, ${bytesText(size)}`];
  if (stream !== null) parts.push(`stream ${visible(stream)}`);
  if (summary.selection !== "") parts.push(`only ${visible(summary.selection)}`);
  return parts.join(" · ");
}

// Where each file begins in the carried bytes.
function carriedSegments(bytes) {
  let start = 0;
  return summary.embedded.segments.map(({ name, number, size }) => {
    const segment = fromBytes(name, number, bytes.subarray(start, start + size));
    segment.start = start;
    start += size;
    return segment;
  });
}

async function check() {
  hashes = new Map();
  try {
    carried ??= await carriedBytes();
    await (summary.embedded.whole ? checkWhole() : checkPart());
  } catch (error) {
    integrity.damaged(error.message);
    throw error;
  } finally {
    document.documentElement.dataset.checked = "yes";
  }
}

async function checkWhole() {
  const rows = new Rows(carried);
  const segments = carriedSegments(carried);
  const expected = segments.reduce((total, segment) => total + segment.size, 0);
  let read = 0;
  const offsets = segments.map((segment) => segment.start);
  const report = await verify(segments, {
    first: summary.embedded.first_name,
    anchors,
    now: summary.made,
    checksums: { path: summary.embedded.checksums.path, digests: new Map(Object.entries(summary.embedded.checksums.digests)) },
    onBytes: (bytes) => {
      read += bytes;
      integrity.progress(read / Math.max(expected, 1));
    },
    onLine: (line, verdict, segment, number) => {
      if (verdict.members !== null) {
        const start = line.byteOffset - carried.byteOffset;
        rows.add(rowOf(verdict.members, segment, number, start, start + line.length));
        keepHashes(verdict);
      }
    },
  });
  if (carried.length !== expected || offsets.some(Number.isNaN)) throw new Error(`expected ${expected} bytes, got ${carried.length}`);
  rows.finish();
  integrity.whole(report, anchors);
  show(rows);
}

// Each line by itself, and each that stands beside its neighbour.
async function checkPart() {
  const rows = new Rows(carried);
  const declared = { version: null, mode: summary.verification.integrity ?? "chain", stated: null, streamId: null, keyId: summary.verification.key_id, segment: null, offset: null };
  const faults = [];
  let start = 0;
  let links = 0;
  let proved = 0;
  let before = null;
  for (const [index, [segment, number]] of summary.embedded.lines.entries()) {
    const stop = carried.indexOf(10, start);
    const line = carried.subarray(start, stop < 0 ? carried.length : stop);
    const seal = splitSeal(line);
    const verdict = await judge(line, declared, null, segment, 0, await sha256(seal === null ? line.subarray(0, -1) : line.subarray(0, seal.start)));
    const path = summary.verification.segments[segment].path;
    const fault = (kind, expected, got) => faults.push({ kind, severity: "error", path, line: number, seq: verdict.seq || null, expected, got, count: 1 });
    if (verdict.kind !== null) fault(verdict.kind, verdict.expected, verdict.got);
    else {
      proved += 1;
      if (before !== null && before.seq + 1 === verdict.seq && verdict.prev !== null) {
        if (before.ends.includes(verdict.prev)) links += 1;
        else fault("edited", `prev_hash ${before.ends[0]}`, `prev_hash ${verdict.prev}`);
      }
    }
    before = verdict.members === null ? null : verdict;
    if (verdict.members !== null) {
      rows.add(rowOf(verdict.members, segment, number, start, start + line.length));
      keepHashes(verdict);
    }
    start += line.length + 1;
    if (index % 500 === 0) {
      integrity.progress(index / summary.embedded.lines.length);
      await new Promise((resolve) => setTimeout(resolve));
    }
  }
  rows.finish();
  const last = summary.verification.head;
  const head = last !== null && before !== null && before.seq === last.seq && before.ends.includes(last.hash);
  // What the verifier said of entries is no news here: only what it did not say is a fault of the page.
  const told = summary.verification.findings.filter((finding) => finding.severity === "error");
  const known = new Set(told.map((finding) => `${finding.path}:${finding.line}`));
  const news = faults.filter((fault) => !known.has(`${fault.path}:${fault.line}`));
  integrity.part({ proved, links, faults: news, head });
  show(rows);
}

function keepHashes({ seq, ends }) {
  hashes.set(seq, hashes.has(seq) ? [...hashes.get(seq), ...ends] : ends);
}

function show(rows) {
  if (summary.embedded.whole) story.from(rows);
  table.from(rows);
  detail.from(rows);
}
