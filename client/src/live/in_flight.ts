// Requests on the socket that wait for their answer: publishes and tokens. One that was sent is not sent again by itself,
// for it may have been carried out; one that was not waits for the next socket.

import { TidebaseError } from "../error.js";

interface Waiting {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  /** The frame, until it is sent. */
  unsent: string | undefined;
}

export class InFlight extends Map<number, Waiting> {
  /** The frames that are still to be sent, which from now on they are. */
  *send(): Iterable<string> {
    for (const waiting of this.values()) {
      const { unsent } = waiting;
      waiting.unsent = undefined;
      if (unsent) yield unsent;
    }
  }

  take(id: number): Waiting | undefined {
    const waiting = this.get(id);
    this.delete(id);
    return waiting;
  }

  /** The socket is gone; what was sent on it gets no answer any more. */
  lost(): void {
    const error = new TidebaseError("unavailable", "The connection was lost. It may or may not have been carried out.");
    for (const [id, { unsent }] of this) if (!unsent) this.take(id)!.reject(error);
  }

  end(error: TidebaseError): void {
    for (const id of this.keys()) this.take(id)!.reject(error);
  }
}
