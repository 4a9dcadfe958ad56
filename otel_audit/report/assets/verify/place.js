// Where a line stands, as one number that compares as the files do: segment (from 0), line in it (from 1; 0: the file
// as a whole).

const LINES = 2 ** 32;

export const place = (segment, line) => segment * LINES + line;
export const segmentOf = (at) => Math.floor(at / LINES);
export const lineOf = (at) => at % LINES;

// How many of ascending numbers are less than (bisectLeft), or not more than (bisectRight), a number.
export function bisectLeft(ascending, number) {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function bisectRight(ascending, number) {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (number < ascending[middle]) high = middle;
    else low = middle + 1;
  }
  return low;
}

export const ascending = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

// Lists of numbers (and booleans) compared member by member.
export function compareLists(a, b) {
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const order = ascending(Number(a[index]), Number(b[index]));
    if (order !== 0) return order;
  }
  return ascending(a.length, b.length);
}

// A set of lines, as stretches that do not overlap.
export class Stretches {
  constructor(runs) {
    const ordered = [...runs].sort((a, b) => ascending(a.first, b.first) || ascending(a.last, b.last));
    this.firsts = ordered.map((run) => run.first);
    this.lasts = ordered.map((run) => run.last);
  }

  has(at) {
    const index = bisectRight(this.firsts, at) - 1;
    return index >= 0 && at <= this.lasts[index];
  }
}
