// JSON documents in collections: `documents(db)` gives them of a client. An entry point of its own, `tidebase/documents`, so that
// whoever has none does not load it.
//
// What they are, how fields are addressed and what they mean is said in docs/guides/documents.md; the names are Firestore's where
// they mean the same.

import type { Core } from "../core.js";
import { Collection, DocumentReference } from "./reference.js";
import { transact, type Transacting, type Transaction } from "./transaction.js";
import { Batch } from "./write.js";

/** JSON documents in collections: what `documents(db)` gives. */
export class Documents {
  #db: Core;

  /** @internal */
  constructor(db: Core) {
    this.#db = db;
  }

  /** `rooms` or `rooms/r1/messages`; with `*` for every id on the way, the messages of all rooms, to be read. */
  collection<Data extends object = Record<string, any>>(path: string): Collection<Data> {
    return new Collection<Data>(path, this.#db);
  }

  /** The document at a path such as `rooms/r1`, whether it is there or not. */
  doc<Data = any>(path: string): DocumentReference<Data> {
    return new DocumentReference<Data>(path, this.#db);
  }

  /** Several writes in one request: all of them, in order, or none. */
  batch(): Batch {
    return new Batch(this.#db);
  }

  /**
   * Writes if nothing that it has read has changed meanwhile; else the function is run again, so it should do nothing besides. If it
   * throws, nothing is written.
   */
  transaction<Result>(run: (transaction: Transaction) => Promise<Result>, options?: Transacting): Promise<Result> {
    return transact(this.#db, run, options);
  }
}

/** The documents of a client. */
export function documents(db: Core): Documents {
  return new Documents(db);
}

export { changes, type Changes } from "./changes.js";
export { arrayRemove, arrayUnion, deleteField, fieldPath, increment, serverTimestamp, type FieldValue } from "./fields.js";
export type { Doc } from "./live.js";
export type { Condition, Field, Filter, Found, Operator, Page, Query } from "./query.js";
export type { Collection, DocumentReference, DocumentSnapshot } from "./reference.js";
export type { Transacting, Transaction } from "./transaction.js";
export type { Batch, Conditions, Given, Part, Setting, Update, Whole } from "./write.js";
