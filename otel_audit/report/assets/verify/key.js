// HMAC-SHA256 with a log's key, by WebCrypto. The key stays in the page.

import { hex, sha256 } from "./sha256.js";

const encoder = new TextEncoder();

// The key of a key file's bytes: {id, sign(hash)}. Throws where they are none.
export async function readKey(bytes) {
  const raw = bytes.at(-1) === 10 ? bytes.subarray(0, -1) : bytes;
  if (raw.length < 16 || raw.at(-1) === 10) throw new Error("this is no key file: expected at least 16 bytes and one LF at most behind them");
  const prefix = encoder.encode("otel-audit key\n");
  const message = new Uint8Array(prefix.length + raw.length);
  message.set(prefix);
  message.set(raw, prefix.length);
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return {
    id: (await sha256(message)).slice(0, 16),
    async sign(hash) {
      const digits = Uint8Array.from(hash.match(/../g), (pair) => parseInt(pair, 16));
      return hex(new Uint8Array(await crypto.subtle.sign("HMAC", key, digits)));
    },
  };
}
