// The core of the client: SQL, live queries, one socket. `tidebase` adds keys, topics and tables to it; whoever needs the
// last kilobyte imports `tidebase/core`.

import { TidebaseError } from "./error.js";
import { Http } from "./http.js";
import { LIMITS, type Limits } from "./limits.js";
import type { Connection } from "./live/connection.js";
import { Loop } from "./live/loop.js";
import { ask, SqlQuery, type Asking } from "./sql.js";
import { onlyReads, Statement } from "./statement.js";
import { Token, type TokenSource } from "./token.js";
import { cells } from "./value.js";

/** What a client is made with. */
export interface Options {
  /** Whose calls these are: a token, or a function that gives one and is asked again when it has run out. */
  token?: TokenSource;
  /** Bounds and times that are to be others than usual. */
  limits?: Partial<Limits>;
}

/** The rows of each of several queries. */
export type RowsOf<Queries extends readonly SqlQuery<any>[]> = {
  -readonly [Index in keyof Queries]: Queries[Index] extends SqlQuery<infer Row> ? Row[] : never;
};

/** A client for SQL and live queries: what `createClient` of `tidebase/core` gives, and all others go on from. */
export class Core {
  /** @internal */
  readonly http: Http;
  /** @internal */
  readonly loop: Loop;
  /** What becomes of the socket. */
  readonly connection: Connection;

  constructor(url: string | URL, { token, limits }: Options = {}) {
    this.http = new Http(baseOf(url), new Token(token), { ...LIMITS, ...limits });
    this.loop = new Loop(this.http);
    this.connection = this.loop.connection;
  }

  /**
   * A statement with bound parameters. Await it, or subscribe to it.
   *
   * @throws `invalid` for a value that SQLite has none for.
   */
  sql<Row = Record<string, any>>(strings: TemplateStringsArray, ...values: unknown[]): SqlQuery<Row> {
    return new SqlQuery<Row>(new Statement(strings, values), this.http, this.loop);
  }

  /**
   * Runs several statements, all or none of them; gives the rows of each. `statement` of an error says which was refused. Carried out
   * once, also where it is sent again.
   */
  async transaction<const Queries extends readonly SqlQuery<any>[]>(
    queries: Queries,
    { signal }: Asking = {},
  ): Promise<RowsOf<Queries>> {
    const statements = queries.map((query) => query.statement);
    const isWrite = !statements.every(({ sql }) => onlyReads(sql));
    const body = { transaction: statements.map(({ body }) => body) };
    return (await ask(this.http, body, isWrite, signal)).map(cells);
  }

  /** From now on as somebody else, on a socket of their own. What was begun before is never carried out as theirs. */
  setToken(token: TokenSource): void {
    this.http.token = new Token(token);
    this.loop.replace();
  }

  /** Ends all subscriptions and the socket. */
  close(): void {
    this.loop.close();
  }
}

/** The address of a server as `fetch` takes it; a path before the server's own stays. */
function baseOf(url: string | URL): URL {
  if (!/^https?:/i.test(`${url}`)) throw new TidebaseError("invalid", `${url} is no http address.`);
  const base = new URL(url);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  return base;
}

/**
 * A client of the server at this address.
 * 
 * @throws `invalid` if it is no http or https address.
 */
export function createClient(url: string | URL, options?: Options): Core {
  return new Core(url, options);
}

export { TidebaseError, type Code, type Details } from "./error.js";
export type { Held } from "./held.js";
export type { Limits } from "./limits.js";
export type { Connection, ConnectionState } from "./live/connection.js";
export type { Stop } from "./live/loop.js";
export type { Snapshot } from "./live/query.js";
export type { Asking, Listening, SqlQuery } from "./sql.js";
export type { GetToken, TokenSource } from "./token.js";
export type { Param, Value } from "./value.js";
