// db.sql`select …`: one statement, which is a promise of its rows and, as a live query, every result from now on.
//
// Awaited it goes over HTTP, once, however often it is awaited. Live it goes over the socket: live/query.ts.
import { LiveQuery } from "./live/query.js";
import { Held } from "./held.js";
import { onlyReads } from "./statement.js";
import { cells, write } from "./value.js";
export class SqlQuery {
    #http;
    #loop;
    #rows;
    /** @internal */
    constructor(statement, http, loop) {
        this.statement = statement;
        this.#http = http;
        this.#loop = loop;
    }
    /** Runs it now. */
    run({ signal } = {}) {
        return ask(this.#http, this.statement.body, !onlyReads(this.statement.sql), signal).then((cells));
    }
    /** Runs it at the first call; `await` is one. */
    then(resolve, reject) {
        return (this.#rows ??= this.run()).then(resolve, reject);
    }
    catch(reject) {
        return this.then(undefined, reject);
    }
    /** Calls back with the result, and again after every commit that changed it. */
    subscribe(onSnapshot, { onError, signal } = {}) {
        const listener = { next: onSnapshot, error: onError };
        return this.#loop.want(this.statement.identity, () => new LiveQuery(this.statement), listener, signal);
    }
    /** Keeps it live, with the last result at hand; until `close`. */
    live({ signal } = {}) {
        const latest = () => this.#loop.latest(this.statement.identity);
        return new Held((next, onError) => this.subscribe(next, { onError }), latest, signal);
    }
    /** Every result from now on; whoever is slow gets the latest. Leaving the loop ends the subscription. */
    async *[Symbol.asyncIterator]() {
        const live = this.live();
        try {
            yield* live;
        }
        finally {
            live.close();
        }
    }
}
/** What the server answers to SQL. */
export async function ask(http, body, isWrite, signal) {
    return (await http.ask({ path: "query", body: write(body), isWrite, signal })).body.result;
}
