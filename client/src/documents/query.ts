// Which documents of a collection: conditions, an order, a page. Each call of the chain gives a new query, so that a part of it
// can be kept and used again.
//
// A query is no promise, as db.sql`…` is one: what an async function returns is awaited, so a reference or a query that it
// returned would be read. `get()` reads it, `onSnapshot` keeps it live.

import type { Core } from "../core.js";
import { TidebaseError } from "../error.js";
import type { Reply } from "../http.js";
import type { Snapshot } from "../live/query.js";
import type { Stop } from "../live/loop.js";
import type { Asking, Listening } from "../sql.js";
import { write } from "../value.js";
import { sound } from "./fields.js";
import { documentsOf, Live, told, type Doc, type Row } from "./live.js";
import { address, invalid } from "./path.js";

/** A comparison is true of values of its own type alone. */
export type Operator =
  | "=="
  | "!="
  | "<"
  | "<="
  | ">"
  | ">="
  | "in"
  | "not-in"
  | "array-contains"
  | "array-contains-any";

/** Names with dots between them, `address.city`; a name with a dot in it stands between backticks. */
export type Field<Data> = Extract<keyof Data, string> | (string & {});

/** One condition: a field, how it is compared, and with what. */
export type Condition<Data = any> = readonly [field: Field<Data>, operator: Operator, value: unknown];
/** A condition, or several: all of them, or one. */
export type Filter<Data = any> =
  | Condition<Data>
  | { readonly and: readonly Filter<Data>[] }
  | { readonly or: readonly Filter<Data>[] };

/** The documents found. */
export interface Found<Data = any> {
  readonly docs: readonly Doc<Data>[];
  /** All commits up to this one are in it; of a live one, none behind it. */
  readonly revision: number;
  /** With `tidebase/offline`, as in a snapshot of rows. */
  readonly fromCache?: boolean;
  readonly pendingWrites?: boolean;
}

/** Some of the documents found. */
export interface Page<Data = any> extends Found<Data> {
  /** For `startAfter`, if there may be more. */
  readonly after: string | undefined;
}

interface Asked {
  readonly where?: readonly Filter[];
  readonly orderBy?: string;
  readonly limit?: number;
  readonly startAfter?: string;
}

/** As many as the server gives at once. */
const LIMIT_MAX = 10_000;
/** It takes addresses of 64 KiB. */
const ADDRESS_MAX = 60_000;

/** Which documents of a collection, in which order. Each call of the chain gives a new one. */
export class Query<Data = any> extends Live<Found<Data>> {
  #asked: Asked;

  /** @internal */
  constructor(
    /** Of the collection. */
    readonly path: string,
    db: Core,
    asked: Asked = {},
  ) {
    super(db);
    this.#asked = asked;
  }

  /** Called again it adds a condition. */
  where(field: Field<Data>, operator: Operator, value: unknown): Query<Data>;
  where(filter: Filter<Data>): Query<Data>;
  where(...given: [Filter<Data>] | Condition<Data>): Query<Data> {
    const filter = given.length === 1 ? given[0] : given;
    sound(filter, `where(${typeof given[0] === "string" ? given[0] : ""})`);
    return this.#with({ where: [...(this.#asked.where ?? []), filter] });
  }

  /** Called again it orders further, where those before are equal. Documents without the field are left out. */
  orderBy(field: Field<Data>, direction: "asc" | "desc" = "asc"): Query<Data> {
    if (!/^(asc|desc)$/.test(direction)) throw invalid("The order is asc or desc.");
    const further = `${single(field)} ${direction}`;
    return this.#with({ orderBy: this.#asked.orderBy ? `${this.#asked.orderBy},${further}` : further });
  }

  /** So many at most. */
  limit(documents: number): Query<Data> {
    if (!Number.isInteger(documents) || documents < 1) throw invalid("A limit is a whole number from 1 on.");
    return this.#with({ limit: documents });
  }

  /** Goes on behind a page, by its `after`; in the same order. */
  startAfter(after: string): Query<Data> {
    if (typeof after !== "string" || !after) throw invalid("There is no page behind the last one.");
    return this.#with({ startAfter: after });
  }

  /** Without a limit, up to 10,000 documents, or 8 MiB. */
  async get({ signal }: Asking = {}): Promise<Page<Data>> {
    const { body, headers } = await this.#ask({ limit: this.#asked.limit ?? LIMIT_MAX }, signal);
    return { docs: body.docs, after: body.after ?? undefined, revision: Number(headers.get("Tidebase-Revision")) };
  }

  /** How many fit, whatever the limit. */
  count({ signal }: Asking = {}): Promise<number> {
    return this.#compute({ count: "true" }, signal);
  }

  /** Of those that fit and have a number there, whatever the limit. */
  sum(field: Field<Data>, { signal }: Asking = {}): Promise<number | bigint> {
    return this.#compute({ sum: single(field) }, signal);
  }

  /** The same; null if there are none. */
  average(field: Field<Data>, { signal }: Asking = {}): Promise<number | null> {
    return this.#compute({ average: single(field) }, signal);
  }

  /** Calls back with what is found, and again after every commit that changed it. */
  onSnapshot(next: (found: Found<Data>) => void, listening?: Listening): Stop {
    return this.watch(next, listening);
  }

  protected body(): object {
    const { startAfter, ...asked } = this.#asked;
    if (startAfter === undefined) return { collection: this.path, ...asked };
    throw new TidebaseError("unsupported", "A page behind another cannot be live; say with where() where it begins.");
  }

  protected shown(snapshot: Snapshot<Row>): Found<Data> {
    return told(snapshot, { docs: documentsOf<Data>(snapshot, this.path) });
  }

  #with(more: Asked): Query<Data> {
    return new Query<Data>(this.path, this.db, { ...this.#asked, ...more });
  }

  async #compute(what: object, signal: AbortSignal | undefined): Promise<any> {
    return Object.values((await this.#ask(what, signal)).body)[0];
  }

  #ask(more: object, signal: AbortSignal | undefined): Promise<Reply> {
    const asked = Object.entries({ ...this.#asked, ...more });
    const query = new URLSearchParams(asked.map(([name, value]) => [name, typeof value === "string" ? value : write(value)]));
    const path = `${address(this.path)}?${query}`;
    if (path.length > ADDRESS_MAX) throw new TidebaseError("too_large", `Conditions may have ${ADDRESS_MAX} characters.`);
    return this.db.http.ask({ method: "GET", path, signal });
  }
}

/** The server reads several fields where there is a comma. */
function single(field: string): string {
  if (typeof field === "string" && field && !field.includes(",")) return field;
  throw invalid(`${String(field)} is not one field.`);
}
