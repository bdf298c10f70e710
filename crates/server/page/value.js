// Values as the server writes them: read without losing a digit, written back the same, and put into words.
//
// JSON.parse turns 9007199254740993 into 9007199254740992. Integers beyond 2^53-1 become a BigInt here, and
// nothing else does. No DOM and no network: grid.js draws what `describe` returns.

const LONG_DIGITS = /\d{16}/;
const INTEGER = /^-?\d+$/;
const STRING_OR_NUMBER = /"(?:[^"\\]+|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const LINE_CHARACTERS_MAX = 300;
const BLOB_PREVIEW_BYTES = 8;

const readsSource = (() => {
  let source;
  JSON.parse("1", (_key, value, context) => {
    source = context?.source;
    return value;
  });
  return source === "1";
})();

/** JSON.parse, with every integer beyond 2^53-1 as a BigInt. */
export function parseExact(text) {
  if (!LONG_DIGITS.test(text)) return JSON.parse(text);
  return readsSource ? parseBySource(text) : parseByMark(text);
}

function parseBySource(text) {
  return JSON.parse(text, (_key, value, context) =>
    typeof value === "number" && isLargeInteger(value, context.source) ? BigInt(context.source) : value,
  );
}

/** For browsers whose reviver is not told the source: large integers pass through JSON.parse as marked strings. */
export function parseByMark(text) {
  const mark = unusedMark(text);
  const marked = text.replace(STRING_OR_NUMBER, (token) =>
    token[0] !== '"' && isLargeInteger(Number(token), token) ? `"${mark}${token}"` : token,
  );
  return JSON.parse(marked, (_key, value) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

/** JSON.stringify, with a BigInt written as its digits. */
export function writeExact(value) {
  const mark = unusedMark(JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? 0 : part)));
  const marked = JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? `${mark}${part}` : part));
  return marked.replace(new RegExp(`"${mark}(-?\\d+)"`, "g"), "$1");
}

function isLargeInteger(value, source) {
  return !Number.isSafeInteger(value) && INTEGER.test(source);
}

function unusedMark(text) {
  let n = 0;
  while (text.includes(`integer-${n}:`)) n += 1;
  return `integer-${n}:`;
}

/**
 * What to show for a value: `kind` for its looks, `line` for a grid cell, `full` for reading and copying,
 * `note` for what it is in words.
 */
export function describe(value) {
  if (value === null || value === undefined) return { kind: "null", line: "NULL", full: "", note: "NULL" };
  if (typeof value === "string") return describeText(value);
  if (isBlob(value)) return describeBlob(value.$blob);
  if (typeof value === "object") return describeJson(value);
  const digits = String(value);
  return { kind: "number", line: digits, full: digits, note: "number" };
}

function describeText(text) {
  const note = `text, ${counted(text.length, "character")}`;
  return { kind: "text", line: oneLine(text), full: text, note };
}

function describeJson(value) {
  const full = writeExact(value);
  return { kind: "json", line: oneLine(full), full, note: "JSON" };
}

function describeBlob(base64) {
  const size_bytes = blobBytes(base64);
  const short = hex(base64, BLOB_PREVIEW_BYTES);
  const more = size_bytes > BLOB_PREVIEW_BYTES ? "…" : "";
  const size = counted(size_bytes, "byte");
  return {
    kind: "blob",
    line: `x'${short}${more}' ${size}`,
    // Asked for one cell at a time, while `line` is asked for every cell in sight.
    get full() {
      return `x'${hex(base64)}'`;
    },
    note: `blob, ${size}`,
  };
}

export function isBlob(value) {
  if (typeof value !== "object" || value === null || typeof value.$blob !== "string") return false;
  return Object.keys(value).length === 1;
}

/** "1 row", "1,204 rows": counts as the whole page writes them. */
export function counted(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

/** Equal as a reader would see it: used to wash only the cells that changed. */
export function same(a, b) {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  return writeExact(a) === writeExact(b);
}

function oneLine(text) {
  const line = text.slice(0, LINE_CHARACTERS_MAX).replace(/\r?\n|\r/g, "↵").replace(/\t/g, "→");
  return text.length > LINE_CHARACTERS_MAX ? `${line}…` : line;
}

function blobBytes(base64) {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  return Math.floor((base64.length * 3) / 4) - padding;
}

function hex(base64, bytes_max = Infinity) {
  const part = base64.slice(0, Math.ceil(bytes_max / 3) * 4);
  try {
    const bytes = atob(part).slice(0, bytes_max === Infinity ? undefined : bytes_max);
    return Array.from(bytes, (byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  } catch {
    return "?";
  }
}
