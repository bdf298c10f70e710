// db.table(name): rows over REST. A chain of conditions, awaited for a list; and one row by its id.
//
// Each call of the chain gives a new one, so that a part of it can be kept and used again. What SQL can say better is
// said with db.sql, and that can be live.

import { TidebaseError } from "./error.js";
import type { Http } from "./http.js";
import type { Asking } from "./sql.js";
import { cells, wire, write, type Value } from "./value.js";

/** What `tidebase types` writes of each table. */
export interface TableTypes {
  Row: object;
  Insert: object;
  Update: object;
}

/** A table of which no types are known. */
export interface AnyTable extends TableTypes {
  Row: Record<string, any>;
  Insert: Record<string, any>;
  Update: Record<string, any>;
}

/** The primary key; of several columns an array in their order. */
export type RowId = Value | readonly Value[];

/** Some of the rows. */
export interface Page<Row> {
  rows: Row[];
  /** For `after` of the next page, if there is one. */
  next: string | undefined;
  /** All rows that fit, whatever the page; with `count()`. */
  count: number | undefined;
}

type Comparison = "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "like";
type Column<Row> = Extract<keyof Row, string>;
type Parameters = readonly (readonly [name: string, value: string])[];

/** Rows of a table: conditions in a chain, awaited for a list; and one row by its id. Each call of the chain gives a new one. */
export class Table<Types extends TableTypes = AnyTable, Row = Types["Row"]> implements PromiseLike<Row[]> {
  #http: Http;
  #parameters: Parameters;

  /** @internal */
  constructor(
    /** The table's name. */
    readonly name: string,
    http: Http,
    parameters: Parameters = [],
  ) {
    this.#http = http;
    this.#parameters = parameters;
  }

  /** `*`, columns, `alias:column`, and tables that a foreign key leads to, `author(name)`. */
  select<Picked = Record<string, any>>(...columns: string[]): Table<Types, Picked> {
    return this.#with("select", columns.join(",")) as unknown as Table<Types, Picked>;
  }

  /** The column is equal to the value. As those that follow: the conditions of a chain hold all. */
  eq = this.#compare("eq");
  /** Not equal. Rows with NULL there are not among them. */
  ne = this.#compare("ne");
  /** Greater. */
  gt = this.#compare("gt");
  /** Greater or equal. */
  gte = this.#compare("gte");
  /** Less. */
  lt = this.#compare("lt");
  /** Less or equal. */
  lte = this.#compare("lte");
  /** As SQL has it: `%` stands for any characters, `_` for one. */
  like = this.#compare("like");

  /** One of these values. */
  in(column: Column<Types["Row"]>, values: readonly Value[]): Table<Types, Row> {
    return this.#with(`${column}.in`, values.map((value) => `"${asText(value).replace(/["\\]/g, "\\$&")}"`).join(","));
  }

  /** What no comparison can ask. */
  is(column: Column<Types["Row"]>, what: "null" | "not_null" | "true" | "false"): Table<Types, Row> {
    return this.#with(`${column}.is`, what);
  }

  /** Called again it sorts further, where the columns before are equal. */
  order(column: Column<Types["Row"]>, direction: "asc" | "desc" = "asc"): Table<Types, Row> {
    return this.#adding("sort_by", column).#adding("order", direction);
  }

  /** So many rows at most; without it the server gives as many as it has in a page. */
  limit(rows: number): Table<Types, Row> {
    return this.#with("limit", String(rows));
  }

  /** Leaves out so many at the beginning. `after` costs less. */
  offset(rows: number): Table<Types, Row> {
    return this.#with("offset", String(rows));
  }

  /** Goes on behind a page, by its `next`. */
  after(next: string): Table<Types, Row> {
    return this.#with("after", next);
  }

  /** Asks `page()` also for how many there are in all. */
  count(): Table<Types, Row> {
    return this.#with("count", "exact");
  }

  /** The rows, and where to go on. */
  async page({ signal }: Asking = {}): Promise<Page<Row>> {
    const { body, headers } = await this.#http.ask({ method: "GET", path: this.#path(), signal });
    const count = headers.get("Tidebase-Count");
    const next = headers.get("Tidebase-Next") ?? undefined;
    return { rows: cells<Row>(body.result), next, count: count === null ? undefined : Number(count) };
  }

  /** Asks, each time; `await` does. */
  then<A = Row[], B = never>(
    resolve?: ((rows: Row[]) => A | PromiseLike<A>) | null,
    reject?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.page().then(({ rows }) => rows).then(resolve, reject);
  }

  /** `undefined` if there is none. */
  async get(id: RowId, { signal }: Asking = {}): Promise<Row | undefined> {
    try {
      const { body } = await this.#http.ask({ method: "GET", path: this.#path(id), signal });
      return cells<Row>([body.result])[0];
    } catch (error) {
      if (error instanceof TidebaseError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  /**
   * Gives the row as it is stored, or of several, all or none of them, the rows. `onConflict` names the columns of a
   * unique key: where there is such a row it is changed.
   */
  insert(row: Types["Insert"], options?: Inserting): Promise<Types["Row"]>;
  insert(rows: readonly Types["Insert"][], options?: Inserting): Promise<Types["Row"][]>;
  async insert(given: Types["Insert"] | readonly Types["Insert"][], { onConflict = [], signal }: Inserting = {}) {
    const onto = onConflict.length > 0 ? this.#with("on_conflict", onConflict.join(",")) : this;
    const { data } = await onto.write("POST", undefined, Array.isArray(given) ? given.map(sent) : sent(given), signal);
    return Array.isArray(data) ? cells(data) : cells([data])[0];
  }

  /** Changes the columns that are given; `not_found` if there is no such row. */
  async update(id: RowId, columns: Types["Update"], { signal }: Asking = {}): Promise<Types["Row"]> {
    return cells([(await this.write("PATCH", id, sent(columns), signal)).data])[0] as Types["Row"];
  }

  /** Replaces the row: what is not given gets its default. */
  async replace(id: RowId, row: Types["Insert"], { signal }: Asking = {}): Promise<Types["Row"]> {
    return cells([(await this.write("PUT", id, sent(row), signal)).data])[0] as Types["Row"];
  }

  /** `not_found` if there is no such row. */
  async delete(id: RowId, { signal }: Asking = {}): Promise<void> {
    await this.write("DELETE", id, undefined, signal);
  }

  /** @internal Gives what was written as it came, and the revision it has. */
  async write(method: string, id?: RowId, body?: unknown, signal?: AbortSignal): Promise<{ data: any; revision: number }> {
    const text = body === undefined ? {} : { body: write(body) };
    const answer = await this.#http.ask({ method, path: this.#path(id), ...text, isWrite: true, signal });
    return { data: answer.body.result.data, revision: Number(answer.headers.get("Tidebase-Revision")) };
  }

  #compare(comparison: Comparison) {
    return (column: Column<Types["Row"]>, value: Value | boolean): Table<Types, Row> =>
      this.#adding(`${column}.${comparison}`, asText(value), true);
  }

  #with(name: string, value: string): Table<Types, Row> {
    const others = this.#parameters.filter(([other]) => other !== name);
    return new Table<Types, Row>(this.name, this.#http, [...others, [name, value]]);
  }

  /** Beside what is there under this name: as one more parameter, or behind a comma. */
  #adding(name: string, value: string, isApart = false): Table<Types, Row> {
    const before = this.#parameters.find(([other]) => other === name)?.[1];
    if (before !== undefined && !isApart) return this.#with(name, `${before},${value}`);
    return new Table<Types, Row>(this.name, this.#http, [...this.#parameters, [name, value]]);
  }

  #path(id?: RowId): string {
    const parts = ["rest", encodeURIComponent(this.name)];
    if (id !== undefined) parts.push([id].flat().map((part) => encodeURIComponent(asText(part as Value))).join(","));
    const query = new URLSearchParams(this.#parameters.map(([name, value]) => [name, value]));
    return parts.join("/") + (query.size > 0 ? `?${query}` : "");
  }
}

/** How rows are inserted. */
export interface Inserting extends Asking {
  /** The columns of a unique key: where there is such a row it is changed. */
  onConflict?: readonly string[];
}

function asText(value: Value | boolean): string {
  if (value === null) throw new TidebaseError("invalid", "Nothing is equal to null.", { hint: 'Ask with is(column, "null").' });
  const sent = wire(value);
  return typeof sent === "object" && sent !== null ? sent.$blob : String(value);
}

/** A row as JSON: bytes as the server takes them, other objects as the documents they are. */
export function sent(row: object): object {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, value instanceof Uint8Array ? wire(value) : value]),
  );
}
