// Writes of documents laid over live documents. Where one belongs the query's own words say, for conditions of documents are
// plain: a comparison finds values of its own type alone (docs/guides/documents.md).

import { parse, write } from "../value.js";
import { after, at, type DocumentWrite, type Known } from "./fields.js";
import { compare, placesOf, put, type Before } from "./overlay.js";

/** What the subscribe frame of live documents asks. */
export interface Asked {
  readonly doc?: string;
  readonly collection?: string;
  readonly where?: any;
  readonly orderBy?: string;
  readonly limit?: number;
}

export interface DocumentRow {
  readonly id: string;
  /** JSON text. */
  readonly data: string;
  readonly revision: number;
  readonly parent?: string;
}

/** May the document be one of those that are asked for? Also of several collections, such as the messages of all rooms. */
export function concerns({ path }: DocumentWrite, { doc, collection = "" }: Asked): boolean {
  if (doc !== undefined) return path === doc;
  const [names, parts] = [collection.split("/"), path.split("/")];
  return parts.length === names.length + 1 && names.every((name, index) => name === parts[index] || (name === "*" && index % 2 === 1));
}

const BY_ID = { key: ["id"], columns: ["id"] };

/** The documents as they will be. Of several collections they wait for the server. */
export function layDocuments<Row>(
  rows: readonly Row[],
  asked: Asked,
  writes: readonly DocumentWrite[],
  elsewhere: (path: string) => Known,
  before: Before,
): readonly Row[] {
  const laid = writes.filter((one) => concerns(one, asked));
  if (laid.length === 0 || asked.collection?.includes("*")) return rows;
  const told = rows as readonly any[] as readonly DocumentRow[];
  const places = placesOf(told, ["id"], BY_ID);
  /** Each that is written is put where it belongs, also if it is where it was. */
  const gone = new Map<unknown, undefined>();
  const apart = new Map<string, Known>();
  const placed = new Map<string, DocumentRow>();
  for (const one of laid) {
    const id = one.path.slice(one.path.lastIndexOf("/") + 1);
    const row = placed.get(id) ?? (gone.has(id) ? undefined : told[places.get(id)!]);
    const data = after(one, row ? textOf(row) : apart.has(id) ? apart.get(id) : elsewhere(one.path));
    apart.set(id, data);
    // An update of what is not there: the server will refuse it.
    if (data === null && row) continue;
    gone.set(id, undefined);
    placed.delete(id);
    if (typeof data === "string" && fits(parse(data), asked)) placed.set(id, { id, data, revision: row?.revision ?? 0 });
  }
  const by = orders(asked.orderBy);
  const worth = ({ data, id }: DocumentRow) => {
    const document = by.length ? parse(data) : undefined;
    return [...by.map(([field]) => plain(at(document, field))), id];
  };
  // By the fields, then by the id, in the way of the last field.
  const ways = [...by.map(([, isDescending]) => isDescending), by.at(-1)?.[1] ?? false];
  return put(told, places, gone, placed, worth, ways, asked.limit, before);
}

/** What SQL has written as bytes, or a policy does not show, is no document. */
const textOf = ({ data }: DocumentRow) => (typeof data === "string" ? data : undefined);

function fits(document: any, { where, orderBy }: Asked): boolean {
  return (where === undefined || holds(where, document)) && orders(orderBy).every(([field]) => at(document, field) !== undefined);
}

const orders = (orderBy = ""): [field: string, isDescending: boolean][] =>
  orderBy
    .split(",")
    .filter((part) => part.trim())
    .map((part) => [part.trim().replace(/ +(asc|desc)$/i, ""), / desc$/i.test(part.trim())]);

/** As the server orders it: of `->>`. */
const plain = (value: any) =>
  typeof value === "boolean" ? Number(value) : typeof value === "object" && value !== null ? write(value) : value;

function holds(filter: any, document: any): boolean {
  if (Array.isArray(filter)) {
    return typeof filter[0] === "string" ? test(at(document, filter[0]), filter[1], filter[2]) : filter.every((one) => holds(one, document));
  }
  return filter.or ? filter.or.some((one: any) => holds(one, document)) : filter.and.every((one: any) => holds(one, document));
}

function test(value: any, operator: string, wanted: any): boolean {
  switch (operator) {
    case "==":
      return equals(value, wanted);
    case "in":
      return wanted.some((one: any) => equals(value, one));
    case "!=":
      return value !== undefined && value !== null && !equals(value, wanted);
    case "not-in":
      return value !== undefined && value !== null && !wanted.some((one: any) => equals(value, one));
    case "array-contains":
      return Array.isArray(value) && value.some((one) => equals(one, wanted));
    case "array-contains-any":
      return Array.isArray(value) && value.some((one) => wanted.some((other: any) => equals(one, other)));
  }
  if (kind(value) !== kind(wanted) || value === null || typeof value === "object") return false;
  const compared = compare(plain(value), plain(wanted));
  return operator === "<" ? compared < 0 : operator === "<=" ? compared <= 0 : operator === ">" ? compared > 0 : compared >= 0;
}

const kind = (value: any) => (typeof value === "bigint" ? "number" : typeof value);

const equals = (a: any, b: any): boolean =>
  kind(a) === kind(b) && (typeof a === "object" && a !== null ? write(a) === write(b) : kind(a) === "number" ? a == b : a === b);
