// Requests on the socket that wait for their answer: publishes and tokens. One that was sent is not sent again by itself,
// for it may have been carried out; one that was not waits for the next socket.
import { TidebaseError } from "../error.js";
export class InFlight extends Map {
    /** The frames that are still to be sent, which from now on they are. */
    *send() {
        for (const waiting of this.values()) {
            const { unsent } = waiting;
            waiting.unsent = undefined;
            if (unsent)
                yield unsent;
        }
    }
    take(id) {
        const waiting = this.get(id);
        this.delete(id);
        return waiting;
    }
    /** The socket is gone; what was sent on it gets no answer any more. */
    lost() {
        const error = new TidebaseError("unavailable", "The connection was lost. It may or may not have been carried out.");
        for (const [id, { unsent }] of this)
            if (!unsent)
                this.take(id).reject(error);
    }
    end(error) {
        for (const id of this.keys())
            this.take(id).reject(error);
    }
}
