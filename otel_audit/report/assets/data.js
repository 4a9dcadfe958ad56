// What the page carries: the summary, and the exact bytes of lines.

import { byId } from "./dom.js";

export const summary = JSON.parse(byId("summary").textContent);

// The bytes, out of base64 and gzip. Throws where they are damaged.
export async function carriedBytes() {
  const parts = [];
  for (const element of document.querySelectorAll("script.lines")) {
    const text = atob(element.textContent);
    parts.push(Uint8Array.from(text, (character) => character.charCodeAt(0)));
    element.textContent = "";
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
