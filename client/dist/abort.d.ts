/** Calls back once if the signal aborts; what is returned takes that back. */
export declare function onAbort(signal: AbortSignal | undefined, aborted: (reason: unknown) => void): () => void;
