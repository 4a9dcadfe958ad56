// RFC 8259, read so strictly that two readers cannot see two things in one text (docs/format.md, "Malformed lines").
// The exact way, without recursion; line.js tries a faster one first.

export const MAX_DEPTH = 64;

const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const MIN_INTEGER = -(2n ** 63n);
const MAX_INTEGER = 2n ** 63n - 1n;

// A number with a fraction or an exponent, which is no integer even where its value is one.
export class Double {
  constructor(text) {
    this.text = text;
    this.value = Number(text);
  }

  toString() {
    return this.text;
  }
}

export class Malformed extends Error {}

// The members of the one object that a text is: integers as numbers, or as BigInt beyond 2^53; others as Double.
// Objects have no prototype. Throws Malformed.
export function parseObject(text) {
  if (text[0] !== "{") throw new Malformed("expected one object");
  const top = Object.create(null);
  const stack = [top];
  const names = [""];
  let at = 1;
  let fresh = true;
  while (stack.length > 0) {
    const inner = stack[stack.length - 1];
    const list = Array.isArray(inner);
    const closing = list ? "]" : "}";
    if (text[at] === closing) {
      stack.pop();
      names.pop();
      at += 1;
      fresh = false;
      continue;
    }
    if (!fresh) {
      if (text[at] !== ",") throw new Malformed(`expected ',' or '${closing}' at character ${at}`);
      at += 1;
    }
    if (!list) {
      const token = stringAt(text, at);
      if (stack.length === 1 && token.includes("\\")) throw new Malformed("member name spelled with an escape");
      const name = unquote(token);
      if (Object.hasOwn(inner, name)) throw new Malformed(`member '${[...name].slice(0, 80).join("")}' twice`);
      at += token.length;
      if (text[at] !== ":") throw new Malformed(`expected ':' at character ${at}`);
      at += 1;
      names[names.length - 1] = name;
    }
    const { value, end, opened } = valueAt(text, at);
    at = end;
    if (list) inner.push(value);
    else inner[names[names.length - 1]] = value;
    fresh = opened;
    if (opened) {
      if (stack.length === MAX_DEPTH) throw new Malformed(`nested deeper than ${MAX_DEPTH}`);
      stack.push(value);
      names.push("");
    }
  }
  if (at !== text.length) throw new Malformed(`expected the end at character ${at}`);
  return top;
}

function valueAt(text, at) {
  switch (text[at]) {
    case '"': {
      const token = stringAt(text, at);
      return { value: unquote(token), end: at + token.length, opened: false };
    }
    case "{":
      return { value: Object.create(null), end: at + 1, opened: true };
    case "[":
      return { value: [], end: at + 1, opened: true };
    default:
  }
  for (const [word, value] of [["true", true], ["false", false], ["null", null]]) {
    if (text.startsWith(word, at)) return { value, end: at + word.length, opened: false };
  }
  NUMBER.lastIndex = at;
  const match = NUMBER.exec(text);
  if (match === null) throw new Malformed(`expected a value at character ${at}`);
  return { value: number(match), end: NUMBER.lastIndex, opened: false };
}

function stringAt(text, at) {
  STRING.lastIndex = at;
  const match = STRING.exec(text);
  if (match === null) throw new Malformed(`expected a string at character ${at}`);
  return match[0];
}

function unquote(token) {
  if (!token.includes("\\")) return token.slice(1, -1);
  const string = JSON.parse(token);
  if (!string.isWellFormed()) throw new Malformed("lone surrogate in a string");
  return string;
}

function number([digits, fraction, exponent]) {
  if (fraction === undefined && exponent === undefined) {
    if (digits === "-0") throw new Malformed("integer -0");
    const integer = digits.length > 20 ? MAX_INTEGER + 1n : BigInt(digits);
    if (integer < MIN_INTEGER || integer > MAX_INTEGER) throw new Malformed("integer outside 64 bits");
    const small = Number(integer);
    return Number.isSafeInteger(small) ? small : integer;
  }
  const double = new Double(digits);
  if (!Number.isFinite(double.value)) throw new Malformed("number not finite as a double");
  return double;
}
