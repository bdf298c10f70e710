// What components look at together: by client and identity one view, for as long as somebody shows it.
//
// It is opened by an effect, or by a component that is suspended until there is something to show, and has no effects
// before that. React may throw such a component away without a word, so what nobody claims ends by itself.

import { sameness, View, type Live } from "../live.js";

/** How long a first result waits for the component that was suspended for it… */
const CLAIM_TIME = 30_000;
/** …and an error. Whoever tries again after that asks again. */
const ERROR_TIME = 1000;

const opened = new WeakMap<object, Map<unknown, Shared<any>>>();

export class Shared<Snapshot> extends View<Snapshot> {
  #claims = 0;
  #forget = () => {};
  /** Resolves when there is something to show, or nothing more to wait for. */
  readonly settled = new Promise<void>((resolve) =>
    this.subscribe(() => {
      const { isLoading, error } = this.state;
      if (isLoading) return;
      resolve();
      if (!this.#claims) this.#closeUnclaimed(error ? ERROR_TIME : CLAIM_TIME);
    }),
  );

  /** The one that is open, else a new one. */
  static open<Snapshot>(query: Live<Snapshot>, isClaimed?: boolean): Shared<Snapshot> {
    const [peers, identity] = peersOf(query);
    const found = peers.get(identity);
    // One that has ended, and that nobody shows any more, is as good as none to an effect.
    const isOver = isClaimed && found && !found.#claims && found.state.error;
    if (found && !isOver) return found;
    const made = new Shared(query);
    peers.set(identity, made);
    made.#forget = () => peers.get(identity) === made && peers.delete(identity);
    return made;
  }

  /** In StrictMode, and where one component follows another, the next claim comes before the timer. */
  claim(changed: () => void): () => void {
    this.#claims++;
    const stop = this.subscribe(changed);
    return () => {
      stop();
      this.#claims--;
      this.#closeUnclaimed(0);
    };
  }

  #closeUnclaimed(milliseconds: number): void {
    setTimeout(() => {
      if (this.#claims) return;
      this.#forget();
      this.close();
    }, milliseconds);
  }
}

/** The views of its client, and what it is known by among them. */
export function peersOf(query: Live<unknown>): readonly [Map<unknown, Shared<any>>, identity: unknown] {
  const [whose = query, identity] = sameness(query);
  const peers = opened.get(whose) ?? new Map();
  opened.set(whose, peers);
  return [peers, identity];
}
