// The writes that the server has not carried out yet, laid over the rows that it has told. Plain values: what is told stays as
// it is, and rows that nothing is laid over are the same objects.
//
// What a new row's place is, the server has said with the result (`base`): a client knows no SQL. Where it has not, a write
// changes rows that are there, or takes them away, and a new row waits for the server.

import type { Base } from "../live/frame.js";
import type { Result } from "../live/result.js";
import { define } from "../value.js";
import type { Mutation, Patch, Values } from "./mutation.js";

/** What is known of a row that another result has, by the table's columns. */
export type Elsewhere = (table: string, id: unknown) => Values | undefined;

/** The rows that were laid over the last time, by what they are known by. One that comes out equal again is the same object. */
export type Before = Map<unknown, any>;

/** The rows as they will be, if the server takes all of it. */
export function lay<Row>(result: Result<Row>, mutations: readonly Mutation[], elsewhere: Elsewhere, before: Before): readonly Row[] {
  const { rows, columns, base } = result;
  if (!base) return rows;
  const patches = mutations.map(({ change }) => change).filter((change): change is Patch => isOf(change, base));
  if (patches.length === 0) return rows;
  const places = placesOf(rows, columns, base);
  /** Those that stay in their places; nothing of those that do not. */
  const written = new Map<unknown, any>();
  /** Those that have moved, and new ones. */
  const placed = new Map<unknown, any>();
  /** What is known of rows that do not belong here; nothing of those that were deleted. */
  const apart = new Map<unknown, Values | undefined>();
  const order = base.order?.map(([column, isDescending]) => [columns[column]!, isDescending] as const) ?? [];
  for (const { op, key, values = {} } of patches) {
    const id = idOf(base, key ?? values);
    const inPlace: any = written.has(id) ? written.get(id) : rows[places.get(id)!];
    const known = inPlace || placed.get(id);
    if (known && op !== "delete" && belongs(base, values, true)) {
      const row = made(result, known, values);
      const stays = inPlace && order.every(([name]) => row[name] === known[name]);
      written.set(id, stays && row);
      if (!stays) placed.set(id, row);
    } else if (known || op === "delete") {
      written.set(id, undefined);
      placed.delete(id);
      apart.set(id, op === "delete" ? undefined : { ...valuesOf(base, columns, known), ...values });
    } else {
      const entering = op !== "update" ? {} : apart.has(id) ? apart.get(id) : elsewhere(base.table, id);
      // Of which nothing is known, it waits for the server.
      if (!entering) continue;
      const row = { ...entering, ...values };
      if (base.where && belongs(base, row, false)) placed.set(id, made(result, undefined, row));
      else apart.set(id, row);
    }
  }
  const worth = (row: any) => order.map(([name]) => row[name]);
  const ways = order.map(([, isDescending]) => isDescending);
  return put(rows, places, written, placed, worth, ways, base.limit, before);
}

const isOf = (change: Mutation["change"], { table }: Base) =>
  "table" in change && change.table.toLowerCase() === table.toLowerCase();

/** Of a row that is there already, what is not written stays true. */
function belongs({ where = [] }: Base, values: Values, isThere: boolean): boolean {
  return where.every(([column, how, ...wanted]) => {
    const name = named(values, column);
    if (values[name] === undefined) return isThere;
    const value = valueOf(values[name]);
    return wanted.some((one) => (value === null || one === null ? how === "is" && value === one : equals(value, one)));
  });
}

/** A text that is a number may become one in its column, or a number a text; nothing else equals what is of another kind. */
const equals = (a: any, b: any) => a === b || (a == b && typeof a !== "object" && [a, b].every((one) => NUMBER.test(one)));
/** Not what JavaScript alone takes for one: nothing at all, or `0x10`. */
const NUMBER = /^[^xob]*\d[^xob]*$/i;

/** The row with these values in it; a new one has them all. */
function made({ columns, base }: Result, row: any, values: Values): any {
  const made = { ...row };
  base!.columns.forEach((column, index) => {
    const value = column === null ? undefined : values[named(values, column)];
    if (value !== undefined || !row) define(made, columns[index]!, value === undefined ? null : valueOf(value));
  });
  return made;
}

/** Where the rows of a result stand, by what they are known by. */
export type Places = Map<unknown, number>;

const found = new WeakMap<readonly unknown[], Places>();

/** Worked out once of each result: each write asks for it, and each that waits. */
export function placesOf(rows: readonly any[], columns: readonly string[], base: Pick<Base, "key" | "columns">): Places {
  const keys = base.key.map((part) => columns[base.columns.indexOf(part)]!);
  const places: Places = found.get(rows) ?? new Map();
  if (places.size === 0) rows.forEach((row, index) => places.set(keyOf(keys.map((key) => row[key])), index));
  found.set(rows, places);
  return places;
}

/** What is told with some rows written in their places, or taken away, and others put where they belong. */
export function put(
  told: readonly any[],
  places: Places,
  written: ReadonlyMap<unknown, any>,
  placed: ReadonlyMap<unknown, any>,
  /** What it is ordered by… */
  worth: (row: any) => any[],
  /** …and of each, whether the greatest come first. */
  ways: readonly boolean[],
  limit: number | undefined,
  before: Before,
): any[] {
  const again = (id: unknown, row: any) => {
    const last = before.get(id);
    if (last && areEqual(last, row)) return last;
    before.set(id, row);
    return row;
  };
  const all = [...told];
  for (const [id, row] of written) if (places.has(id)) all[places.get(id)!] = row && again(id, row);
  const rows = all.filter((row) => row);
  for (const [id, row] of placed) rows.splice(placeOf(worth(row), rows, worth, ways), 0, again(id, row));
  return limit === undefined ? rows : rows.slice(0, limit);
}

/** Behind all that come before it, or are its equals. */
function placeOf(own: any[], rows: readonly any[], worth: (row: any) => any[], ways: readonly boolean[]): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const theirs = worth(rows[middle]);
    const first = ways.findIndex((_, index) => compare(own[index], theirs[index]));
    if (first < 0 || compare(own[first], theirs[first]) > 0 !== ways[first]) low = middle + 1;
    else high = middle;
  }
  return low;
}

function areEqual(a: any, b: any): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** A row of a result by the table's columns. */
export function valuesOf({ columns: own }: Base, columns: readonly string[], row: any): Values {
  const named = own.map((column, index) => [column, row[columns[index]!]] as const);
  return Object.fromEntries(named.filter(([column]) => column !== null));
}

/** What a row is known by, of these values. */
export function idOf({ key }: Base, values: Values): unknown {
  return keyOf(key.map((part) => valueOf(values[named(values, part)])));
}

/** As SQLite does: NULL, numbers, texts, bytes (sqlite.org/datatype3.html, section 4.1). */
export function compare(a: any, b: any): number {
  const [first, second] = [rank(a), rank(b)];
  if (first !== second) return first - second;
  if (typeof a === "string") [a, b] = [byCodePoint(a), byCodePoint(b)];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** SQLite orders by bytes of UTF-8; JavaScript by halves of characters, which are less than some whole ones. */
const byCodePoint = (text: string) => text.replace(/[\ud800-\udfff]/g, "\uffff$&");

const rank = (value: unknown) => (value === null ? 0 : typeof value === "string" ? 2 : typeof value === "object" ? 3 : 1);

/** The name by which a column is given, whatever its case: SQLite makes no difference. */
function named(values: Values, column: string): string {
  if (Object.hasOwn(values, column)) return column;
  return Object.keys(values).find((name) => name.toLowerCase() === column.toLowerCase()) ?? column;
}

/** As the server would give it back. */
function valueOf(value: Values[string]): any {
  const isShort = typeof value === "bigint" && Number.isSafeInteger(Number(value));
  return typeof value === "boolean" || isShort ? Number(value) : (value ?? null);
}

/** One plain value is its own key: of 10,000 rows that is four times as fast as text of it. */
const keyOf = (values: unknown[]): unknown =>
  values.length === 1 && typeof values[0] !== "object"
    ? values[0]
    : JSON.stringify(values.map((value) => (typeof value === "bigint" ? `${value}` : value)));
