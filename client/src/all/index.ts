// tidebase/all: everything in one object, for whoever would rather not choose.
//
//     const db = createClient<Database>(url, { offline: true });
//     await db.auth.signIn({ email, password });
//     db.sql, db.table, db.kv, db.topic, db.collection, db.local …

import type { AnyTable } from "../table.js";
import { Everything, type AllOptions } from "./everything.js";

/**
 * A client with everything: SQL, tables, keys, topics, documents, signing in, and with `offline` a store on the device. `Tables` is
 * the `Database` that `tidebase types` writes.
 */
export function createClient<Tables = Record<string, AnyTable>>(url: string | URL, options?: AllOptions): Everything<Tables> {
  return new Everything<Tables>(url, options);
}

export * from "../index.js";
export { arrayRemove, arrayUnion, changes, deleteField, fieldPath, increment, serverTimestamp } from "../documents/index.js";
export { newId } from "../offline/index.js";
export type { Auth, AuthEvent, AuthOptions, Credentials, Place, Session, User } from "../auth/index.js";
export type { Batch, Changes, Collection, Doc, DocumentReference, DocumentSnapshot, FieldValue, Found, Query, Transaction } from "../documents/index.js";
export type { Mutation, Refused, Written } from "../offline/index.js";
export type { AllOptions, Everything, SigningOut } from "./everything.js";
export type { Local } from "./local.js";
