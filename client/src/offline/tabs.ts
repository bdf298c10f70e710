// The pages of one device and user: who of them sends, and what they tell each other.
//
// By Web Locks one page sends at a time; where there are none each does, and the server carries out each write once all the
// same. By a BroadcastChannel they tell each other what was written and what came of it; without one, a page learns of
// another's writes when the server has them.

import type { Mutation, Outcome } from "./mutation.js";

export type News =
  | { kind: "added"; mutation: Mutation }
  | { kind: "settled"; outcomes: Outcome[] }
  | { kind: "dismissed"; number: number }
  | { kind: "cleared" };

export class Tabs {
  #channel: BroadcastChannel | undefined;
  #over = new AbortController();

  constructor(name: string, onNews: (news: News) => void, lead: () => void) {
    if (typeof BroadcastChannel === "function") {
      this.#channel = new BroadcastChannel(name);
      this.#channel.onmessage = ({ data }) => onNews(data as News);
      // Node would not end while it listens.
      (this.#channel as { unref?: () => void }).unref?.();
    }
    const locks = globalThis.navigator?.locks;
    if (!locks) {
      lead();
      return;
    }
    const untilClosed = new Promise<void>((resolve) => this.#over.signal.addEventListener("abort", () => resolve()));
    locks
      .request(name, { signal: this.#over.signal }, () => {
        lead();
        return untilClosed;
      })
      // Closed before its turn came.
      .catch(() => {});
  }

  tell(news: News): void {
    this.#channel?.postMessage(news);
  }

  close(): void {
    this.#over.abort();
    this.#channel?.close();
    // What is being kept just now is told to nobody: a closed channel would throw.
    this.#channel = undefined;
  }
}
