// The one error of this package: what the server refuses, and what could not be asked of it.
//
// An aborted call is no error of ours: it rejects with the reason of its AbortSignal, as fetch does.

/** The closed set of codes; the first eleven are the server's. */
export type Code =
  | "invalid"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "conflict"
  | "too_large"
  | "too_many"
  | "timeout"
  | "unavailable"
  | "unsupported"
  | "internal"
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
  /** What it came from, if it was another error. */
  cause?: unknown;
}

/** The one error of this package. `message` is in the server's own words wherever there was an answer. */
export class TidebaseError extends Error {
  /** `TidebaseError`. */
  override readonly name = "TidebaseError";
  /** From the closed set. */
  declare readonly code: Code;
  /** What to do about it. */
  declare readonly hint?: string;
  /** The HTTP status, if there was an answer. */
  declare readonly status?: number;
  /** Which statement of a transaction, or object of an array, counted from 0. */
  declare readonly statement?: number;
  /** The column whose value was refused; several with commas between them. */
  declare readonly column?: string;
  /** Where in a document that does not fit its JSON Schema. */
  declare readonly pointer?: string;
  /** After how many seconds to try again. */
  declare readonly retryAfter?: number;

  constructor(code: Code, message: string, { cause, ...details }: Details = {}) {
    super(message, cause ? { cause } : {});
    Object.assign(this, { code }, details);
  }
}

/** What the server writes of an error, over HTTP and on a socket: its words and code, and what else it tells. */
export interface Written extends Details {
  error: string;
  code: Code;
  id?: unknown;
  type?: unknown;
}

/** The error that an answer or a frame tells. */
export function told({ error, code, id, type, ...details }: Written, more?: Details): TidebaseError {
  return new TidebaseError(code, error, { ...details, ...more });
}

/** Nothing is wrong with what was asked; the server was busy, or not there. */
export const isBusy = ({ code }: TidebaseError): boolean => code === "unavailable" || code === "too_many";

export const late = (cause?: unknown): TidebaseError => new TidebaseError("timeout", "The server did not answer in time.", { cause });

/** An error that nobody is there to catch ends up where unhandled ones do, and disturbs nothing here. */
export function unhandled(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** Calls all who listen. One that throws disturbs neither the others nor us. */
export function callAll<Listener>(listeners: Iterable<Listener>, call: (listener: Listener) => void): void {
  for (const listener of [...listeners]) {
    try {
      call(listener);
    } catch (error) {
      unhandled(error);
    }
  }
}
