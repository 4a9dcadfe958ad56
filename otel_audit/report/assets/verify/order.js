// Step 4: of the entries of the chain, those outside the longest run that ascends through the files.

import { ascending, bisectLeft } from "./place.js";

// Length counts entries. Of several parts equally long the one with the lowest seq stays.
export function outOfOrder(chain) {
  if (chain.every((run, index) => index === 0 || chain[index - 1].first < run.first)) return [];
  const places = chain.map((run) => run.first).sort(ascending);
  const size = places.length;
  // From the back: best[i] is the most entries in an ascending part that begins at run i. A Fenwick tree over the
  // places gives the best among those that stand further down; its second member is negative, so that of equals the
  // lower index is the greater.
  const tree = Array.from({ length: size + 1 }, () => [0, 0]);
  const greater = (a, b) => (a[0] - b[0] || a[1] - b[1]) >= 0 ? a : b;
  const following = new Array(size).fill(-1);
  const best = new Array(size).fill(0);
  for (let index = size - 1; index >= 0; index -= 1) {
    const slot = bisectLeft(places, chain[index].first);
    let found = [0, 0];
    for (let node = size - slot - 1; node > 0; node -= node & -node) found = greater(found, tree[node]);
    best[index] = chain[index].count + found[0];
    following[index] = found[0] > 0 ? -found[1] - 1 : -1;
    for (let node = size - slot; node <= size; node += node & -node) tree[node] = greater(tree[node], [best[index], -index - 1]);
  }
  let index = 0;
  for (let each = 1; each < size; each += 1) if (best[each] > best[index]) index = each;
  const kept = new Set();
  for (; index >= 0; index = following[index]) kept.add(index);
  return chain.filter((_, each) => !kept.has(each));
}
