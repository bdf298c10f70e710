import { Http } from "./http.js";
import { type Limits } from "./limits.js";
import type { Connection } from "./live/connection.js";
import { Loop } from "./live/loop.js";
import { SqlQuery, type Asking } from "./sql.js";
import { type TokenSource } from "./token.js";
export interface Options {
    /** Whose calls these are: a token, or a function that gives one and is asked again when it has run out. */
    token?: TokenSource;
    limits?: Partial<Limits>;
}
/** The rows of each of several queries. */
export type RowsOf<Queries extends readonly SqlQuery<any>[]> = {
    -readonly [Index in keyof Queries]: Queries[Index] extends SqlQuery<infer Row> ? Row[] : never;
};
export declare class Core {
    /** @internal */
    readonly http: Http;
    /** @internal */
    readonly loop: Loop;
    /** What becomes of the socket. */
    readonly connection: Connection;
    constructor(url: string | URL, { token, limits }?: Options);
    /** A statement with bound parameters. Await it, or subscribe to it. */
    sql<Row = Record<string, any>>(strings: TemplateStringsArray, ...values: unknown[]): SqlQuery<Row>;
    /** Runs several statements, all or none of them. */
    transaction<const Queries extends readonly SqlQuery<any>[]>(queries: Queries, { signal }?: Asking): Promise<RowsOf<Queries>>;
    /** From now on with this token. The socket goes on if it is the same caller's, and is opened anew if not. */
    setToken(token: TokenSource): void;
    /** Ends all subscriptions and the socket. */
    close(): void;
}
export declare function createClient(url: string | URL, options?: Options): Core;
export { TidebaseError, type Code, type Details } from "./error.js";
export type { Held } from "./held.js";
export type { Limits } from "./limits.js";
export type { Connection, ConnectionState } from "./live/connection.js";
export type { Stop } from "./live/loop.js";
export type { Snapshot } from "./live/query.js";
export type { Asking, Listening, SqlQuery } from "./sql.js";
export type { GetToken, TokenSource } from "./token.js";
export type { Param, Value } from "./value.js";
