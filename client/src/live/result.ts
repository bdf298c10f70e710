// The rows of one live query, and what frames make of them. Plain values: each transition gives a new result and leaves
// the old one as it was, so that a frame is applied to all queries or to none.
//
// Rows that have not changed stay the same objects, from result to result, also where they come again as a whole.

import { cell, define } from "../value.js";
import { Fault } from "./fault.js";
import type { Base, Entry, RowFrame, Rows } from "./frame.js";

export interface Result<Row = any> {
  readonly columns: readonly string[];
  readonly isOrdered: boolean;
  /** Names the query on the server; with the revision and the history it is a place to go on from. */
  readonly tag: string;
  /** Which rows of a table they are, if they are. */
  readonly base?: Base | undefined;
  readonly keys: readonly string[];
  /** In the order of `keys`. */
  readonly rows: readonly Row[];
}

/** The chunks of first rows that have come so far. */
export interface Incoming {
  readonly frame: Rows;
  readonly keys: string[];
  readonly rows: any[];
}

/** Changes `incoming`, which nobody else can see. */
export function append({ frame: first, keys, rows }: Incoming, frame: Rows): void {
  if (frame.revision !== first.revision || frame.tag !== first.tag) throw new Fault("two results in one");
  for (const sent of frame.rows) {
    keys.push(sent[0]);
    rows.push(rowOf(frame.columns, sent));
  }
}

/** The whole result, with the objects of `before` wherever a row is as it was, and its array if all are. */
export function finish({ frame: { columns, ordered: isOrdered, tag, base }, keys, rows }: Incoming, before?: Result): Result {
  const old = new Map(before?.keys.map((key, index) => [key, before.rows[index]]));
  const kept = rows.map((row, index) => {
    const known = old.get(keys[index]!);
    return same(known, row) ? known : row;
  });
  const isSame = before?.rows.length === kept.length && kept.every((row, index) => row === before.rows[index]);
  return { columns, isOrdered, tag, base, keys, rows: isSame ? before.rows : kept };
}

/** Equal in all parts: of rows, and of bytes. */
function same(a: any, b: any): boolean {
  if (!(a instanceof Object && b instanceof Object)) return a === b;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => same(a[name], b[name]));
}

function rowOf(columns: readonly string[], sent: RowFrame): any {
  const row = {};
  for (let index = 0; index < columns.length; index++) define(row, columns[index]!, cell(sent[index + 1]));
  return row;
}

/** The result after a delta; a Fault where it is of rows that are not there, or there already. */
export function apply(result: Result, { delete: gone, insert = [], update = [], place = [] }: Entry): Result {
  const { columns, isOrdered } = result;
  const rowsOf = (sent: RowFrame[]) => new Map(sent.map((row) => [row[0], rowOf(columns, row)]));
  const leaving = new Set(gone);
  const changed = rowsOf(update);
  const placed = rowsOf(insert);
  const moving = new Set(place.map(([key]) => key).filter((key) => !placed.has(key)));
  const keys: string[] = [];
  const rows: any[] = [];
  result.keys.forEach((key, index) => {
    // Asking for the size first is worth it: most rows are not concerned.
    if (leaving.size && leaving.delete(key)) return;
    if (placed.size && placed.has(key)) throw new Fault(`${key} is there already`);
    const row = changed.get(key) ?? result.rows[index];
    if (changed.size) changed.delete(key);
    if (moving.size && moving.delete(key)) {
      placed.set(key, row);
    } else {
      keys.push(key);
      rows.push(row);
    }
  });
  if (leaving.size + changed.size + moving.size > 0) throw new Fault("a row is missing");
  if (isOrdered) return { ...result, ...merge(keys, rows, place, placed) };
  return { ...result, keys: [...keys, ...placed.keys()], rows: [...rows, ...placed.values()] };
}

/** Puts each placed row at its index, between those that stay. */
function merge(keys: string[], rows: any[], place: [string, number][], placed: Map<string, any>) {
  if (place.length !== placed.size) throw new Fault("a row is missing");
  const merged = { keys: [] as string[], rows: [] as any[] };
  let staying = 0;
  const stayUpTo = (at: number) => {
    for (; merged.keys.length < at && staying < keys.length; staying++) {
      merged.keys.push(keys[staying]!);
      merged.rows.push(rows[staying]);
    }
  };
  for (const [key, at] of place) {
    stayUpTo(at);
    if (merged.keys.length !== at) throw new Fault("a place is missing");
    merged.keys.push(key);
    merged.rows.push(placed.get(key));
  }
  stayUpTo(Infinity);
  return merged;
}
