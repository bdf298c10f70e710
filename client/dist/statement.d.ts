import { type Wire } from "./value.js";
export declare class Statement {
    readonly strings: readonly string[];
    readonly values: readonly unknown[];
    readonly sql: string;
    readonly params: readonly Wire[];
    constructor(strings: readonly string[], values: readonly unknown[]);
    /** As the server takes it. */
    get body(): {
        sql: string;
        params: readonly Wire[];
    };
    /** Live queries with the same are one. */
    get identity(): string;
}
/** What may stand in a template besides values: another template. */
export interface Fragment {
    readonly statement: Statement;
}
/**
 * Does it surely only read? Everything else is sent under an Idempotency-Key, which a read could do without: the server
 * gives it to its writer.
 */
export declare function onlyReads(sql: string): boolean;
