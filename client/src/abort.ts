// AbortSignals, which every call of this package takes.

/** Calls back once if the signal aborts; what is returned takes that back. */
export function onAbort(signal: AbortSignal | undefined, aborted: (reason: unknown) => void): () => void {
  const listener = () => aborted(signal!.reason);
  signal?.addEventListener("abort", listener, { once: true });
  return () => signal?.removeEventListener("abort", listener);
}
