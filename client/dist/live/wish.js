// One thing that the application wants told for as long as somebody listens: a live query, a key, a topic. What they
// have in common; each kind has a file of its own, which says what its frames do.
//
// A wish outlives sockets. It changes only in `receive`, `lost` and `end`, and calls no listener there: the loop does,
// when the whole frame has been applied.
import { callAll, unhandled } from "../error.js";
export class Wish {
    /** Wishes of one identity are one subscription. */
    constructor(identity) {
        this.identity = identity;
        /** Its name on the wire, the same on every socket. */
        this.id = 0;
        this.listeners = new Set();
        /** How often the server was too busy for it. */
        this.refusals = 0;
    }
    /** It has been said on a new socket. */
    said() {
        return undefined;
    }
    /** The socket is gone. */
    lost() { }
    /** It stands for somebody else from now on, or may be wrong: nothing is to be resumed. */
    forget() { }
    /** What a listener who comes late is told first. */
    get latest() {
        return undefined;
    }
    tell(told) {
        return () => this.#each((listener) => listener.next(told));
    }
    /** That the application has closed the client is no news to it. */
    end(error) {
        const unheard = error.code === "closed" ? () => { } : unhandled;
        return () => this.#each(({ error: listen = unheard }) => listen(error));
    }
    /** One may have left because of what another was told. */
    #each(call) {
        callAll(this.listeners, (listener) => this.listeners.has(listener) && call(listener));
    }
}
