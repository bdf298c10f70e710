// Something live with its last value at hand, for user interfaces: read `value`, subscribe to the next.
//
// It has the shape that frameworks take: `subscribe` of Svelte's stores, `value` and `subscribe` for React's
// useSyncExternalStore, and `for await`.
import { onAbort } from "./abort.js";
import { callAll } from "./error.js";
export class Held {
    #read;
    #last;
    #error;
    #isOver = false;
    #stop;
    #listeners = new Set();
    #off;
    /** @internal */
    constructor(start, read, signal) {
        this.#read = read;
        const next = (value) => {
            this.#last = value;
            this.#tell();
        };
        this.#stop = signal?.aborted ? () => { } : start(next, (error) => this.#end(error));
        this.#off = onAbort(signal, (reason) => this.#end(reason));
        if (signal?.aborted)
            this.#end(signal.reason);
    }
    /** The last one; `undefined` until there is one. Of all that are held at the same revision. */
    get value() {
        return this.#read() ?? this.#last;
    }
    /** Why it has ended, if it was not by `close`. */
    get error() {
        return this.#error;
    }
    /** Called at once, and after each change of `value` or `error`. */
    subscribe(listener) {
        const call = () => listener(this.value);
        this.#listeners.add(call);
        call();
        return () => void this.#listeners.delete(call);
    }
    close() {
        this.#end();
    }
    async *[Symbol.asyncIterator]() {
        let wake = () => { };
        let told;
        const listener = () => wake();
        this.#listeners.add(listener);
        try {
            for (;;) {
                const woken = new Promise((resolve) => (wake = resolve));
                if (this.value !== told) {
                    told = this.value;
                    yield told;
                }
                else if (this.#isOver) {
                    if (this.#error !== undefined)
                        throw this.#error;
                    return;
                }
                else {
                    await woken;
                }
            }
        }
        finally {
            this.#listeners.delete(listener);
        }
    }
    #end(error) {
        if (this.#isOver)
            return;
        this.#last = this.value;
        this.#read = () => undefined;
        this.#isOver = true;
        this.#error = error;
        this.#off();
        this.#stop();
        this.#tell();
    }
    #tell() {
        callAll(this.#listeners, (listener) => listener());
    }
}
