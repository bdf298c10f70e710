// One client with all there is, put together as it belongs together: who signs in brings the token, and their store.
//
// Nothing is done here that the parts do not do: they are in core, documents, auth and offline. Whoever counts bytes, or has
// need of some of it alone, takes those.

import { auth, type Auth, type AuthOptions } from "../auth/index.js";
import type { Options, RowsOf } from "../core.js";
import { documents, type Batch, type Collection, type DocumentReference, type Transacting, type Transaction } from "../documents/index.js";
import { TidebaseError } from "../error.js";
import { Client } from "../index.js";
import type { Asking, SqlQuery } from "../sql.js";
import type { AnyTable } from "../table.js";
import { askable } from "./anew.js";
import { Local } from "./local.js";

/** What a client with everything is made with. */
export interface AllOptions extends Options, AuthOptions {
  /**
   * Rows and writes are kept on the device, for whoever has signed in; `db.local` writes them. With a `token` it is said whom
   * for: `{ user: "till 3" }`.
   */
  offline?: boolean | { user: string };
}

/** How one signs out. */
export interface SigningOut extends Asking {
  /** What waits to be sent may be lost. */
  discard?: boolean;
}

/** A client with everything: what `createClient` of `tidebase/all` gives. */
export class Everything<Tables = Record<string, AnyTable>> extends Client<Tables> {
  #auth: Auth | undefined;
  #documents = documents(this);
  #local: Local<Tables> | undefined;

  constructor(url: string | URL, options: AllOptions = {}) {
    const { token, offline, storage } = options;
    const user = typeof offline === "object" ? offline.user : undefined;
    if (offline && token === undefined && user !== undefined) {
      throw invalid("The store is that of whoever signs in.", "Say offline: true, or give a token.");
    }
    if (offline && token !== undefined && !(typeof user === "string" && user)) {
      throw invalid("With a token nobody knows whom to keep it for.", 'Say so with offline: { user: "…" }.');
    }
    super(url, options);
    if (token === undefined) this.#follow((this.#auth = auth(this, storage && { storage })), Boolean(offline));
    else if (offline) (this.#local = new Local<Tables>(this, Promise.resolve(), () => {})).serve(user, false);
  }

  /** People who sign in. Not with a `token`: then it is said whose calls these are. */
  get auth(): Auth {
    if (this.#auth) return this.#auth;
    throw invalid("This client has a token, and so nobody signs in.", "Leave token out of createClient.");
  }

  /** What is kept on this device for whoever has signed in. With `offline`, that is. */
  get local(): Local<Tables> {
    if (this.#local) return this.#local;
    throw invalid("This client keeps nothing on the device.", "Say createClient(url, { offline: true }).");
  }

  /** `rooms` or `rooms/r1/messages`; with `*` for every id on the way, the messages of all rooms, to be read. */
  collection<Data extends object = Record<string, any>>(path: string): Collection<Data> {
    return this.#documents.collection<Data>(path);
  }

  /** The document at a path such as `rooms/r1`. */
  doc<Data = any>(path: string): DocumentReference<Data> {
    return this.#documents.doc<Data>(path);
  }

  /** Several writes of documents in one request: all of them, in order, or none. `db.local.commit` takes it, too. */
  batch(): Batch {
    return this.#documents.batch();
  }

  /** Runs several statements, all or none of them. */
  override transaction<const Queries extends readonly SqlQuery<any>[]>(queries: Queries, asking?: Asking): Promise<RowsOf<Queries>>;
  /**
   * Of documents: writes if nothing that it has read has changed meanwhile; else the function is run again, so it should do nothing
   * besides. If it throws, nothing is written.
   */
  override transaction<Result>(run: (transaction: Transaction) => Promise<Result>, options?: Transacting): Promise<Result>;
  override transaction(given: any, options?: any): Promise<any> {
    return typeof given === "function" ? this.#documents.transaction(given, options) : super.transaction(given, options);
  }

  /**
   * Signs out and leaves nothing on the device. Writes that wait would be lost: then it is a `conflict`, unless they may be. True if
   * the server knows. `db.auth.signOut()` leaves everything for the next time.
   */
  async signOut({ discard = false, signal }: SigningOut = {}): Promise<boolean> {
    const { auth } = this;
    await this.#local?.ready;
    signal?.throwIfAborted();
    const count = this.#local?.pending.length ?? 0;
    if (count > 0 && !discard) {
      throw new TidebaseError("conflict", `What has not been sent yet would be lost: ${count} ${count === 1 ? "write" : "writes"}.`, {
        hint: "Wait until db.local.pending is empty, or say signOut({ discard: true }).",
      });
    }
    await this.#local?.clear();
    return auth.signOut(signal && { signal });
  }

  /** What is live, and the store, are of whoever is signed in. */
  #follow(auth: Auth, isOffline: boolean): void {
    const askAnew = askable(this.loop, () => auth.user !== undefined);
    if (isOffline) this.#local = new Local<Tables>(this, auth.ready, askAnew);
    let before: string | undefined;
    auth.subscribe((user) => {
      if (this.connection.state === "closed") return;
      if (this.#local) this.#local.serve(user?.id, true);
      else if (user?.id !== before) askAnew();
      before = user?.id;
    });
  }

  /** Ends all subscriptions and the socket. What waits is sent at the next visit. */
  override close(): void {
    this.#local?.close();
    super.close();
  }
}

const invalid = (message: string, hint: string) => new TidebaseError("invalid", message, { hint });
