// A live query of which is known up to which revision it stands, also where commits did not change its rows.
//
// A snapshot's revision is that of its last change. Whoever waits for a write needs the other one: the server tells it
// behind an answer on the same socket, so one is asked for there if the write has not been told by itself.

import type { Frame } from "../live/frame.js";
import { LiveQuery } from "../live/query.js";
import type { Standing, Tell } from "../live/wish.js";
import type { SqlQuery } from "../sql.js";

interface Waiting {
  revision: number;
  resolve: () => void;
}

let runs = 0;

export class Followed<Row> {
  #query: SqlQuery<Row>;
  #wish: Wish<Row>;
  #waiting = new Set<Waiting>();
  #isOver = false;
  #stop = () => {};

  constructor(query: SqlQuery<Row>, next: (rows: readonly Row[]) => void, failed: (error: unknown) => void) {
    this.#query = query;
    // Of its own: a plain live query of the same identity would not tell where it stands.
    const wish = (this.#wish = new Wish<Row>(query, `collection ${++runs}`, () => this.#release()));
    const fail = (error: unknown) => {
      this.stop();
      failed(error);
    };
    const told = ({ rows }: { rows: readonly Row[] }) => {
      try {
        next(rows);
      } catch (error) {
        fail(error);
      }
    };
    try {
      this.#stop = query.loop.want(wish.identity, () => wish, { next: told, error: fail });
    } catch (error) {
      fail(error);
    }
  }

  reached(revision: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add({ revision, resolve });
      this.#release();
      if (this.#waiting.size > 0) this.#nudge();
    });
  }

  stop(): void {
    this.#isOver = true;
    this.#stop();
    this.#release();
  }

  #release(): void {
    for (const waiting of this.#waiting) {
      if (!this.#isOver && waiting.revision > this.#wish.revision) continue;
      this.#waiting.delete(waiting);
      waiting.resolve();
    }
  }

  /** Where only registered statements are run, its own is one. If there is no answer, another socket will tell. */
  #nudge(): void {
    const { loop, statement } = this.#query;
    loop
      .request({ action: "query", sql: "SELECT 1" })
      .catch(() => loop.request({ action: "query", ...statement.body }))
      .catch(() => {});
  }
}

class Wish<Row> extends LiveQuery<Row> {
  override readonly identity: string;
  #stands: () => void;

  constructor({ statement }: SqlQuery<Row>, identity: string, stands: () => void) {
    super(statement);
    this.identity = identity;
    this.#stands = stands;
  }

  /** The one it would go on from. */
  get revision(): number {
    return this.since?.revision ?? -1;
  }

  override receive(frame: Frame, standing: Standing): Tell | undefined {
    this.#standLater();
    return super.receive(frame, standing);
  }

  override reach(revision: number, byDelta: boolean): void {
    super.reach(revision, byDelta);
    this.#standLater();
  }

  /** When listeners have been told. */
  #standLater(): void {
    queueMicrotask(this.#stands);
  }
}
