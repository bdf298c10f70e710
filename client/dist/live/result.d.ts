import type { Entry, Rows } from "./frame.js";
export interface Result<Row = any> {
    readonly columns: readonly string[];
    readonly isOrdered: boolean;
    /** Names the query on the server; with the revision and the history it is a place to go on from. */
    readonly tag: string;
    readonly keys: readonly string[];
    /** In the order of `keys`. */
    readonly rows: readonly Row[];
}
/** The chunks of first rows that have come so far. */
export interface Incoming {
    readonly frame: Rows;
    readonly keys: string[];
    readonly rows: any[];
}
/** Changes `incoming`, which nobody else can see. */
export declare function append({ frame: first, keys, rows }: Incoming, frame: Rows): void;
/** The whole result, with the objects of `before` wherever a row is as it was, and its array if all are. */
export declare function finish({ frame: { columns, ordered: isOrdered, tag }, keys, rows }: Incoming, before?: Result): Result;
/** The result after a delta; a Fault where it is of rows that are not there, or there already. */
export declare function apply(result: Result, { delete: gone, insert, update, place }: Entry): Result;
