// One line: bytes to members, or the reason why they are none (docs/format.md, "The line", "Malformed lines").

import { Double, Malformed, MAX_DEPTH, parseObject } from "./strict_json.js";

export const MAX_LINE_BYTES = 1 << 20;

const ORDER = new Map(
  [
    "seq", "time", "event_name", "severity_text", "severity_number", "body", "attributes", "trace_id", "span_id",
    "trace_flags", "observed_time", "resource", "scope", "prev_hash", "hash", "hmac",
  ].map((name, place) => [name, place]),
);
const REQUIRED = ["seq", "time", "event_name", "attributes", "observed_time"];
const SPAN_CONTEXT = [["trace_id", /^[0-9a-f]{32}$/], ["span_id", /^[0-9a-f]{16}$/], ["trace_flags", /^[0-9a-f]{2}$/]];
const DIGEST = /^[0-9a-f]{64}$/;
const TIME = /^([0-9]{4})-([0-9]{2})-([0-9]{2})T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{9}Z$/;
const SEAL = /,"hash":"([0-9a-f]{64})"(?:,"hmac":"([0-9a-f]{64})")?\}$/;
const ESCAPED_SURROGATE = /\\u[dD][89a-fA-F]/;
const BRACKET = /[[{]/g;
const LONG_NUMBER = /[:[,]-?[0-9]{16}/; // 2^53 has sixteen digits
const SEAL_BYTES = 75;
const KEYED_SEAL_BYTES = 149;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const latin1 = new TextDecoder("latin1");
const encoder = new TextEncoder();

// The seal that a line (or the end of a fragment) ends in: {start, hash, hmac}, or null.
export function splitSeal(bytes) {
  const match = SEAL.exec(latin1.decode(bytes.subarray(-KEYED_SEAL_BYTES)));
  if (match === null) return null;
  const length = match[2] === undefined ? SEAL_BYTES : KEYED_SEAL_BYTES;
  return { start: bytes.length - length, hash: match[1], hmac: match[2] ?? null };
}

// The members of a line without its LF. Throws Malformed.
export function parseLine(bytes) {
  if (bytes.length >= MAX_LINE_BYTES) throw new Malformed("longer than 1 MiB");
  let text;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new Malformed("not UTF-8");
  }
  if (text[0] === "\ufeff") throw new Malformed("byte order mark");
  const members = parseCanonical(text) ?? parseObject(text);
  checkMembers(members, text);
  return members;
}

// If JSON gives back the very text, there is no doubled member, white space or -0 in it. The exact way is for all else,
// for long numbers, of which some are no integers of the format and come back the same, and for what JSON.stringify
// escapes as it was escaped before: lone surrogates.
function parseCanonical(text) {
  let members;
  try {
    members = JSON.parse(text);
  } catch {
    return null;
  }
  if (members === null || typeof members !== "object" || Array.isArray(members)) return null;
  if (ESCAPED_SURROGATE.test(text) || LONG_NUMBER.test(text) || (text.match(BRACKET)?.length ?? 0) > MAX_DEPTH) return null;
  return JSON.stringify(members) === text ? members : null;
}

function checkMembers(members, text) {
  let last = -1;
  for (const name of Object.keys(members)) {
    const place = ORDER.get(name);
    if (place === undefined) throw new Malformed(`unknown member '${[...name].slice(0, 80).join("")}'`);
    if (place < last) throw new Malformed(`member '${name}' out of order`);
    last = place;
  }
  for (const name of REQUIRED) {
    if (!Object.hasOwn(members, name)) throw new Malformed(`no member '${name}'`);
  }
  if (!Number.isSafeInteger(members.seq) || members.seq < 1) {
    throw new Malformed("seq is not an integer from 1 to 2**53-1");
  }
  for (const name of ["time", "observed_time"]) {
    if (!isTime(members[name])) throw new Malformed(`${name} is not a time of the format`);
  }
  const event = members.event_name;
  if (typeof event !== "string" || event === "" || encoder.encode(event).length > 1024) {
    throw new Malformed("event_name is not a string of 1 to 1024 bytes");
  }
  if (!isObject(members.attributes)) throw new Malformed("attributes is not an object");
  checkOptional(members);
  checkSeal(members, text);
}

function checkOptional(members) {
  const has = (name) => Object.hasOwn(members, name);
  if (has("severity_text") && typeof members.severity_text !== "string") {
    throw new Malformed("severity_text is not a string");
  }
  const severity = members.severity_number;
  if (has("severity_number") && !(Number.isSafeInteger(severity) || typeof severity === "bigint")) {
    throw new Malformed("severity_number is not an integer");
  }
  if (has("body") && members.body === null) throw new Malformed("body is null");
  if (has("resource") && (!isObject(members.resource) || Object.keys(members.resource).length === 0)) {
    throw new Malformed("resource is not an object with members");
  }
  if (SPAN_CONTEXT.some(([name]) => has(name))) {
    for (const [name, form] of SPAN_CONTEXT) {
      if (typeof members[name] !== "string" || !form.test(members[name])) {
        throw new Malformed(`${name} is not lower-case hexadecimal digits of its length`);
      }
    }
  }
  if (has("scope")) {
    const [first, second, ...more] = isObject(members.scope) ? Object.keys(members.scope) : [];
    if (first !== "name" || (second ?? "version") !== "version" || more.length > 0) {
      throw new Malformed("scope is not an object of name and version");
    }
    if (Object.values(members.scope).some((part) => typeof part !== "string")) {
      throw new Malformed("scope has a name or version that is not a string");
    }
  }
}

function checkSeal(members, text) {
  for (const name of ["prev_hash", "hash", "hmac"]) {
    if (Object.hasOwn(members, name) && !(typeof members[name] === "string" && DIGEST.test(members[name]))) {
      throw new Malformed(`${name} is not 64 lower-case hexadecimal digits`);
    }
  }
  if (Object.hasOwn(members, "hash")) {
    const hmac = Object.hasOwn(members, "hmac") ? `,"hmac":"${members.hmac}"` : "";
    if (!text.endsWith(`,"hash":"${members.hash}"${hmac}}`)) {
      throw new Malformed("the seal is not the fixed tail of the line");
    }
  } else if (Object.hasOwn(members, "hmac")) {
    throw new Malformed("hmac without hash");
  }
}

export function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof Double);
}

function isTime(value) {
  const match = typeof value === "string" ? TIME.exec(value) : null;
  if (match === null) return false;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0;
  return year >= 1 && day >= 1 && day <= days;
}

// What the first JSON object of a file says of the format's version, read leniently: undefined where the line is no
// object, null where it says none.
export function statedVersion(bytes) {
  let members;
  try {
    const text = utf8.decode(bytes);
    members = JSON.parse(text);
    if (/(?:^|[^\\])(?:\\\\)*\\ud[89a-f]/.test(JSON.stringify(members))) return undefined; // spelled so: lone surrogates
  } catch {
    return undefined;
  }
  if (members === null || typeof members !== "object" || Array.isArray(members)) return undefined;
  const { attributes } = members;
  const inside = attributes !== null && typeof attributes === "object" && !Array.isArray(attributes);
  const version = inside ? attributes["audit.format.version"] : null;
  return typeof version === "string" ? version : null;
}
