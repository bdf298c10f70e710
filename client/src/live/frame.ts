// The frames of the live protocol, as the server writes them: `docs/reference/live.md` says what they mean.
//
// Made by hand and held to the server's own: a test of the engine writes one of each kind into
// `test/frames.json`, a test here reads them all.

export const PROTOCOL = 1;

/** A row of a live query: its key, then its values. */
export type RowFrame = [key: string, ...values: unknown[]];

export interface Hello {
  type: "hello";
  protocol: number;
  history: string;
  revision: number;
}

/** Of a result that is rows of one table with their keys: what it takes to show one's own writes in it. */
export interface Base {
  table: string;
  key: string[];
  /** For each result column the table's, or null. */
  columns: (string | null)[];
  /** All that must be so: a column, how it is compared, and the values of which it must have one. */
  where?: [column: string, how: "=" | "is", ...values: unknown[]][];
  /** By which result columns, and whether the greatest come first. */
  order?: [column: number, isDescending: boolean][];
  limit?: number;
}

export interface Rows {
  id: number;
  type: "rows";
  revision: number;
  tag: string;
  columns: string[];
  ordered: boolean;
  /** In the first chunk. */
  base?: Base;
  rows: RowFrame[];
  done: boolean;
}

/** What a step changed in one live query. */
export interface Entry {
  id: number;
  /** It starts from this older revision of the result. */
  since?: number;
  delete?: string[];
  insert?: RowFrame[];
  update?: RowFrame[];
  place?: [key: string, index: number][];
}

export interface Delta {
  type: "delta";
  from: number;
  to: number;
  queries: Entry[];
}

export interface At {
  type: "at";
  revision: number;
}

/** Of one query, or of several that were resumed together. */
export interface Unchanged {
  id?: number;
  ids?: number[];
  type: "unchanged";
  revision: number;
}

/** What comes of `resume`: the ids of those queries that are to be subscribed to by their SQL. */
export interface Resumed {
  unknown: number[];
}

/** Of a query; of a change stream with `revision`; of a topic with `topic` and `cursor`. */
export interface Resync {
  id: number;
  type: "resync";
  revision?: number;
  topic?: string;
  cursor?: number;
}

/** Change streams are not part of this client. */
export interface Changes {
  id: number;
  type: "changes";
  revision: number;
  changes: unknown[];
  last: boolean;
}

export interface Key {
  id: number;
  type: "key";
  key: string;
  value: unknown;
  revision: number;
  deleted?: true;
}

export interface Message {
  id: number;
  type: "message";
  topic: string;
  cursor: number;
  data: unknown;
}

export interface Presence {
  id: number;
  type: "presence";
  topic: string;
  join: { session: number; state: unknown }[];
  leave: { session: number }[];
}

export interface Answer {
  id: number;
  type: "result";
  result: unknown;
  revision?: number;
}

export interface Refusal {
  id?: number;
  type: "error";
  error: string;
  code: import("../error.js").Code;
  statement?: number;
  column?: string;
  pointer?: string;
}

export type Frame =
  | Hello
  | Rows
  | Delta
  | At
  | Unchanged
  | Resync
  | Changes
  | Key
  | Message
  | Presence
  | Answer
  | Refusal;
