// Log content as text: nothing in it hides or turns round what stands beside it. All of it goes into the page as text
// nodes, so markup in it is text; characters that have no shape, or change the direction, are spelled out.

// The same characters as in `otel_audit.inert`.
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
const SHORT = new Map([["\n", "\\n"], ["\r", "\\r"], ["\t", "\\t"]]);

export function visible(text) {
  return text.replace(UNSAFE, (character) => {
    const code = character.codePointAt(0);
    const digits = code.toString(16);
    return SHORT.get(character) ?? (code <= 0xffff ? `\\u${digits.padStart(4, "0")}` : `\\u{${digits}}`);
  });
}

// Short enough for a cell or a label.
export function shortened(text, most) {
  const seen = visible(text.length > 4 * most ? text.slice(0, 4 * most) : text);
  return seen.length > most ? `${seen.slice(0, most - 1)}…` : seen;
}
