// What the application may know of the connection: its state, and why it is not open.
import { callAll } from "../error.js";
export class Connection {
    #state = "idle";
    #error;
    #listeners = new Set();
    get state() {
        return this.#state;
    }
    /** Why the last connection failed, until one is open again. */
    get error() {
        return this.#error;
    }
    /** Called after each change. */
    subscribe(listener) {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }
    /** @internal */
    become(state, error) {
        if (error || state === "open")
            this.#error = error;
        if (state === this.#state)
            return;
        this.#state = state;
        callAll(this.#listeners, (listener) => listener(state));
    }
}
