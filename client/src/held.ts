// Something live with its last value at hand, for user interfaces: read `value`, subscribe to the next.
//
// It has the shape that frameworks take: `subscribe` of Svelte's stores, `value` and `subscribe` for React's
// useSyncExternalStore, and `for await`.

import { onAbort } from "./abort.js";
import { callAll, type TidebaseError } from "./error.js";

type Start<Value> = (next: (value: Value) => void, error: (error: TidebaseError) => void) => () => void;

/** Something live with its last value at hand, until `close`. A store as Svelte takes it. */
export class Held<Value> implements AsyncIterable<Value> {
  #read: () => Value | undefined;
  #last: Value | undefined;
  #error: unknown;
  #isOver = false;
  // Neither is there yet where the end comes at once.
  #stop?: () => void;
  #listeners = new Set<() => void>();
  #off?: () => void;

  /** @internal */
  constructor(start: Start<Value>, read: () => Value | undefined, signal?: AbortSignal) {
    this.#read = read;
    const next = (value: Value) => {
      this.#last = value;
      this.#tell();
    };
    const end = (error: unknown) => this.#end(error);
    this.#off = onAbort(signal, end);
    if (signal?.aborted) end(signal.reason);
    else this.#stop = start(next, end);
  }

  /** The last one; `undefined` until there is one. Of all that are held at the same revision. */
  get value(): Value | undefined {
    return this.#read() ?? this.#last;
  }

  /** Why it has ended, if it was not by `close`. */
  get error(): unknown {
    return this.#error;
  }

  /** Called at once, and after each change of `value` or `error`. */
  subscribe(listener: (value: Value | undefined) => void): () => void {
    const call = () => listener(this.value);
    this.#listeners.add(call);
    call();
    return () => void this.#listeners.delete(call);
  }

  /** Ends the subscription. The last value stays. */
  close(): void {
    this.#end();
  }

  /** Every value from now on, whoever is slow gets the latest; until it is closed. Leaving the loop does not close it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Value, void, undefined> {
    let wake = () => {};
    let told: Value | undefined;
    const listener = () => wake();
    this.#listeners.add(listener);
    try {
      for (;;) {
        const woken = new Promise<void>((resolve) => (wake = resolve));
        if (this.value !== told) {
          told = this.value;
          yield told as Value;
        } else if (this.#isOver) {
          if (this.#error !== undefined) throw this.#error;
          return;
        } else {
          await woken;
        }
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }

  #end(error?: unknown): void {
    if (this.#isOver) return;
    this.#last = this.value;
    this.#read = () => undefined;
    this.#isOver = true;
    this.#error = error;
    this.#off?.();
    this.#stop?.();
    this.#tell();
  }

  #tell(): void {
    callAll(this.#listeners, (listener) => listener());
  }
}
