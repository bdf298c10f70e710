// Whatever can be live, as the adapters for frameworks see it, and what they show of it.
//
// They ask no more of it than stands here: db.sql`…`, a document and a query of documents are all live.

import type { Held } from "./held.js";

/** What can be live: db.sql`…`, or whatever else gives something held. */
export interface Live<Snapshot> {
  /** Begins it. */
  live(): Held<Snapshot>;
  /** Of two with the same identity and the same loop one is enough. */
  readonly identity?: string;
  /** @internal Where it has an identity of SQL alone. */
  readonly statement?: { readonly identity: string };
  /** @internal Of its client: the same query of another client is another. */
  readonly loop?: object;
}

/** Nothing to ask for yet. */
export type Nothing = null | undefined | false;

/** How something live stands. */
export interface State<Snapshot> {
  readonly value: Snapshot | undefined;
  /** Why it has ended, if it has. */
  readonly error: Error | undefined;
  /** Asked for, and neither there nor refused. */
  readonly isLoading: boolean;
}

/** The parts of a snapshot, each `undefined` until there is a first one, beside how it stands. */
export type Shown<Snapshot> = { readonly [Part in keyof Snapshot]: Snapshot[Part] | undefined } & Omit<State<Snapshot>, "value">;

export const LOADING: State<never> = { value: undefined, error: undefined, isLoading: true };
export const NOTHING: State<never> = { ...LOADING, isLoading: false };

export const shown = <Snapshot>({ value, ...others }: State<Snapshot>) => ({ ...value, ...others }) as Shown<Snapshot>;

/** What two queries must share to be one: whose they are, and what they ask. */
export function sameness(query: { loop?: object; identity?: string; statement?: { identity: string } }): readonly [object | undefined, unknown] {
  return [query.loop, query.identity ?? query.statement?.identity ?? query];
}

/** Nothing is kept live where pages are only written out, not shown: nobody would end it there. */
export const isShownHere = typeof window === "object";

/** Something live that is looked at. */
export class View<Snapshot> {
  #held: Pick<Held<Snapshot>, "value" | "error" | "subscribe" | "close">;
  #state: State<Snapshot> = LOADING;
  /** How often, but for the call that comes at once. */
  #told = -1;

  constructor(query: Live<Snapshot>) {
    try {
      this.#held = query.live();
    } catch (error) {
      // The client was closed. That is shown as any other end is.
      this.#held = { value: undefined, error, subscribe: (call) => (call(undefined), () => {}), close: () => {} };
    }
    // A document that is not there is told as `undefined`, which is not the same as not told yet.
    this.#held.subscribe(() => this.#told++);
  }

  /** The same object for as long as nothing has changed. Of all that are read together it is of one revision. */
  get state(): State<Snapshot> {
    const { value, error } = this.#held as { value: Snapshot | undefined; error: Error | undefined };
    const isLoading = this.#told < 1 && value === undefined && error === undefined;
    const last = this.#state;
    if (value === last.value && error === last.error && isLoading === last.isLoading) return last;
    return (this.#state = { value, error, isLoading });
  }

  /** Calls back at once, and after each change. */
  subscribe(listener: () => void): () => void {
    return this.#held.subscribe(listener);
  }

  close(): void {
    this.#held.close();
  }
}
