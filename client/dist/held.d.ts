import { type TidebaseError } from "./error.js";
type Start<Value> = (next: (value: Value) => void, error: (error: TidebaseError) => void) => () => void;
export declare class Held<Value> implements AsyncIterable<Value> {
    #private;
    /** @internal */
    constructor(start: Start<Value>, read: () => Value | undefined, signal?: AbortSignal);
    /** The last one; `undefined` until there is one. Of all that are held at the same revision. */
    get value(): Value | undefined;
    /** Why it has ended, if it was not by `close`. */
    get error(): unknown;
    /** Called at once, and after each change of `value` or `error`. */
    subscribe(listener: (value: Value | undefined) => void): () => void;
    close(): void;
    [Symbol.asyncIterator](): AsyncGenerator<Value, void, undefined>;
}
export {};
