// Where the session is kept from one visit to the next, and how the tabs that share the place hear of each other.
//
// Where the place cannot be used (private windows, a full disk) the session lives as long as the page does. What is told to
// other tabs is only that something has changed: they read for themselves, so no token is in a message.

/** localStorage, or whatever else has these three; each may give a promise. */
export interface Place {
  getItem(key: string): string | null | undefined | Promise<string | null | undefined>;
  setItem(key: string, text: string): unknown;
  removeItem(key: string): unknown;
}

export class Store {
  #key: string;
  #place: Place | undefined;
  #channel: BroadcastChannel | undefined;
  /** What was last read or written. */
  #text: string | null | undefined;
  /** The place could not take that. */
  #isBehind = false;
  /** The end of all that was to be written. */
  #written: Promise<void> = Promise.resolve();

  constructor(key: string, place: Place | undefined) {
    this.#key = key;
    this.#place = place;
  }

  /** At once where the place answers at once; what is being written is not in it yet. */
  readNow(): string | null | undefined | Promise<string | null | undefined> {
    if (!this.#place || this.#isBehind) return this.#text;
    try {
      const text = this.#place.getItem(this.#key);
      return text instanceof Object ? text.then((text) => (this.#text = text), () => this.#text) : (this.#text = text);
    } catch {
      return this.#text;
    }
  }

  async read(): Promise<string | null | undefined> {
    await this.#written;
    return this.readNow();
  }

  /** In the order of the calls. Does not fail. */
  write(text: string | undefined): Promise<void> {
    return (this.#written = this.#written.then(async () => {
      this.#text = text;
      try {
        await (text === undefined ? this.#place?.removeItem(this.#key) : this.#place?.setItem(this.#key, text));
        this.#isBehind = false;
      } catch {
        this.#isBehind = true;
      }
      this.#channel?.postMessage(0);
    }));
  }

  /** Calls back when another tab has written; what is returned ends that. */
  watch(changed: () => void): () => void {
    if (!this.#place) return () => {};
    // Either may be missing, and either may come before what was written can be read here.
    const stored = ({ key }: StorageEvent) => (key ?? this.#key) === this.#key && changed();
    globalThis.addEventListener?.("storage", stored);
    if (typeof BroadcastChannel === "function") {
      const channel = new BroadcastChannel(this.#key);
      channel.onmessage = changed;
      // In Node, it alone is no reason to stay.
      (channel as { unref?(): void }).unref?.();
      this.#channel = channel;
    }
    return () => {
      globalThis.removeEventListener?.("storage", stored);
      this.#channel?.close();
      this.#channel = undefined;
    };
  }
}

/** That of the browser; even asking for it may be refused. */
export function usualPlace(): Place | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}
