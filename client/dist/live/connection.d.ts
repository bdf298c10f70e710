/**
 * `idle`: nothing is wanted, or the server refuses us. `connecting`. `open`. `waiting` for the next try. `closed` by
 * the application.
 */
export type ConnectionState = "idle" | "connecting" | "open" | "waiting" | "closed";
export declare class Connection {
    #private;
    get state(): ConnectionState;
    /** Why the last connection failed, until one is open again. */
    get error(): unknown;
    /** Called after each change. */
    subscribe(listener: (state: ConnectionState) => void): () => void;
    /** @internal */
    become(state: ConnectionState, error?: unknown): void;
}
