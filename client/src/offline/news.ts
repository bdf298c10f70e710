// What the pages of one device and user tell each other, by a BroadcastChannel: what was written, and what came of it. Without one a
// page learns of another's writes when the server has them.
//
// Which of them sends: ../tabs.

import { Channel } from "../tabs/channel.js";
import type { Mutation, Outcome } from "./mutation.js";

export type News =
  | { kind: "added"; mutation: Mutation }
  | { kind: "settled"; outcomes: Outcome[] }
  | { kind: "dismissed"; number: number }
  | { kind: "cleared" }
  /** Somebody of this name is here, perhaps again. */
  | { kind: "begun" };

export function newsOf(name: string, hear: (news: News) => void): Channel<News> | undefined {
  return typeof BroadcastChannel === "function" ? new Channel(name, hear) : undefined;
}
