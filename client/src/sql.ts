// db.sql`select …`: one statement, which is a promise of its rows and, as a live query, every result from now on.
//
// Awaited it goes over HTTP, once, however often it is awaited. Live it goes over the socket: live/query.ts.

import type { Http } from "./http.js";
import type { Snapshot } from "./live/query.js";
import type { Loop, Stop } from "./live/loop.js";
import type { TidebaseError } from "./error.js";
import { Held } from "./held.js";
import { onlyReads, type Fragment, type Statement } from "./statement.js";
import { cells, write } from "./value.js";

/** How one listens. */
export interface Listening {
  /** The subscription has ended with this error. Without it the error is thrown where nobody catches it. */
  onError?: (error: TidebaseError) => void;
  /** Ends the subscription, as the returned function does. */
  signal?: AbortSignal;
}

/** How one asks. */
export interface Asking {
  /** Gives up: the call rejects with the signal's reason. What has been sent may be carried out all the same. */
  signal?: AbortSignal;
}

/** One statement: a promise of its rows and, as a live query, every result from now on. What `db.sql` gives. */
export class SqlQuery<Row> implements PromiseLike<Row[]>, AsyncIterable<Snapshot<Row>>, Fragment {
  #http: Http;
  #rows: Promise<Row[]> | undefined;

  /** @internal */
  constructor(
    /** Its text and its parameters, as the server takes them. */
    readonly statement: Statement,
    http: Http,
    /** @internal Whose query it is: with the statement's identity what makes two queries one. */
    readonly loop: Loop,
  ) {
    this.#http = http;
  }

  /** Runs it now. */
  run({ signal }: Asking = {}): Promise<Row[]> {
    return ask(this.#http, this.statement.body, !onlyReads(this.statement.sql), signal).then(cells<Row>);
  }

  /** Runs it at the first call; `await` is one. */
  then<A = Row[], B = never>(
    resolve?: ((rows: Row[]) => A | PromiseLike<A>) | null,
    reject?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return (this.#rows ??= this.run()).then(resolve, reject);
  }

  /** As a promise has it. */
  catch<B = never>(reject: (error: unknown) => B | PromiseLike<B>): Promise<Row[] | B> {
    return this.then(undefined, reject);
  }

  /** Calls back with the result, and again after every commit that changed it. */
  subscribe(onSnapshot: (snapshot: Snapshot<Row>) => void, { onError, signal }: Listening = {}): Stop {
    const listener = { next: onSnapshot, error: onError };
    return this.loop.want(this.statement.identity, () => this.loop.query<Row>(this.statement), listener, signal);
  }

  /** Keeps it live, with the last result at hand; until `close`. */
  live({ signal }: Asking = {}): Held<Snapshot<Row>> {
    const latest = () => this.loop.latest(this.statement.identity) as Snapshot<Row> | undefined;
    return new Held((next, onError) => this.subscribe(next, { onError }), latest, signal);
  }

  /** Every result from now on; whoever is slow gets the latest. Leaving the loop ends the subscription. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Snapshot<Row>, void, undefined> {
    const live = this.live();
    try {
      yield* live;
    } finally {
      live.close();
    }
  }
}

/** What the server answers to SQL. */
export async function ask(http: Http, body: object, isWrite: boolean, signal?: AbortSignal): Promise<any> {
  return (await http.ask({ path: "query", body: write(body), isWrite, signal })).body.result;
}
