// How a log that is dropped on the page stands to the one that the page was made of: as far as the page knows that, by
// the hash of its head, and of each entry that the page carries.

import { summary } from "./data.js";
import { count } from "./dom.js";

export class Relation {
  // `carried`: the hashes of the entries that the page carries, by seq.
  constructor(carried) {
    this.carried = carried;
    this.head = summary.verification.head;
    this.first = Infinity; // of the entries that are other ones here
    this.reached = false; // the page's head is here
  }

  // Takes in what was found of a line.
  line({ seq, ends }) {
    const isHead = seq === this.head?.seq;
    let known = this.carried.get(seq);
    if (isHead && !known?.includes(this.head.hash)) known = [this.head.hash];
    if (known === undefined || ends.length === 0) return;
    if (!ends.some((hash) => known.includes(hash))) this.first = Math.min(this.first, seq);
    else if (isHead && ends.includes(this.head.hash)) this.reached = true;
  }

  // {kind, title, text} of a whole log: "good" where it is the page's, as far as that went.
  of(report) {
    const { head } = this;
    if (report.head === null) return { kind: "bad", title: "Nothing to compare", text: "" };
    if ((report.streamId ?? null) !== summary.verification.stream_id) {
      return { kind: "unsure", title: "Another log", text: "It is another log than the one this report was made from." };
    }
    if (this.reached && this.first < Infinity) {
      return { kind: "bad", title: "Not the entries of this page", text: `It holds the last entry that this report tells of, but its entry ${count(this.first)} is not the one in this page. Do not trust this page.` };
    }
    const lacks = head !== null && report.head.seq < head.seq ? ` It lacks the last ${count(head.seq - report.head.seq)} entries that this report was made from.` : "";
    if (this.first < Infinity) {
      // Of an entry that is not in the page, nobody knows here whether it differs.
      const before = this.first === 1 || this.carried.has(this.first - 1) ? "" : ", or before it";
      return { kind: "bad", title: "Not the log of this report", text: `It diverges at entry ${count(this.first)}${before}: from there on it is not what this report was made from.${lacks}` };
    }
    if (lacks !== "") return { kind: "bad", title: "Cut short", text: lacks.trim() };
    if (!head?.hash) return { kind: "bad", title: "Not comparable", text: "This report knows no hash of the last entry that it was made from." };
    if (!this.reached) return { kind: "bad", title: "Not comparable", text: "The last entry that this report was made from is not found in it." };
    const more = report.head.seq - head.seq;
    if (more === 0) return { kind: "good", title: "", text: "It ends with the same entry as the log this report was made from." };
    return { kind: "good", title: "", text: `It goes on from the last entry that this report was made from, and has ${count(more)} more.` };
  }
}
