// What is written while nobody may be there to take it: a change, and what became of it.

import { TidebaseError, type Code } from "../error.js";
import type { DocumentWrite } from "./fields.js";
import { bound, type Value, type Wire } from "../value.js";

/** Columns with their values, as the application has them. */
export type Values = Readonly<Record<string, Value | boolean | undefined>>;

/** One row of a table. */
export interface Patch {
  readonly table: string;
  readonly op: "insert" | "upsert" | "update" | "delete";
  readonly key?: Values;
  readonly values?: Values;
}

/** SQL: what it changes only the server can tell. */
export interface Spoken {
  readonly sql: string;
  readonly params: readonly Wire[];
}

/** Documents: all of it or none. */
export interface DocumentWrites {
  readonly writes: readonly DocumentWrite[];
  /** The same, with changes of fields worked out on what was shown then. */
  readonly settled: readonly DocumentWrite[];
}

export type Change = Patch | Spoken | DocumentWrites;

/** A write that is kept on the device: what it is, and what became of it. */
export interface Mutation {
  /** Grows with each that is made on this device for this user. */
  readonly number: number;
  /** A row, SQL, or documents. */
  readonly change: Change;
  /** By the clock of this device, in milliseconds; for people alone. */
  readonly madeAt: number;
  /** The revision at which the server has carried it out. It is shown until live queries have come so far. */
  applied?: number;
  /** In which history that revision is, if a live query knew. */
  history?: string;
  /** The server will not carry it out. It is shown no more. */
  refused?: Refusal;
}

/** Why, in the server's words, as it can be kept. */
export interface Refusal {
  readonly code: Code;
  readonly message: string;
  readonly column?: string;
  readonly pointer?: string;
}

/** What the server says came of one. */
export type Outcome = { number: number } & ({ applied: number } | { refused: Refusal });

export function errorOf({ code, message, ...details }: Refusal): TidebaseError {
  return new TidebaseError(code, message, details);
}

/**
 * As the server takes it: the same each time it is sent, for it is known by that.
 *
 * @throws invalid for a value that SQLite has none for
 */
export function onTheWire({ number, change }: Pick<Mutation, "number" | "change">): object {
  if ("sql" in change) return { mutation_id: number, sql: change.sql, params: change.params };
  if ("writes" in change) return { mutation_id: number, writes: change.writes };
  const { table, op, key, values } = change;
  return { mutation_id: number, table, op, key: wired(key), values: wired(values) };
}

function wired(values: Values | undefined): Record<string, Wire> | undefined {
  if (!values) return undefined;
  const named = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(named.map(([name, value]) => [name, bound(value, `The value of ${name}`)]));
}
