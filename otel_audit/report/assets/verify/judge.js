// The kind of one line: step 1 of docs/format.md, "Verification".

import { Double, Malformed } from "./strict_json.js";
import { parseLine, splitSeal } from "./line.js";

const AGREED = [
  ["audit.stream.id", "inserted", "streamId"],
  ["audit.format.version", "downgraded", "version"],
  ["audit.integrity.mode", "downgraded", "stated"],
  ["audit.key.id", "downgraded", "keyId"],
];

export const shown = (value) => {
  if (value === null || value === undefined) return "None";
  // String() of a parsed object throws: it has no prototype, or a member "toString" of its own.
  if (typeof value !== "object" || value instanceof Double) return String(value);
  return JSON.stringify(value, (_, item) => (item instanceof Double || typeof item === "bigint" ? String(item) : item));
};

// Of a line: {kind, members, seq, prev, ends, expected, got}; members are null where it is malformed.
// `computed` is SHA-256 of the line up to its seal, or of all but its last byte where it has none.
export async function judge(line, declared, key, segment, offset, computed) {
  let members;
  try {
    members = parseLine(line);
  } catch (error) {
    if (error instanceof Malformed) return malformed("a line of the format", error.message);
    throw error;
  }
  const { mode } = declared;
  const has = (name) => Object.hasOwn(members, name);
  for (const [name, undeclared] of [
    ["prev_hash", mode !== "chain"],
    ["hash", mode === "none"],
    ["hmac", declared.keyId === null],
  ]) {
    if (has(name) && undeclared) return malformed(`no ${name}, as the log declares`, `a line with ${name}`);
  }
  const seal = splitSeal(line);
  let ends = mode === "none" ? [] : [computed];
  if (seal !== null && seal.hash !== computed) ends = [seal.hash, computed];
  const [kind, expected, got] = await kindOf(members, seal?.hash ?? null, computed, declared, key, segment, offset);
  const prev = mode === "chain" && has("prev_hash") ? members.prev_hash : null;
  return { kind, members, seq: members.seq, prev, ends, expected, got };
}

async function kindOf(members, stored, computed, declared, key, segment, offset) {
  const { mode, keyId } = declared;
  for (const [name, needed] of [["prev_hash", mode === "chain"], ["hash", mode !== "none"]]) {
    if (needed && !Object.hasOwn(members, name)) return ["downgraded", `${name}, as the log declares`, `a line without ${name}`];
  }
  const disagreement = disagreementOf(members, declared, segment, offset);
  if (disagreement?.[0] === "downgraded") return disagreement;
  if (mode !== "none" && stored !== computed) return ["edited", `hash ${computed}`, `hash ${stored}`];
  if (disagreement !== null) return disagreement;
  if (keyId !== null) {
    if (!Object.hasOwn(members, "hmac")) return ["mac_missing", "hmac, as the log declares", "a line without hmac"];
    if (key !== null && stored !== null && (await key.sign(stored)) !== members.hmac) {
      return ["mac_invalid", `the hmac of hash ${stored} by key ${keyId}`, members.hmac];
    }
  }
  return [null, "", ""];
}

function disagreementOf(members, declared, segment, offset) {
  if (members.event_name !== "audit.log.opened" || declared.segment === null) return null;
  if (segment < declared.segment || (segment === declared.segment && offset <= declared.offset)) return null;
  for (const [name, kind, member] of AGREED) {
    const said = members.attributes[name];
    if ((said ?? null) !== declared[member]) return [kind, `${name} ${shown(declared[member])}`, shown(said)];
  }
  return null;
}

function malformed(expected, got) {
  return { kind: "malformed", members: null, seq: 0, prev: null, ends: [], expected, got };
}
