// What a log says of itself: version, stream, mode and key, from its first readable `opened`.

import { Malformed } from "./strict_json.js";
import { parseLine, splitSeal, statedVersion } from "./line.js";
import { readBlocks, splitLines } from "./segment.js";
import { sha256 } from "./sha256.js";

export const STRENGTH = { none: 0, hash: 1, chain: 2 };

const MARKS = ['"audit.log.opened"', "\\u00"];
const latin1 = new TextDecoder("latin1");

export const text = (value) => (typeof value === "string" ? value : null);

// {stated: {version, segment, offset} | null, declared}
export async function findDeclaration(segments) {
  let stated = null;
  let edited = null;
  const nothing = { version: null, mode: "chain", stated: null, streamId: null, keyId: null, segment: null, offset: null };
  for (const [number, segment] of segments.entries()) {
    for await (const block of readBlocks(segment)) {
      if (block.kind !== "lines") continue;
      if (stated !== null && !marked(block.data)) continue;
      for (const { offset, line } of splitLines(block)) {
        if (stated === null) {
          const version = statedVersion(line);
          if (version !== undefined) {
            stated = { version, segment: number, offset };
            if (version !== null && version !== "1") return { stated, declared: nothing };
          }
        }
        if (!marked(line)) continue;
        const found = await declaration(line, number, offset);
        if (found !== null && found.sound) return { stated, declared: found.declared };
        edited ??= found?.declared ?? null;
      }
    }
  }
  return { stated, declared: edited ?? nothing };
}

function marked(bytes) {
  const content = latin1.decode(bytes);
  return MARKS.some((mark) => content.includes(mark));
}

async function declaration(line, segment, offset) {
  let members;
  try {
    members = parseLine(line);
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
  if (members.event_name !== "audit.log.opened") return null;
  const get = (name) => text(members.attributes[name]);
  const mode = get("audit.integrity.mode");
  const seal = splitSeal(line);
  // The mode that the line itself is written in: what an unknown or edited word stands for.
  const shape = seal === null ? "none" : "prev_hash" in members ? "chain" : "hash";
  const stated = mode !== null && Object.hasOwn(STRENGTH, mode) ? mode : null;
  const declared = {
    version: get("audit.format.version"),
    mode: stated ?? shape,
    stated,
    streamId: get("audit.stream.id"),
    keyId: get("audit.key.id"),
    segment,
    offset,
  };
  const sound = seal === null || (await sha256(line.subarray(0, seal.start))) === seal.hash;
  return { declared: sound ? declared : { ...declared, mode: shape }, sound };
}
