// The one error of this package: what the server refuses, and what could not be asked of it.
//
// An aborted call is no error of ours: it rejects with the reason of its AbortSignal, as fetch does.
/** `message` is in the server's own words wherever there was an answer. */
export class TidebaseError extends Error {
    constructor(code, message, { cause, ...details } = {}) {
        super(message, cause === undefined ? undefined : { cause });
        this.name = "TidebaseError";
        Object.assign(this, { code }, details);
    }
}
/** The error that an answer or a frame tells. */
export function told({ error, code, id, type, ...details }, more) {
    return new TidebaseError(code, error, { ...details, ...more });
}
/** An error that nobody is there to catch ends up where unhandled ones do, and disturbs nothing here. */
export function unhandled(error) {
    queueMicrotask(() => {
        throw error;
    });
}
/** Calls all who listen. One that throws disturbs neither the others nor us. */
export function callAll(listeners, call) {
    for (const listener of [...listeners]) {
        try {
            call(listener);
        }
        catch (error) {
            unhandled(error);
        }
    }
}
