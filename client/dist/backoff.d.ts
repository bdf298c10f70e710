import type { Limits } from "./limits.js";
/** `attempt` counts from 0. What the server asked for comes on top, so that it is never too early. */
export declare function pause(attempt: number, limits: Limits, askedMilliseconds?: number, random?: number): number;
/** A server that restarts says in the reason of its close when to come back: "restarting; retry in 1 s". */
export declare const askedPause: (reason: string) => number;
/** Resolves after so many milliseconds, or rejects with the signal's reason. */
export declare function sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
