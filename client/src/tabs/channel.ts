// A BroadcastChannel that keeps no process alive.

export function channel<Said>(name: string, hear?: (said: Said) => void): BroadcastChannel {
  const made = new BroadcastChannel(name);
  if (hear) made.onmessage = ({ data }) => hear(data as Said);
  // Node would not end while it listens.
  (made as { unref?: () => void }).unref?.();
  return made;
}
