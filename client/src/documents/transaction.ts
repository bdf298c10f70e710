// Transactions: read, think, then write if all that was read is still so. If it is not, the function is run again, after
// a random pause, on documents as they are then.

import { pause, sleep } from "../backoff.js";
import type { Core } from "../core.js";
import { TidebaseError } from "../error.js";
import type { Asking } from "../sql.js";
import type { Doc } from "./live.js";
import { invalid } from "./path.js";
import type { DocumentReference } from "./reference.js";
import { Writes } from "./write.js";

/** How a transaction is run. */
export interface Transacting extends Asking {
  /** How often the function is run at most; 20 unless it is said. */
  attempts?: number;
}

const ATTEMPTS = 20;
/** Pauses double so often, and are long enough then. */
const DOUBLED = 3;

/** Reads, then writes, all of it or none. */
export class Transaction extends Writes {
  #reads: { path: string; revision: number }[] = [];
  #signal: AbortSignal | undefined;

  /** @internal */
  constructor(db: Core, signal: AbortSignal | undefined) {
    super(db);
    this.#signal = signal;
  }

  /** `undefined` if it is not there. All reads come before the first write. */
  async get<Data>(place: DocumentReference<Data>): Promise<Doc<Data> | undefined> {
    this.refuseIfOver();
    if (this.writes.length > 0) throw invalid("A transaction reads first, and then writes.");
    const doc = await place.get({ signal: this.#signal });
    this.#reads.push({ path: place.path, revision: doc?.revision ?? 0 });
    return doc;
  }

  /** @internal */
  commit(): Promise<unknown> {
    return this.send("commit", this.#reads, this.#signal);
  }
}

/** A write that was refused has its place in the error; what was read and is another by now has none. */
const isStale = (error: unknown) => error instanceof TidebaseError && error.code === "conflict" && error.statement === undefined;

export async function transact<Result>(
  db: Core,
  run: (transaction: Transaction) => Promise<Result>,
  { attempts = ATTEMPTS, signal }: Transacting = {},
): Promise<Result> {
  const caller = db.http.token;
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    const transaction = new Transaction(db, signal);
    const result = await run(transaction);
    // What was read was for whoever was there then.
    if (db.http.token !== caller) throw new TidebaseError("unauthorized", "Somebody else has come since the transaction began. Nothing was written.");
    try {
      await transaction.commit();
      return result;
    } catch (cause) {
      if (!isStale(cause)) throw cause;
      if (!(attempt + 1 < attempts)) {
        throw new TidebaseError("conflict", "What the transaction reads is changed by others all the time.", { cause });
      }
      await sleep(pause(Math.min(attempt, DOUBLED), db.http.limits), signal);
    }
  }
}
