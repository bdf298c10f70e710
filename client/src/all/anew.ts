// Live queries are of a store: of whoever was signed in when they were asked. When somebody else is, each is asked anew, so
// that it shows their rows and their writes, and none of whoever was here before.

import { onAbort } from "../abort.js";
import { unhandled, type TidebaseError } from "../error.js";
import type { Loop } from "../live/loop.js";
import type { Listener } from "../live/wish.js";

/** Those of SQL and of documents; keys and topics have no store. */
const OF_A_STORE = /^(sql|docs) /;

interface Asked {
  stop(): void;
  again(): void;
}

/** From now on the loop's live queries can be asked anew: by what is returned. */
export function askable(loop: Loop): () => void {
  const asked = new Set<Asked>();
  const want = loop.want.bind(loop);
  loop.want = (identity, make, listener, signal) => {
    if (!OF_A_STORE.test(identity) || signal?.aborted) return want(identity, make, listener, signal);
    let isOver = false;
    const ended = () => {
      isOver = true;
      asked.delete(one);
      off();
    };
    const own: Listener<any> = {
      next: (told) => listener.next(told),
      error: (error: TidebaseError) => {
        ended();
        if (listener.error) listener.error(error);
        else if (error.code !== "closed") unhandled(error);
      },
    };
    const one: Asked = {
      stop: () => {},
      again: () => {
        if (!isOver) one.stop = want(identity, make, own);
      },
    };
    const stop = () => {
      ended();
      one.stop();
    };
    const off = onAbort(signal, stop);
    asked.add(one);
    // A frame that is too large ends it at once.
    one.again();
    return stop;
  };
  return () => {
    const all = [...asked];
    // All of one identity leave before the first comes back, or they would share what is there.
    for (const one of all) one.stop();
    for (const one of all) one.again();
  };
}
