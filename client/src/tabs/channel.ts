// A BroadcastChannel that keeps no process alive, and is silent when it is closed.

export class Channel<Said> {
  #open: BroadcastChannel | undefined;

  constructor(name: string, hear?: (said: Said) => void) {
    this.#open = new BroadcastChannel(name);
    if (hear) this.#open.onmessage = ({ data }) => hear(data as Said);
    // Node would not end while it listens.
    (this.#open as { unref?: () => void }).unref?.();
  }

  tell(said: Said): void {
    this.#open?.postMessage(said);
  }

  close(): void {
    this.#open?.close();
    this.#open = undefined;
  }
}
