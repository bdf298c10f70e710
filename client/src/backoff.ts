// How long to wait before trying again: doubling pauses with full jitter, so that many clients do not come back at once.

import { within } from "./abort.js";
import type { Limits } from "./limits.js";

/** `attempt` counts from 0. What the server asked for comes on top, so that it is never too early. */
export function pause(attempt: number, limits: Limits, askedMilliseconds = 0, random = Math.random()): number {
  const whole = Math.min(limits.pauseMax, limits.pauseMin * 2 ** Math.min(attempt, 30));
  return askedMilliseconds + whole * random;
}

/** A server that restarts says in the reason of its close when to come back: "restarting; retry in 1 s". */
export const askedPause = (reason: string): number => Number(/retry in (\d+) s/.exec(reason)?.[1] ?? 0) * 1000;

/** Resolves after so many milliseconds, or rejects with the signal's reason. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const off = within(milliseconds, signal, (reason) => {
      off();
      if (reason) reject(reason);
      else resolve();
    });
  });
}
