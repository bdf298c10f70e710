// Where it is kept: IndexedDB, or where there is none, or it may not be used, memory, and `isDurable` says so.
//
// One database for each server and user, so that nobody is shown another's rows on a shared device.

import { TidebaseError } from "../error.js";
import type { Change, Mutation, Refusal } from "./mutation.js";
import type { Kept } from "./query.js";

export interface Store {
  /** Does it outlive the page? */
  readonly isDurable: boolean;
  /** What this device is called for this user. */
  readonly client: string;
  /** Whose it is; the first who is named has it. */
  owner(uid: string | undefined): Promise<string | undefined>;
  /** Resolves with its number when it is surely kept. */
  add(change: Change, madeAt: number): Promise<number>;
  /** All that wait, and those that were refused, in their order. */
  all(): Promise<Mutation[]>;
  /** The server knows what came of these: refusals are kept until they are dismissed. */
  settle(applied: readonly number[], refused: readonly { number: number; refused: Refusal }[]): Promise<void>;
  dismiss(number: number): Promise<void>;
  recall(identity: string): Promise<Kept | undefined>;
  keep(identity: string, kept: Kept): Promise<void>;
  /** All results. */
  forget(): Promise<void>;
  clear(): Promise<void>;
  close(): void;
}

/** Raised with a step in `onupgradeneeded`. */
const VERSION = 2;
const [DEVICE, MUTATIONS, RESULTS] = ["device", "mutations", "results"];

/** Results that nobody has asked for so long are let go… */
const RESULT_TIME_MAX = 30 * 86_400_000;
/** …and the oldest past so many. */
const RESULTS_MAX = 500;

/** @param onBlocked another page wants to change the database: this one lets it go */
export async function openStore(name: string, onBlocked: () => void): Promise<Store> {
  try {
    return await Durable.open(name, onBlocked);
  } catch {
    // Private windows of some browsers, full disks, pages without an origin.
    return new Fleeting();
  }
}

export function newName(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
}

class Durable implements Store {
  readonly isDurable = true;

  private constructor(
    readonly database: IDBDatabase,
    readonly client: string,
  ) {}

  static async open(name: string, onBlocked: () => void): Promise<Durable> {
    const opening = indexedDB.open(name, VERSION);
    opening.onupgradeneeded = ({ oldVersion }) => {
      const { result: database, transaction } = opening;
      if (!oldVersion) {
        database.createObjectStore(DEVICE!);
        database.createObjectStore(MUTATIONS!, { keyPath: "number", autoIncrement: true });
        database.createObjectStore(RESULTS!);
      }
      // By their ages, so that none has to be read to be let go.
      transaction!.objectStore(RESULTS!).createIndex("at", "at");
    };
    const database = await done(opening);
    database.onversionchange = () => {
      database.close();
      onBlocked();
    };
    const transaction = database.transaction(DEVICE!, "readwrite");
    const device = transaction.objectStore(DEVICE!);
    let client: string | undefined = await done(device.get("client"));
    if (!client) device.put((client = newName()), "client");
    await over(transaction);
    const store = new Durable(database, client);
    void store.#tidy().catch(() => {});
    return store;
  }

  async owner(uid: string | undefined): Promise<string | undefined> {
    const transaction = this.database.transaction(DEVICE!, "readwrite");
    const device = transaction.objectStore(DEVICE!);
    const known: string | undefined = await done(device.get("owner"));
    if (!known && uid) device.put(uid, "owner");
    await over(transaction);
    return known ?? uid;
  }

  async add(change: Change, madeAt: number): Promise<number> {
    try {
      return await this.#write(MUTATIONS!, (mutations) => mutations.add({ change, madeAt })) as number;
    } catch (cause) {
      const hint = "The browser gives a page so much room; free some of it, or ask for more with navigator.storage.persist().";
      throw new TidebaseError("unavailable", "The write could not be kept on this device.", { hint, cause });
    }
  }

  all(): Promise<Mutation[]> {
    return done(this.database.transaction(MUTATIONS!).objectStore(MUTATIONS!).getAll());
  }

  async settle(applied: readonly number[], refused: readonly { number: number; refused: Refusal }[]): Promise<void> {
    const transaction = this.database.transaction(MUTATIONS!, "readwrite");
    const mutations = transaction.objectStore(MUTATIONS!);
    for (const number of applied) mutations.delete(number);
    for (const outcome of refused) {
      const kept = mutations.get(outcome.number);
      // Not put back if another page has dismissed it.
      kept.onsuccess = () => kept.result && mutations.put({ ...kept.result, refused: outcome.refused });
    }
    await over(transaction);
  }

  async dismiss(number: number): Promise<void> {
    await this.#write(MUTATIONS!, (mutations) => mutations.delete(number));
  }

  recall(identity: string): Promise<Kept | undefined> {
    return done(this.database.transaction(RESULTS!).objectStore(RESULTS!).get(identity));
  }

  async keep(identity: string, kept: Kept): Promise<void> {
    await this.#write(RESULTS!, (results) => results.put(kept, identity), "relaxed");
  }

  async forget(): Promise<void> {
    await this.#write(RESULTS!, (results) => results.clear());
  }

  async clear(): Promise<void> {
    const transaction = this.database.transaction([DEVICE!, MUTATIONS!, RESULTS!], "readwrite");
    for (const name of [MUTATIONS!, RESULTS!]) transaction.objectStore(name).clear();
    transaction.objectStore(DEVICE!).delete("owner");
    await over(transaction);
  }

  close(): void {
    this.database.close();
  }

  async #write<Result>(
    name: string,
    write: (store: IDBObjectStore) => IDBRequest<Result>,
    durability: IDBTransactionDurability = "strict",
  ): Promise<Result> {
    const transaction = this.database.transaction(name, "readwrite", { durability });
    const request = write(transaction.objectStore(name));
    await over(transaction);
    return request.result;
  }

  async #tidy(): Promise<void> {
    const results = this.database.transaction(RESULTS!, "readwrite").objectStore(RESULTS!);
    const oldest = Date.now() - RESULT_TIME_MAX;
    let count = 0;
    const walk = results.index("at").openKeyCursor(null, "prev");
    walk.onsuccess = () => {
      const cursor = walk.result;
      if (!cursor) return;
      if (++count > RESULTS_MAX || (cursor.key as number) < oldest) results.delete(cursor.primaryKey);
      cursor.continue();
    };
  }
}

/** For a page that may keep nothing: the same, until it is closed. */
class Fleeting implements Store {
  readonly isDurable = false;
  readonly client = newName();
  #mutations = new Map<number, Mutation>();
  #results = new Map<string, Kept>();
  #last = 0;
  #owner: string | undefined;

  async owner(uid: string | undefined): Promise<string | undefined> {
    return (this.#owner ??= uid);
  }

  async add(change: Change, madeAt: number): Promise<number> {
    this.#mutations.set(++this.#last, { number: this.#last, change, madeAt });
    return this.#last;
  }

  async all(): Promise<Mutation[]> {
    return [...this.#mutations.values()].map((mutation) => ({ ...mutation }));
  }

  async settle(applied: readonly number[], refused: readonly { number: number; refused: Refusal }[]): Promise<void> {
    for (const number of applied) this.#mutations.delete(number);
    for (const { number, refused: why } of refused) {
      const mutation = this.#mutations.get(number);
      if (mutation) mutation.refused = why;
    }
  }

  async dismiss(number: number): Promise<void> {
    this.#mutations.delete(number);
  }

  async recall(identity: string): Promise<Kept | undefined> {
    return this.#results.get(identity);
  }

  async keep(identity: string, kept: Kept): Promise<void> {
    this.#results.set(identity, kept);
  }

  async forget(): Promise<void> {
    this.#results.clear();
  }

  async clear(): Promise<void> {
    this.#owner = undefined;
    this.#mutations.clear();
    this.#results.clear();
  }

  close(): void {}
}

function done<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function over(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}
