// What pages say to each other about the one socket. A ride is one page's use of it, from its opening until it is lost: a page that
// comes back has another one, so that nothing said late is taken for it.

/** To the page that carries; `to` names it where it is known, so that one which has slept does not take it for its own. */
export type Up = { ride: string; to?: string | undefined } & What;

export type What =
  | { join: { page: string; token: string | undefined } }
  /** A frame for the server. */
  | { say: string }
  | { leave: true }
  /** Is anybody there? */
  | { ask: true };

/** To one ride. */
export type Down =
  /** A frame of the server, as it came. */
  | { heard: string }
  | { lost: Lost }
  /** It needs a socket of its own. */
  | { apart: true }
  | { isThere: true };

/** With its ride, and the page that says it. */
export interface Told {
  ride: string;
  by: string;
  told: Down;
}

/** This page carries now. */
export interface Changed {
  carrier: string;
}

/** How a socket was lost. Errors are no more than words where they come to another page. */
export type Lost = readonly [code: number, reason: string, error?: unknown];
