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
export function lay<Row>(
  { rows, columns, base }: Result<Row>,
  mutations: readonly Mutation[],
  elsewhere: Elsewhere = () => undefined,
  before: Before = new Map(),
): readonly Row[] {
  if (!base) return rows;
  const patches = mutations.map(({ change }) => change).filter((change): change is Patch => isOf(change, base));
  if (patches.length === 0) return rows;
  const laid = new Laid(rows, columns, base, elsewhere);
  for (const patch of patches) laid.add(patch);
  return laid.rows(before);
}

const isOf = (change: Mutation["change"], { table }: Base) =>
  "table" in change && change.table.toLowerCase() === table.toLowerCase();

class Laid {
  #told: readonly any[];
  #places: Places;
  /** Those that stay in their places; of those that are not there any more nothing. */
  #written = new Map<unknown, any>();
  /** Those that have moved, and new ones. */
  #placed = new Map<unknown, any>();
  /** What is known of rows that do not belong here; nothing of those that were deleted. */
  #apart = new Map<unknown, Values | undefined>();
  #columns: readonly string[];
  #base: Base;
  #elsewhere: Elsewhere;

  constructor(told: readonly any[], columns: readonly string[], base: Base, elsewhere: Elsewhere) {
    this.#told = told;
    this.#places = placesOf(told, columns, base);
    this.#columns = columns;
    this.#base = base;
    this.#elsewhere = elsewhere;
  }

  add({ op, key, values = {} }: Patch): void {
    const id = idOf(this.#base, key ?? values);
    const known = this.#placed.get(id) ?? this.#inPlace(id);
    if (op === "delete") this.#remove(id);
    else if (known !== undefined) this.#change(id, known, values);
    else this.#enter(id, op === "update" ? this.#known(id) : {}, values);
  }

  rows(before: Before): any[] {
    const rows = put(this.#told, this.#places, this.#written, this.#placed, (row, rows) => this.#placeOf(row, rows), before);
    const { limit } = this.#base;
    return limit !== undefined && rows.length > limit ? rows.slice(0, limit) : rows;
  }

  #inPlace(id: unknown): any {
    return this.#written.has(id) ? this.#written.get(id) : this.#told[this.#places.get(id)!];
  }

  #remove(id: unknown): void {
    this.#written.set(id, undefined);
    this.#placed.delete(id);
    this.#apart.set(id, undefined);
  }

  #known(id: unknown): Values | undefined {
    return this.#apart.has(id) ? this.#apart.get(id) : this.#elsewhere(this.#base.table, id);
  }

  /** A row that was not here. Of which nothing is known, it waits for the server. */
  #enter(id: unknown, known: Values | undefined, values: Values): void {
    if (!known) return;
    const row = { ...known, ...values };
    if (this.#base.where && this.#belongs(row, false)) this.#placed.set(id, this.#made({}, row, true));
    else this.#apart.set(id, row);
  }

  #change(id: unknown, known: any, values: Values): void {
    if (!this.#belongs(values, true)) {
      this.#remove(id);
      this.#apart.set(id, { ...valuesOf(this.#base, this.#columns, known), ...values });
      return;
    }
    const row = this.#made(known, values, false);
    const hasMoved = this.#base.order?.some(([column]) => {
      const name = this.#columns[column]!;
      return row[name] !== known[name];
    });
    const stays = !hasMoved && this.#inPlace(id);
    this.#written.set(id, stays && row);
    if (!stays) this.#placed.set(id, row);
  }

  /** Of a row that is there already, what is not written stays true. */
  #belongs(values: Values, isThere: boolean): boolean {
    const { where = [] } = this.#base;
    return where.every(([column, how, ...wanted]) => {
      const name = named(values, column);
      if (values[name] === undefined) return isThere;
      const value = valueOf(values[name]);
      return wanted.some((one) => (value === null || one === null ? how === "is" && value === one : value == one));
    });
  }

  #made(row: any, values: Values, isNew: boolean): any {
    const made = { ...row };
    this.#base.columns.forEach((column, index) => {
      const value = column === null ? undefined : values[named(values, column)];
      if (value !== undefined || isNew) define(made, this.#columns[index]!, value === undefined ? null : valueOf(value));
    });
    return made;
  }

  /** Behind all that come before it, or are its equals. */
  #placeOf(row: any, rows: readonly any[]): number {
    const { order } = this.#base;
    if (!order) return rows.length;
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#compare(rows[middle], row, order) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compare(a: any, b: any, order: NonNullable<Base["order"]>): number {
    for (const [column, isDescending] of order) {
      const name = this.#columns[column]!;
      const compared = compare(a[name], b[name]);
      if (compared !== 0) return isDescending ? -compared : compared;
    }
    return 0;
  }
}

/** Where the rows of a result stand, by what they are known by. */
export type Places = ReadonlyMap<unknown, number>;

const placed = new WeakMap<readonly unknown[], Places>();

/** Worked out once of each result: each write asks for it, and each that waits. */
export function placesOf(rows: readonly any[], columns: readonly string[], base: Pick<Base, "key" | "columns">): Places {
  let found = placed.get(rows);
  if (!found) {
    const keys = base.key.map((part) => columns[base.columns.indexOf(part)]!);
    found = new Map(rows.map((row, index) => [keyOf(keys.map((column) => row[column])), index]));
    placed.set(rows, found);
  }
  return found;
}

/** What is told with some rows written in their places, or taken away, and others put where they belong. */
export function put(
  told: readonly any[],
  places: Places,
  written: ReadonlyMap<unknown, any>,
  placed: ReadonlyMap<unknown, any>,
  placeOf: (row: any, rows: readonly any[]) => number,
  before: Before,
): any[] {
  const again = (id: unknown, row: any) => {
    const last = before.get(id);
    if (last && row && areEqual(last, row)) return last;
    before.set(id, row);
    return row;
  };
  const all = [...told];
  for (const [id, row] of written) if (places.has(id)) all[places.get(id)!] = again(id, row);
  const rows = all.filter((row) => row);
  for (const [id, row] of placed) rows.splice(placeOf(row, rows), 0, again(id, row));
  return rows;
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
  return a < b ? -1 : a > b ? 1 : 0;
}

const rank = (value: unknown) => (value === null ? 0 : typeof value === "string" ? 2 : typeof value === "object" ? 3 : 1);

/** The name by which a column is given, whatever its case: SQLite makes no difference. */
function named(values: Values, column: string): string {
  if (Object.hasOwn(values, column)) return column;
  return Object.keys(values).find((name) => name.toLowerCase() === column.toLowerCase()) ?? column;
}

/** As the server would give it back. */
const valueOf = (value: Values[string]) => (typeof value === "boolean" ? Number(value) : (value ?? null));

/** One plain value is its own key: of 10,000 rows that is four times as fast as text of it. */
const keyOf = (values: unknown[]): unknown =>
  values.length === 1 && typeof values[0] !== "object"
    ? values[0]
    : JSON.stringify(values.map((value) => (typeof value === "bigint" ? `${value}` : value)));
