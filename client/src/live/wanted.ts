// What the application wants told, whatever sockets come and go: by its identity one wish, with all its listeners.
//
// What has been said of it on a socket is in said.ts.

import type { Wish } from "./wish.js";

/** Of all clients of a page: with `tidebase/tabs` they may share one socket. */
export const ids = { last: 0 };

/** Wishes and requests share their numbers, so that no answer is taken for another's. */
export const newId = () => ++ids.last;

export class Wanted extends Map<string, Wish> {
  add(wish: Wish): void {
    wish.id = newId();
    this.set(wish.identity, wish);
  }

  /** True if it was still wanted. */
  remove(wish: Wish): boolean {
    return this.get(wish.identity) === wish && this.delete(wish.identity);
  }
}
