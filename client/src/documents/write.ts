// Writes: of one document, and of several that all happen or none.
//
// Each is sent under an Idempotency-Key, so that it is carried out once, also where its answer is lost and it is sent again.

import type { Core } from "../core.js";
import type { Asking } from "../sql.js";
import { write } from "../value.js";
import { fields, leaves, type FieldValue } from "./fields.js";
import type { Doc } from "./live.js";
import { address, invalid } from "./path.js";
import type { DocumentReference } from "./reference.js";

/** What must be so, or nothing is written. */
export interface Conditions {
  /** Only if the document stands at this revision; 0: only if there is none. Else `conflict`. */
  ifRevision?: number;
  /** Only if there is one, or only if there is none. */
  exists?: boolean;
}

/** How a document is set. */
export interface Setting extends Conditions {
  /** Fields that are not given stay as they are, those of objects in it too. */
  merge?: boolean;
}

/** A value, or what is to be done to a field; objects may have either in them. */
export type Given<Value> =
  | Value
  | FieldValue
  | (Value extends readonly unknown[] ? never : Value extends object ? Whole<Value> : never);
/** A document to be set. */
export type Whole<Data> = { [Name in keyof Data]: Given<Data[Name]> };
/** Fields to be merged. */
export type Part<Data> = {
  [Name in keyof Data]?: NonNullable<Data[Name]> extends readonly unknown[]
    ? Given<Data[Name]>
    : NonNullable<Data[Name]> extends object
      ? Part<Data[Name]> | FieldValue
      : Given<Data[Name]>;
};
/** Fields to be changed, by their paths: `{ "address.city": "Kiel" }`. */
export type Update<Data> = { [Name in keyof Data]?: Given<Data[Name]> } & { [path: string]: unknown };

/** As `/docs:batch` takes it. */
export interface Write {
  op: "set" | "merge" | "update" | "delete";
  path: string;
  data?: object;
  if_revision?: number | undefined;
  exists?: boolean | undefined;
}

export function writing(op: Write["op"], path: string, given?: object, { ifRevision, exists }: Conditions = {}): Write {
  // JSON would make null of NaN, which is no condition at all.
  if (ifRevision !== undefined && !Number.isInteger(ifRevision)) throw invalid("ifRevision is a revision, or 0.");
  const data = op === "delete" ? {} : { data: op === "merge" ? leaves(fields(given!)) : fields(given!) };
  return { op, path, ...data, if_revision: ifRevision, exists: op === "update" || exists };
}

export const setting = (path: string, given: object, options?: Setting): Write =>
  writing(options?.merge ? "merge" : "set", path, given, options);

const METHODS = { set: "PUT", merge: "PATCH", update: "PATCH", delete: "DELETE" };

/** What the server tells of a write: the document as it now stands, or whether one was taken away. */
const written = (told: any): any => told.deleted ?? told;

export async function send(db: Core, { op, path, data, ...conditions }: Write, { signal }: Asking): Promise<any> {
  // JSON leaves out the conditions that are not made.
  const query = new URLSearchParams(JSON.parse(write(conditions)));
  const body = data && { body: write(data) };
  return written(
    (await db.http.ask({ method: METHODS[op], path: `${address(path)}?${query}`, ...body, isWrite: true, signal })).body,
  );
}

/** Several writes, kept in order until they are committed. */
export abstract class Writes {
  /** @internal As JSON, so that what becomes of an object later does not matter. */
  readonly writes: string[] = [];
  #isOver = false;

  /** @internal */
  constructor(protected readonly db: Core) {}

  /** Puts a document in the place of whatever is there. */
  set<Data extends object>(place: DocumentReference<Data>, data: Part<Data>, options: Setting & { merge: true }): this;
  set<Data extends object>(place: DocumentReference<Data>, data: Whole<Data>, options?: Setting): this;
  set(place: DocumentReference, data: object, options?: Setting): this {
    return this.#add(setting(place.path, data, options));
  }

  /** Changes fields of a document that must be there. */
  update<Data extends object>(place: DocumentReference<Data>, data: Update<Data>, conditions?: Omit<Conditions, "exists">): this {
    return this.#add(writing("update", place.path, data, conditions));
  }

  /** Takes a document away, if there is one. What lies beneath it stays. */
  delete(place: DocumentReference<any>, conditions?: Conditions): this {
    return this.#add(writing("delete", place.path, undefined, conditions));
  }

  /** @internal */
  protected async send(name: "batch" | "commit", reads: object[], signal: AbortSignal | undefined): Promise<any[]> {
    this.refuseIfOver();
    this.#isOver = true;
    const body = `{"reads":${write(reads)},"writes":[${this.writes}]}`;
    // With a dot in front, or the docs: would be taken for a scheme.
    return (await this.db.http.ask({ path: `./docs:${name}`, body, isWrite: true, signal })).body.results.map(written);
  }

  /** @internal */
  protected refuseIfOver(): void {
    if (this.#isOver) throw invalid("This is committed. Begin another one.");
  }

  #add(added: Write): this {
    this.refuseIfOver();
    this.writes.push(write(added));
    return this;
  }
}

/** Several writes, kept in order until `commit` sends them in one request. */
export class Batch extends Writes {
  /** All of them, in order, or none. Gives each document as it now stands; of a deletion, whether there was one. */
  commit({ signal }: Asking = {}): Promise<(Doc | boolean)[]> {
    return this.send("batch", [], signal);
  }
}
