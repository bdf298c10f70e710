// Requests on the socket that wait for their answer: publishes and tokens. One that was sent is not sent again by itself,
// for it may have been carried out; one that was not waits for the next socket.

import { TidebaseError } from "../error.js";

interface Waiting {
  resolve(result: any): void;
  reject(error: any): void;
  /** The frame, until it is sent. */
  unsent?: string | undefined;
}

export class InFlight extends Map<number, Waiting> {
  /** The frames that are still to be sent, which from now on they are. */
  *send(): Iterable<string> {
    for (const waiting of this.values()) {
      if (waiting.unsent) yield waiting.unsent;
      waiting.unsent = undefined;
    }
  }

  take(id: number): Waiting | undefined {
    const waiting = this.get(id);
    this.delete(id);
    return waiting;
  }

  /** The socket is gone; what was sent on it gets no answer any more. */
  lost(): void {
    const error = new TidebaseError("unavailable", "The connection was lost; it may have been carried out.");
    this.end(error, ({ unsent }) => !unsent);
  }

  end(error: TidebaseError, isConcerned = (_: Waiting) => true): void {
    for (const [id, waiting] of this) if (isConcerned(waiting)) this.take(id)!.reject(error);
  }
}
