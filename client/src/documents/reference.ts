// Where a document or a collection is, whether it is there or not, and what can be done there.

import type { Core } from "../core.js";
import { TidebaseError } from "../error.js";
import type { Snapshot } from "../live/query.js";
import type { Stop } from "../live/loop.js";
import type { Asking, Listening } from "../sql.js";
import { write } from "../value.js";
import { fields } from "./fields.js";
import { documentsOf, Live, told, type Doc, type Row } from "./live.js";
import { address, beneath, checked, newId, table } from "./path.js";
import { Query } from "./query.js";
import { send, setting, writing, type Conditions, type Part, type Setting, type Update, type Whole } from "./write.js";

/** What a live document is at one revision. */
export interface DocumentSnapshot<Data = any> {
  /** `undefined` if it is not there. */
  readonly doc: Doc<Data> | undefined;
  /** All commits up to this one are in it, and none behind it. */
  readonly revision: number;
  /** With `tidebase/offline`, as in a snapshot of rows. */
  readonly fromCache?: boolean;
  readonly pendingWrites?: boolean;
}

/** One place for a document, whether there is one or not. */
export class DocumentReference<Data = any> extends Live<DocumentSnapshot<Data>> {
  /** Where it is: `rooms/r1`. */
  readonly path: string;
  /** The last part of the path. */
  readonly id: string;

  /** @internal */
  constructor(path: string, db: Core) {
    super(db);
    this.path = checked(path, "document");
    this.id = path.slice(path.lastIndexOf("/") + 1);
  }

  /** A collection beneath it. */
  collection<Inner extends object = Record<string, any>>(name: string): Collection<Inner> {
    return new Collection<Inner>(beneath(this.path, name, "collection"), this.db);
  }

  /** `undefined` if it is not there. */
  async get({ signal }: Asking = {}): Promise<Doc<Data> | undefined> {
    try {
      return (await this.db.http.ask({ method: "GET", path: address(this.path), signal })).body;
    } catch (error) {
      if (error instanceof TidebaseError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  /** Puts a document in the place of whatever is there. Gives it as it now stands. */
  set(data: Part<Data>, options: Setting & Asking & { merge: true }): Promise<Doc<Data>>;
  set(data: Whole<Data>, options?: Setting & Asking): Promise<Doc<Data>>;
  async set(data: object, options: Setting & Asking = {}): Promise<Doc<Data>> {
    return send(this.db, setting(this.path, data, options), options);
  }

  /** Changes fields, by their paths, and leaves the others; `not_found` if there is no document. */
  async update(data: Update<Data>, conditions: Omit<Conditions, "exists"> & Asking = {}): Promise<Doc<Data>> {
    return send(this.db, writing("update", this.path, data, conditions), conditions);
  }

  /** True if there was one. What lies beneath it stays. */
  async delete(conditions: Conditions & Asking = {}): Promise<boolean> {
    return send(this.db, writing("delete", this.path, undefined, conditions), conditions);
  }

  /** Calls back with the document now, and after every commit that changed it; `undefined` while it is not there. */
  onSnapshot(next: (doc: Doc<Data> | undefined, revision: number) => void, listening?: Listening): Stop {
    return this.watch(({ doc, revision }) => next(doc, revision), listening);
  }

  protected body(): object {
    return { doc: this.path };
  }

  protected shown(snapshot: Snapshot<Row>): DocumentSnapshot<Data> {
    const collection = this.path.slice(0, this.path.lastIndexOf("/"));
    return told(snapshot, { doc: documentsOf<Data>(snapshot, collection)[0] });
  }
}

/** The documents beneath one path, and queries of them. */
export class Collection<Data extends object = Record<string, any>> extends Query<Data> {
  /** @internal */
  constructor(path: string, db: Core) {
    super(checked(path, "collection"), db);
  }

  /** The document of this id; without one, of a new id. */
  doc(...id: [] | [string]): DocumentReference<Data> {
    return new DocumentReference<Data>(beneath(this.path, id.length ? id[0] : newId(), "document"), this.db);
  }

  /** A document under a new id, of the server's. */
  async add(data: Whole<Data>, { signal }: Asking = {}): Promise<DocumentReference<Data>> {
    const made = await this.db.http.ask({ path: address(this.path), body: write(fields(data)), isWrite: true, signal });
    return this.doc(made.body.id);
  }

  /** Makes the collection, unless it is there; the administrator's. His first write does so, too. */
  async make({ signal }: Asking = {}): Promise<void> {
    await this.db.http.ask({ method: "PUT", path: table(this.path), signal });
  }

  /** An index for queries in this order, `["at desc"]`, and with conditions on its first fields; the administrator's. */
  async makeIndex(order: readonly string[], { signal }: Asking = {}): Promise<void> {
    await this.db.http.ask({ path: `${table(this.path)}/indexes`, body: write({ fields: order }), signal });
  }
}
