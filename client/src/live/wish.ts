// One thing that the application wants told for as long as somebody listens: a live query, a key, a topic. What they
// have in common; each kind has a file of its own, which says what its frames do.
//
// A wish outlives sockets. It changes only in `receive`, `lost` and `end`, and calls no listener there: the loop does,
// when the whole frame has been applied.

import { callAll, unhandled, type TidebaseError } from "../error.js";
import type { Delta, Entry, Frame } from "./frame.js";

export interface Listener<Told> {
  next(told: Told): void;
  error?: ((error: TidebaseError) => void) | undefined;
}

/** Calls listeners; made while a frame is applied, called when it is. */
export type Tell = () => void;

/** A place to go on from. */
export interface Since {
  history: string;
  revision: number;
}

/** What a wish is told of the socket that a frame came on. */
export interface Standing {
  history: string;
  revision: number;
}

export abstract class Wish<Told = any> {
  /** Its name on the wire, the same on every socket. */
  id = 0;
  readonly listeners = new Set<Listener<Told>>();
  /** What a listener who comes late is told first. */
  latest: Told | undefined;
  /** How often the server was too busy for it. */
  refusals = 0;

  /** Where its result stands, if it is whole: of live queries alone, as all that follows it here. */
  declare since?: Since | undefined;
  /** What a part of a delta makes of it; nothing is changed before the returned function is called. */
  stage?(entry: Entry, delta: Delta, standing: Standing): () => Tell | undefined;
  /** The socket has come to a revision. */
  reach?(revision: number, byDelta: boolean): void;

  /** Wishes of one identity are one subscription. */
  constructor(readonly identity: string) {}

  /** What its subscribe frame says, besides the id. */
  abstract ask(): object;
  /** A frame about it alone. */
  abstract receive(frame: Frame, standing: Standing): Tell | undefined;
  /** It has been said on a new socket. */
  said(): Tell | undefined {
    return undefined;
  }
  /** The socket is gone. */
  lost(): void {}
  /** It stands for somebody else from now on, or may be wrong: nothing is to be resumed. */
  forget(): void {}
  tell(told: Told): Tell {
    return () => this.#each((listener) => listener.next(told));
  }

  /** That the application has closed the client is no news to it. */
  end(error: TidebaseError): Tell {
    const unheard = error.code === "closed" ? () => {} : unhandled;
    return () => this.#each(({ error: listen = unheard }) => listen(error));
  }

  /** One may have left because of what another was told. */
  #each(call: (listener: Listener<Told>) => void): void {
    callAll(this.listeners, (listener) => this.listeners.has(listener) && call(listener));
  }
}
