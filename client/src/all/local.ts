// What is kept on this device for whoever has signed in: the store of `tidebase/offline`, always theirs. Another signs in, and
// it is the other's; nobody, and there is none. What waits in a store that is left waits for its owner.

import type { Core } from "../core.js";
import type { Batch } from "../documents/index.js";
import { callAll, TidebaseError } from "../error.js";
import type { Stop } from "../live/loop.js";
import { Offline, OfflineTable, type Mutation, type Refused, type Written } from "../offline/index.js";
import type { AnyTable, TableTypes } from "../table.js";

const NOTHING: readonly never[] = [];

/** What is kept on this device for whoever has signed in: `db.local`. Whoever else signs in has a store of their own. */
export class Local<Tables = Record<string, AnyTable>> {
  #db: Core;
  #askAnew: () => void;
  #store: Offline<Tables> | undefined;
  #user: string | undefined;
  #listeners = new Set<() => void>();
  #begun: Promise<unknown>;

  /** @internal @param begun when it is known who has signed in @param askAnew what is live, when that is another */
  constructor(db: Core, begun: Promise<unknown>, askAnew: () => void) {
    this.#db = db;
    this.#begun = begun;
    this.#askAnew = askAnew;
  }

  /** Resolves when it is known who has signed in, and what an earlier visit of theirs left is there. */
  get ready(): Promise<void> {
    return this.#begun.then(() => this.#store?.ready);
  }

  /** Whose it is: the id of whoever has signed in. */
  get user(): string | undefined {
    return this.#user;
  }

  /** Is it kept when the page is closed? Known when it is ready. */
  get isDurable(): boolean {
    return this.#store?.isDurable ?? false;
  }

  /** What the server has not carried out yet, in its order. The same array until that changes. */
  get pending(): readonly Mutation[] {
    return this.#store?.pending ?? NOTHING;
  }

  /** What it will not carry out, until it is dismissed. The same array until that changes. */
  get refused(): readonly Refused[] {
    return this.#store?.refused ?? NOTHING;
  }

  /** Called after each change of `pending`, `refused` or `user`. */
  subscribe(listener: () => void): Stop {
    const call = () => listener();
    this.#listeners.add(call);
    return () => void this.#listeners.delete(call);
  }

  /**
   * Rows of a table, each written by its key; of whoever is signed in when they are written. With nobody there a write rejects
   * with `unauthorized`.
   */
  table<Name extends Extract<keyof Tables, string>>(name: Name): OfflineTable<Tables[Name] & TableTypes> {
    return new OfflineTable(name, async (patch) => this.#theirs().add(patch));
  }

  /** SQL for the server. What it changes shows when it has been there. */
  async sql(strings: TemplateStringsArray, ...values: unknown[]): Promise<Written> {
    return this.#theirs().sql(strings, ...values);
  }

  /** Documents: a batch of `db.batch()`, all of it or none. */
  async commit(batch: Batch): Promise<Written> {
    return this.#theirs().commit(batch);
  }

  /** It has been seen that this one was refused. */
  async dismiss(number: number): Promise<void> {
    await this.#theirs().dismiss(number);
  }

  /** Forgets all that is kept for whoever is signed in, and what waits is lost. `db.signOut()` does it, and asks first. */
  async clear(): Promise<void> {
    await this.#store?.clear();
  }

  /** @internal From now on theirs, or nobody's. @param hasSignedIn so that what they write is sent as theirs alone */
  serve(user: string | undefined, hasSignedIn: boolean): void {
    if (user === this.#user && this.#store) return;
    this.close();
    this.#user = user;
    if (user !== undefined) {
      const store = (this.#store = new Offline<Tables>(this.#db, user, hasSignedIn ? user : undefined));
      store.subscribe(() => store === this.#store && this.#tell());
    }
    this.#askAnew();
    this.#tell();
  }

  /** @internal What waits is sent at the next visit. */
  close(): void {
    const store = this.#store;
    this.#store = undefined;
    store?.close();
  }

  #theirs(): Offline<Tables> {
    if (this.#store) return this.#store;
    throw new TidebaseError("unauthorized", "Nobody has signed in, so there is nobody to keep it for.", {
      hint: "Sign in with db.auth first.",
    });
  }

  #tell(): void {
    callAll(this.#listeners, (listener) => listener());
  }
}
