// What components look at together: by client and identity one view, for as long as somebody shows it.
//
// It is opened by an effect, or by a component that is suspended until there is something to show, and has no effects
// before that. React may throw such a component away without a word, so what nobody claims ends by itself.

import { sameness, View, type Live, type State } from "../live.js";

/** How long a first result waits for the component that was suspended for it… */
const CLAIM_TIME = 30_000;
/** …and an error. Whoever tries again after that asks again. */
const ERROR_TIME = 1000;

const opened = new WeakMap<object, Map<unknown, Shared<any>>>();

export class Shared<Snapshot> {
  #view: View<Snapshot>;
  #claims = 0;
  #forget: () => void;
  #settle!: () => void;
  /** Resolves when there is something to show, or nothing more to wait for. */
  readonly settled = new Promise<void>((resolve) => (this.#settle = resolve));

  private constructor(query: Live<Snapshot>) {
    const peers = peersOf(query);
    const [, identity] = sameness(query);
    peers.set(identity, this);
    this.#forget = () => peers.get(identity) === this && peers.delete(identity);
    this.#view = new View(query);
    this.#view.subscribe(this.#check);
    this.#check();
  }

  /** The one that is open. */
  static find<Snapshot>(query: Live<Snapshot>): Shared<Snapshot> | undefined {
    return peersOf(query).get(sameness(query)[1]);
  }

  /** The one that is open, else a new one. One that has ended, and that nobody shows any more, is as good as none. */
  static claim<Snapshot>(query: Live<Snapshot>, changed: () => void): () => void {
    const found = Shared.find(query);
    const isOver = found && found.#claims === 0 && found.state.error;
    const shared = found && !isOver ? found : new Shared(query);
    return shared.#claim(changed);
  }

  static open<Snapshot>(query: Live<Snapshot>): Shared<Snapshot> {
    return Shared.find(query) ?? new Shared(query);
  }

  get state(): State<Snapshot> {
    return this.#view.state;
  }

  /** In StrictMode, and where one component follows another, the next claim comes before the timer. */
  #claim(changed: () => void): () => void {
    this.#claims++;
    const stop = this.#view.subscribe(changed);
    return () => {
      stop();
      this.#claims--;
      this.#closeUnclaimed(0);
    };
  }

  #check = () => {
    const { isLoading, error } = this.state;
    if (isLoading) return;
    this.#settle();
    this.#closeUnclaimed(error ? ERROR_TIME : CLAIM_TIME);
  };

  #closeUnclaimed(milliseconds: number): void {
    if (this.#claims > 0) return;
    setTimeout(() => {
      if (this.#claims > 0) return;
      this.#forget();
      this.#view.close();
      this.#settle();
    }, milliseconds);
  }
}

function peersOf(query: Live<unknown>): Map<unknown, Shared<any>> {
  const whose = query.loop ?? query;
  const peers = opened.get(whose) ?? new Map();
  opened.set(whose, peers);
  return peers;
}
