// Live queries are of whoever is signed in. When somebody else is, each drops what it shows and is asked anew, so that it shows
// their rows and their writes, and none of whoever was here before. While nobody is, it has no rows and waits for the next.

import { onAbort } from "../abort.js";
import { callAll, unhandled, type TidebaseError } from "../error.js";
import type { Loop } from "../live/loop.js";
import type { Listener } from "../live/wish.js";

/** Those of SQL and of documents; keys and topics end with whoever asked. */
const OF_SOMEBODY = /^(sql|docs) /;

interface Asked {
  stop(): void;
  drop(): void;
  again(): void;
}

/**
 * From now on the loop's live queries can be asked anew: by what is returned.
 *
 * @param isSomebodyThere if not, a query that is refused for it has not ended
 */
export function askable(loop: Loop, isSomebodyThere: () => boolean): () => void {
  const asked = new Set<Asked>();
  const want = loop.want.bind(loop);
  loop.want = (identity, make, listener, signal) => {
    if (!OF_SOMEBODY.test(identity) || signal?.aborted) return want(identity, make, listener, signal);
    let isOver = false;
    let hasRows = false;
    const ended = () => {
      isOver = true;
      asked.delete(one);
      off();
    };
    const own: Listener<any> = {
      next: (told) => {
        hasRows = true;
        listener.next(told);
      },
      error: (error: TidebaseError) => {
        if (error.code === "unauthorized" && !isSomebodyThere()) return one.drop();
        ended();
        if (listener.error) listener.error(error);
        else if (error.code !== "closed") unhandled(error);
      },
    };
    const one: Asked = {
      stop: () => {},
      drop: () => {
        if (!isOver && hasRows) listener.next({ rows: [], revision: 0, fromCache: true } as any);
        hasRows = false;
      },
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
    callAll(all, (one) => one.drop());
    for (const one of all) one.again();
  };
}
