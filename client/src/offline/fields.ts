// What writes make of documents, as the server will: docs/guides/documents.md says what fields and changes of them mean.
//
// A change (`$increment` and its like) is worked out once, when it is made, on the document as it is shown then. So laid over what the
// server has told it gives the same, whether or not that has the write in it already.

import { define, parse, write } from "../value.js";

/** As a batch of documents has it. */
export interface DocumentWrite {
  readonly op: "set" | "merge" | "update" | "delete";
  readonly path: string;
  readonly data?: Readonly<Record<string, any>>;
  readonly if_revision?: number;
  readonly exists?: boolean;
}

const isObject = (value: any): value is Record<string, any> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The names of a path: `a.b`, and `` `a.b` `` for one with a dot in it. */
const namesOf = (path: string): string[] =>
  (path.match(/`[^`]*`|[^.]+/g) ?? []).map((name) => (name.startsWith("`") ? name.slice(1, -1) : name));

/** What stands at a path; `undefined` if nothing does. */
export function at(document: any, path: string): any {
  return namesOf(path).reduce((at, name) => (isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined), document);
}

function changeOf(value: any): [name: string, operand: any] | undefined {
  const names = isObject(value) ? Object.keys(value) : [];
  const isChange = names.length === 1 && /^\$(increment|serverTimestamp|arrayUnion|arrayRemove|delete)$/.test(names[0]!);
  return isChange ? [names[0]!.slice(1), value[names[0]!]] : undefined;
}

/** What a change makes of what is there; a value is itself. `undefined`: nothing. */
function worked(value: any, before: any, now: string): any {
  const change = changeOf(value);
  if (!change) {
    if (!isObject(value)) return value;
    const made = {};
    for (const [name, part] of Object.entries(value)) {
      const inner = worked(part, undefined, now);
      if (inner !== undefined) define(made, name, inner);
    }
    return made;
  }
  const [name, operand] = change;
  const array = Array.isArray(before) ? before : [];
  switch (name) {
    case "increment":
      return sum(before, operand);
    case "serverTimestamp":
      return now;
    case "arrayUnion": {
      const there = new Set(array.map(write));
      const isNew = (one: any) => there.size < there.add(write(one)).size;
      return [...array, ...operand.filter(isNew)];
    }
    case "arrayRemove": {
      const gone = new Set(operand.map(write));
      return array.filter((one) => !gone.has(write(one)));
    }
    default:
      return undefined;
  }
}

function sum(before: any, by: number | bigint): number | bigint {
  const from = typeof before === "number" || typeof before === "bigint" ? before : 0;
  if (typeof from === "number" && typeof by === "number") return from + by;
  const isWhole = [from, by].every((part) => typeof part === "bigint" || Number.isInteger(part));
  return isWhole ? BigInt(from) + BigInt(by) : Number(from) + Number(by);
}

/**
 * The write with its changes worked out on the document as it is shown; of one that nobody here knows (`null`) those that build on
 * what is there wait for the server. What deletes a field stays what it is.
 */
export function settled(given: DocumentWrite, shown: object | null | undefined, now: string): DocumentWrite {
  if (!given.data) return given;
  if (given.op === "set") return { ...given, data: worked(given.data, undefined, now) };
  const data = {};
  for (const [path, value] of Object.entries(given.data)) {
    const [change] = changeOf(value) ?? [];
    if (shown === null && /^(incr|array)/.test(change!)) continue;
    define(data, path, change === "delete" ? value : worked(value, at(shown, path), now));
  }
  return { ...given, data };
}

/** A document as JSON; `undefined`: there is none; `null`: nobody here knows. */
export type Known = string | undefined | null;

/** The document after a settled write. */
export function after({ op, data }: DocumentWrite, before: Known): Known {
  if (op === "delete") return undefined;
  if (op === "set") return write(data);
  if (before === null || (op === "update" && before === undefined)) return null;
  const document = before === undefined ? {} : parse(before);
  for (const [path, value] of Object.entries(data ?? {})) put(document, namesOf(path), value);
  return write(document);
}

function put(document: any, names: string[], value: any): void {
  const last = names.pop()!;
  const isDelete = changeOf(value)?.[0] === "delete";
  let at = document;
  for (const name of names) {
    if (!isObject(at[name]) || !Object.hasOwn(at, name)) {
      if (isDelete) return;
      define(at, name, {});
    }
    at = at[name];
  }
  if (isDelete) delete at[last];
  else define(at, last, value);
}
