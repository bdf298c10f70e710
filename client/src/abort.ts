// AbortSignals, which every call of this package takes.

/** Calls back once if the signal aborts; what is returned takes that back. */
export function onAbort(signal: AbortSignal | undefined, aborted: (reason: unknown) => void): () => void {
  const listener = () => aborted(signal!.reason);
  signal?.addEventListener("abort", listener, { once: true });
  return () => signal?.removeEventListener("abort", listener);
}

/** Calls back if the signal aborts or the time is over, which has no reason; what is returned takes that back. */
export function within(milliseconds: number, signal: AbortSignal | undefined, over: (reason?: unknown) => void): () => void {
  const timer = setTimeout(over, milliseconds);
  const off = onAbort(signal, over);
  return () => {
    clearTimeout(timer);
    off();
  };
}
