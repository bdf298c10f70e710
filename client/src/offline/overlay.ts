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
export type Elsewhere = (table: string, id: string) => Values | undefined;

/** The rows as they will be, if the server takes all of it. */
export function lay<Row>(
  { rows, columns, base }: Result<Row>,
  mutations: readonly Mutation[],
  elsewhere: Elsewhere = () => undefined,
): readonly Row[] {
  if (!base) return rows;
  const patches = mutations.map(({ change }) => change).filter((change): change is Patch => isOf(change, base));
  if (patches.length === 0) return rows;
  const laid = new Laid(byKey(rows, columns, base), columns, base, elsewhere);
  for (const patch of patches) laid.add(patch);
  return laid.rows();
}

const isOf = (change: Mutation["change"], { table }: Base) =>
  "table" in change && change.table.toLowerCase() === table.toLowerCase();

class Laid {
  /** By key. Those that have moved, and new ones, are not here but among `placed`. */
  #there: Map<string, any>;
  #placed = new Map<string, any>();
  /** What is known of rows that do not belong here; nothing of those that were deleted. */
  #apart = new Map<string, Values | undefined>();
  #columns: readonly string[];
  #base: Base;
  #elsewhere: Elsewhere;

  constructor(there: Map<string, any>, columns: readonly string[], base: Base, elsewhere: Elsewhere) {
    this.#columns = columns;
    this.#base = base;
    this.#elsewhere = elsewhere;
    this.#there = new Map(there);
  }

  add({ op, key, values = {} }: Patch): void {
    const id = idOf(this.#base, key ?? values);
    const known = this.#placed.get(id) ?? this.#there.get(id);
    if (op === "delete") this.#remove(id);
    else if (known !== undefined) this.#change(id, known, values);
    else this.#enter(id, op === "update" ? this.#known(id) : {}, values);
  }

  rows(): any[] {
    const rows = [...this.#there.values()];
    for (const row of this.#placed.values()) rows.splice(this.#placeOf(row, rows), 0, row);
    const { limit } = this.#base;
    return limit !== undefined && rows.length > limit ? rows.slice(0, limit) : rows;
  }

  #remove(id: string): void {
    this.#there.delete(id);
    this.#placed.delete(id);
    this.#apart.set(id, undefined);
  }

  #known(id: string): Values | undefined {
    return this.#apart.has(id) ? this.#apart.get(id) : this.#elsewhere(this.#base.table, id);
  }

  /** A row that was not here. Of which nothing is known, it waits for the server. */
  #enter(id: string, known: Values | undefined, values: Values): void {
    if (!known) return;
    const row = { ...known, ...values };
    if (this.#base.where && this.#belongs(row, false)) this.#placed.set(id, this.#written({}, row, true));
    else this.#apart.set(id, row);
  }

  #change(id: string, known: any, values: Values): void {
    if (!this.#belongs(values, true)) {
      this.#remove(id);
      this.#apart.set(id, { ...valuesOf(this.#base, this.#columns, known), ...values });
      return;
    }
    const row = this.#written(known, values, false);
    const hasMoved = this.#base.order?.some(([column]) => {
      const name = this.#columns[column]!;
      return row[name] !== known[name];
    });
    if (!hasMoved && this.#there.has(id)) this.#there.set(id, row);
    else {
      this.#there.delete(id);
      this.#placed.set(id, row);
    }
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

  #written(row: any, values: Values, isNew: boolean): any {
    const written = { ...row };
    this.#base.columns.forEach((column, index) => {
      const value = column === null ? undefined : values[named(values, column)];
      if (value !== undefined || isNew) define(written, this.#columns[index]!, value === undefined ? null : valueOf(value));
    });
    return written;
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

const keyed = new WeakMap<readonly unknown[], Map<string, any>>();

/** The rows of a result by their keys. Worked out once: each write asks for it, and each that waits. */
export function byKey(rows: readonly any[], columns: readonly string[], base: Base): Map<string, any> {
  let found = keyed.get(rows);
  if (!found) {
    const keys = base.key.map((part) => columns[base.columns.indexOf(part)]!);
    keyed.set(rows, (found = new Map(rows.map((row) => [keyOf(keys.map((column) => row[column])), row]))));
  }
  return found;
}

/** A row of a result by the table's columns. */
export function valuesOf({ columns: own }: Base, columns: readonly string[], row: any): Values {
  const named = own.map((column, index) => [column, row[columns[index]!]] as const);
  return Object.fromEntries(named.filter(([column]) => column !== null));
}

/** What a row is known by, of these values. */
export function idOf({ key }: Base, values: Values): string {
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

const keyOf = (values: unknown[]) => JSON.stringify(values.map((value) => (typeof value === "bigint" ? `${value}` : value)));
