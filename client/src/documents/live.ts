// What documents and queries of them have in common: they can be live. One subscription for all who ask the same, and
// a document that has not changed is the same object in the next snapshot.
//
// The server tells documents as rows, with `data` as JSON text. Rows stay the same objects as long as nothing of them changes,
// so what was made of one is remembered by it.

import type { Core } from "../core.js";
import { Held } from "../held.js";
import type { Snapshot } from "../live/query.js";
import type { Loop, Stop } from "../live/loop.js";
import type { Asking, Listening } from "../sql.js";
import { parse, write } from "../value.js";

/** A document as it was at one revision. */
export interface Doc<Data = any> {
  readonly id: string;
  /** Where it is: `rooms/r1`. */
  readonly path: string;
  /** Do not change it: whoever asks the same live has the same object. */
  readonly data: Data;
  /** That of its last write, whoever made it. */
  readonly revision: number;
}

/** A document as a live query tells it; `parent`, the ids on the way, only where that is of several collections. */
export interface Row {
  readonly id: string;
  readonly data: string;
  readonly revision: number;
  readonly parent?: string;
}

const made = new WeakMap<object, any>();

/** What `make` gives of it, made once. */
function once<From extends object, To>(from: From, make: (from: From) => To): To {
  if (!made.has(from)) made.set(from, make(from));
  return made.get(from);
}

/** The documents of a collection, or of a document's own query. */
export function documentsOf<Data>({ rows }: Snapshot<Row>, collection: string): Doc<Data>[] {
  // What SQL has written as bytes, or a policy does not show, is no document over HTTP either.
  return rows.filter(({ data }) => typeof data === "string").map((row) => once(row, () => documentOf(row, collection)));
}

function documentOf({ id, data, revision, parent = "" }: Row, collection: string): Doc {
  const ids = parent.split("/");
  const path = `${parent ? collection.replace(/\*/g, () => ids.shift()!) : collection}/${id}`;
  return { id, path, data: parse(data), revision };
}

/** What a snapshot tells besides its rows, and this in their place. */
export function told<Shown>({ rows, ...others }: Snapshot<Row>, shown: Shown) {
  return { ...others, ...shown };
}

export abstract class Live<Shown> implements AsyncIterable<Shown> {
  /** @internal */
  constructor(protected readonly db: Core) {}

  /** What is live under the same is one subscription. */
  get identity(): string {
    return this.#wish().identity;
  }

  /** @internal */
  get loop(): Loop {
    return this.db.loop;
  }

  /** What its subscribe frame says. */
  protected abstract body(): object;
  protected abstract shown(snapshot: Snapshot<Row>): Shown;

  protected watch(next: (shown: Shown) => void, { onError, signal }: Listening = {}): Stop {
    const wish = this.#wish();
    const listener = { next: (snapshot: Snapshot<Row>) => next(this.#show(snapshot)!), error: onError };
    return this.db.loop.want(wish.identity, () => this.db.loop.query<Row>(wish), listener, signal);
  }

  /** Keeps it live, with the last snapshot at hand; until `close`. */
  live({ signal }: Asking = {}): Held<Shown> {
    const { identity } = this.#wish();
    const latest = () => this.#show(this.db.loop.latest(identity) as Snapshot<Row> | undefined);
    return new Held((next, onError) => this.watch(next, { onError }), latest, signal);
  }

  /** Every snapshot from now on; whoever is slow gets the latest. Leaving the loop ends the subscription. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Shown, void, undefined> {
    const live = this.live();
    try {
      yield* live;
    } finally {
      live.close();
    }
  }

  #wish() {
    const body = this.body();
    return { body, identity: `docs ${write(body)}` };
  }

  #show(snapshot: Snapshot<Row> | undefined): Shown | undefined {
    return snapshot && once(snapshot, () => this.shown(snapshot));
  }
}
