import type { Http } from "./http.js";
import { type Snapshot } from "./live/query.js";
import type { Loop, Stop } from "./live/loop.js";
import type { TidebaseError } from "./error.js";
import { Held } from "./held.js";
import { type Fragment, type Statement } from "./statement.js";
export interface Listening {
    /** The subscription has ended with this error. Without it the error is thrown where nobody catches it. */
    onError?: (error: TidebaseError) => void;
    /** Ends the subscription, as the returned function does. */
    signal?: AbortSignal;
}
export interface Asking {
    signal?: AbortSignal;
}
export declare class SqlQuery<Row> implements PromiseLike<Row[]>, AsyncIterable<Snapshot<Row>>, Fragment {
    #private;
    readonly statement: Statement;
    /** @internal */
    constructor(statement: Statement, http: Http, loop: Loop);
    /** Runs it now. */
    run({ signal }?: Asking): Promise<Row[]>;
    /** Runs it at the first call; `await` is one. */
    then<A = Row[], B = never>(resolve?: ((rows: Row[]) => A | PromiseLike<A>) | null, reject?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<A | B>;
    catch<B = never>(reject: (error: unknown) => B | PromiseLike<B>): Promise<Row[] | B>;
    /** Calls back with the result, and again after every commit that changed it. */
    subscribe(onSnapshot: (snapshot: Snapshot<Row>) => void, { onError, signal }?: Listening): Stop;
    /** Keeps it live, with the last result at hand; until `close`. */
    live({ signal }?: Asking): Held<Snapshot<Row>>;
    /** Every result from now on; whoever is slow gets the latest. Leaving the loop ends the subscription. */
    [Symbol.asyncIterator](): AsyncGenerator<Snapshot<Row>, void, undefined>;
}
/** What the server answers to SQL. */
export declare function ask(http: Http, body: object, isWrite: boolean, signal?: AbortSignal): Promise<any>;
