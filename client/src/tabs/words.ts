// What pages say to each other about the one socket. A ride is one page's use of it, from its opening until it is lost: a page that
// comes back has another one, so that nothing said late is taken for it.

/** To the page that carries. */
export type Up = { ride: string } & (
  | { join: { page: string; token: string | undefined } }
  /** A frame for the server. */
  | { say: string }
  | { leave: true }
  /** Is anybody there? */
  | { ask: true }
);

/** To one ride. */
export type Down =
  /** A frame of the server, as it came. */
  | { heard: string }
  | { lost: Lost }
  /** It needs a socket of its own. */
  | { apart: true }
  | { isThere: true };

/** How a socket was lost. Errors are no more than words where they come to another page. */
export type Lost = readonly [code: number, reason: string, error?: unknown];
