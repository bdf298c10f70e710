// What the application may know of the connection: its state, and why it is not open.

import { callAll } from "../error.js";

/**
 * `idle`: nothing is wanted, or the server refuses us. `connecting`. `open`. `waiting` for the next try. `closed` by
 * the application.
 */
export type ConnectionState = "idle" | "connecting" | "open" | "waiting" | "closed";

/** What becomes of the socket: `db.connection`. */
export class Connection {
  #state: ConnectionState = "idle";
  #error: unknown;
  #listeners = new Set<(state: ConnectionState) => void>();

  /** @internal */
  constructor(
    /** The network is back, say: the next try is made now. Does nothing where none is to be made, or a socket is open. */
    readonly tryNow: () => void,
  ) {}

  /** Of the one socket, however much is live. */
  get state(): ConnectionState {
    return this.#state;
  }

  /** Why the last connection failed, until one is open again. */
  get error(): unknown {
    return this.#error;
  }

  /** Called after each change. */
  subscribe(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @internal */
  become(state: ConnectionState, error?: unknown): void {
    if (error || state === "open") this.#error = error;
    if (state === this.#state) return;
    this.#state = state;
    callAll(this.#listeners, (listener) => listener(state));
  }
}
