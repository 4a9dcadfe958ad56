// Steps 2 and 3 of docs/format.md, "Verification": the chain, followed from genesis over every break.

import { ascending, bisectLeft, bisectRight, place } from "./place.js";
import { cutAtLinks, foldCopies } from "./copies.js";
import { Paths } from "./path.js";
import { lineHash, runLines } from "./run.js";
import { GENESIS } from "./segment.js";

// What is wrong with lines of these kinds is no reason for a break at them.
const SOUND_LINKS = new Set([null, "mac_missing", "mac_invalid"]);

// The chain that the scanned runs make: runs, breaks {before, after, explained}, forked, others (groups of runs that no
// link leads to), copies and their originals, unjudged. `faulty`: ascending places of unreadable undeclared regions.
export async function assemble(scanned, faulty, segments, chained) {
  const chain = { runs: [], breaks: [], forked: [], others: [], copies: [], originals: [], disordered: [], unjudged: [] };
  if (isLinear(scanned, chained)) {
    chain.runs = [...scanned];
    return chain;
  }
  const runs = await foldCopies(await cutAtLinks(scanned, segments, chained), segments, chained);
  placeCopies(runs, chained);
  const places = [...faulty, ...runs.filter((run) => run.kind !== null).map((run) => run.first)];
  for (const run of runs) {
    if (run.copies.length > 0) {
      const [original, ...copies] = [run, ...run.copies].sort((a, b) => a.first - b.first);
      chain.originals.push(original);
      chain.copies.push(...copies);
    }
  }
  places.push(...chain.copies.map((copy) => copy.first));
  runs.sort((a, b) => a.first - b.first);
  await new Walk(runs, places.sort(ascending), segments, chained, chain).walk();
  return chain;
}

// Whether each run simply follows the one before: a sound log, or only edited lines.
function isLinear(runs, chained) {
  let seq = 0;
  let ends = [GENESIS];
  for (const run of runs) {
    if (run.seq !== seq + 1 || (chained && !ends.includes(run.prev))) return false;
    seq = run.lastSeq;
    ends = run.ends;
  }
  return true;
}

// Let each entry that stands in several places stand where its neighbours are: the later of two equal lines is the
// duplicate, but an entry copied to an earlier place is not out of order as well.
function placeCopies(runs, chained) {
  const ends = new Map();
  for (const run of runs) {
    for (const end of chained ? run.ends : [""]) ends.set(`${run.lastSeq} ${end}`, run);
  }
  for (const run of [...runs].sort((a, b) => a.seq - b.seq)) {
    const before = ends.get(`${run.seq - 1} ${run.prev ?? ""}`);
    if (run.copies.length === 0 || before === undefined) continue;
    const below = place(before.segment, before.line + before.count);
    if (run.first === below) continue;
    const copy = run.copies.find((each) => each.first === below || each.first === place(before.segment + 1, 1));
    if (copy !== undefined) {
      for (const name of ["segment", "line", "offset"]) [run[name], copy[name]] = [copy[name], run[name]];
    }
  }
}

class Walk {
  constructor(runs, faulty, segments, chained, chain) {
    Object.assign(this, { runs, faulty, segments, chain });
    this.paths = new Paths(runs, chained);
  }

  async walk() {
    let head = null;
    for (;;) {
      const [seq, ends] = head === null ? [0, [GENESIS]] : [head.lastSeq, head.ends];
      const following = this.paths.successors(seq, ends);
      let after;
      if (following.length > 0) {
        this.chain.forked.push(...following.slice(1).filter((run) => run.kind === null));
        [after] = following;
      } else {
        const onward = head === null ? this.paths.first : head.onward;
        if (onward === null) break;
        after = await this.beyond(onward, seq);
        this.chain.breaks.push({ before: head, after, explained: this.explained(head, after) });
      }
      after.used = true;
      this.chain.runs.push(after);
      head = after;
    }
    this.leaveBranches();
    this.sortOthers();
  }

  // Take what hangs on a forked entry out of what is judged.
  leaveBranches() {
    const waiting = [...this.chain.forked];
    const seen = new Set();
    while (waiting.length > 0) {
      const branch = waiting.pop();
      if (!branch.unjudged && !branch.used) {
        branch.unjudged = true;
        waiting.push(...this.paths.behind(branch, seen));
      }
    }
  }

  // What of a run lies beyond a seq; the rest of it stays among the leftovers.
  async beyond(run, seq) {
    const lines = seq - run.seq + 1;
    if (lines <= 0) return run;
    let end = null;
    let { offset } = run;
    for await (const { offset: at, line } of runLines(run, this.segments, lines)) {
      offset = at + line.length + 1;
      end = lineHash(line);
    }
    const rest = run.cut(lines, offset, end);
    rest.following = run.following;
    rest.onward = run.onward;
    run.following = rest;
    return rest;
  }

  explained(head, after) {
    if ([head, after].some((run) => run !== null && !SOUND_LINKS.has(run.kind))) return true;
    const first = head === null ? 0 : head.last;
    return bisectRight(this.faulty, first) < bisectLeft(this.faulty, after.first);
  }

  // Gather what is left over, one group for each linked run.
  sortOthers() {
    const left = this.runs.filter((run) => !run.used && !run.unjudged && run.kind === null).sort((a, b) => a.seq - b.seq);
    for (const run of left) {
      if (run.unjudged) continue;
      const group = [];
      for (let link = run; link !== null && !link.used && !link.unjudged; link = link.following) {
        link.unjudged = true;
        if (link.kind === null) group.push(link);
      }
      this.chain.others.push(group);
    }
    this.chain.unjudged = this.runs.filter((run) => run.unjudged);
  }
}
