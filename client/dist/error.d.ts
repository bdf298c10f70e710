/** The closed set of codes; the first eleven are the server's. */
export type Code = "invalid" | "unauthorized" | "forbidden" | "not_found" | "conflict" | "too_large" | "too_many" | "timeout" | "unavailable" | "unsupported" | "internal"
/** The client or its subscription was closed. */
 | "closed";
/** What is known of an error besides its words. */
export interface Details {
    /** What to do about it. */
    hint?: string;
    /** The HTTP status, if there was an answer. */
    status?: number;
    /** Which statement of a transaction, or object of an array, counted from 0. */
    statement?: number;
    /** The column whose value was refused; several with commas between them. */
    column?: string;
    /** Where in a document that does not fit its JSON Schema. */
    pointer?: string;
    /** After how many seconds to try again. */
    retryAfter?: number;
    cause?: unknown;
}
/** `message` is in the server's own words wherever there was an answer. */
export declare class TidebaseError extends Error {
    readonly name = "TidebaseError";
    readonly code: Code;
    readonly hint?: string;
    readonly status?: number;
    readonly statement?: number;
    readonly column?: string;
    readonly pointer?: string;
    readonly retryAfter?: number;
    constructor(code: Code, message: string, { cause, ...details }?: Details);
}
/** What the server writes of an error, over HTTP and on a socket: its words and code, and what else it tells. */
export interface Written extends Details {
    error: string;
    code: Code;
    id?: unknown;
    type?: unknown;
}
/** The error that an answer or a frame tells. */
export declare function told({ error, code, id, type, ...details }: Written, more?: Details): TidebaseError;
/** An error that nobody is there to catch ends up where unhandled ones do, and disturbs nothing here. */
export declare function unhandled(error: unknown): void;
/** Calls all who listen. One that throws disturbs neither the others nor us. */
export declare function callAll<Listener>(listeners: Iterable<Listener>, call: (listener: Listener) => void): void;
