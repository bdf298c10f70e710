// What the pages of one device and user tell each other, by a BroadcastChannel: what was written, and what came of it. Without one a
// page learns of another's writes when the server has them.
//
// Which of them sends: ../tabs.

import { channel } from "../tabs/channel.js";
import type { Mutation, Outcome } from "./mutation.js";

export type News =
  | { kind: "added"; mutation: Mutation }
  | { kind: "settled"; outcomes: Outcome[] }
  | { kind: "dismissed"; number: number }
  | { kind: "cleared" };

export class Neighbours {
  #channel: BroadcastChannel | undefined;

  constructor(name: string, hear: (news: News) => void) {
    if (typeof BroadcastChannel === "function") this.#channel = channel(name, hear);
  }

  tell(news: News): void {
    this.#channel?.postMessage(news);
  }

  close(): void {
    this.#channel?.close();
  }
}
