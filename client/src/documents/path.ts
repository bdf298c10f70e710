// Where documents are: `rooms/r1` is one, `rooms/r1/messages` a collection beneath it, `rooms/*/messages` those of all rooms.
//
// A path is looked at before anything is sent, for an id like `..` would lead a request to another address. Which names are
// reserved, and how deep collections may lie, the server says.

import { TidebaseError, type Details } from "../error.js";
import { write } from "../value.js";

const NAME = /^[a-z_][\w-]{0,63}$/i;
/** No slash, no control character, no half of a pair of surrogates. */
const ID = /^(?!\.\.?$)[^/\p{Cc}\p{Cs}]+$/u;
const ID_BYTES_MAX = 512;

type Kind = "collection" | "document";

export const invalid = (message: string, details?: Details) => new TidebaseError("invalid", message, details);

const isId = (part: string) => ID.test(part) && new TextEncoder().encode(part).length <= ID_BYTES_MAX;

/** The path as it is, if it can be one. */
export function checked(path: string, kind: Kind): string {
  const parts = typeof path === "string" ? path.split("/") : [""];
  const isWhole = parts.length % 2 === (kind === "document" ? 0 : 1);
  if (isWhole && parts.every((part, index) => (index % 2 ? isId(part) : NAME.test(part)))) return path;
  throw invalid(`${write(path)} is no path of a ${kind}.`, {
    hint: "Names (64 letters, digits, _ and -) and ids (512 bytes, no slash) take turns: rooms/r1/messages.",
  });
}

/** One step further, and no more: with its slashes doubled a part that has some makes no path. */
export function beneath(path: string, part: string, kind: Kind): string {
  return checked(`${path}/${typeof part === "string" ? part.replaceAll("/", "//") : ""}`, kind);
}

export const address = (path: string): string => `docs/${path.split("/").map(encodeURIComponent).join("/")}`;

/** Of all collections of one pattern, which are one table: `rooms/messages`. */
export const table = (path: string): string =>
  `collections/${path.split("/").filter((_part, index) => index % 2 === 0).join("/")}`;

/** As the server makes them: the time, then chance, so that later ones sort behind earlier ones. */
export function newId(): string {
  const chance = crypto.getRandomValues(new BigUint64Array(1))[0]!;
  // The zero is the first of twelve digits for the milliseconds, and stays one until 2527.
  return `0${((BigInt(Date.now()) << 64n) + chance).toString(16)}`;
}
