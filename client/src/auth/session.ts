// What is known of somebody who has signed in: as the server tells it, as it is kept, and as the application sees it.

/** Somebody who has signed in. */
export interface User {
  readonly id: string;
  /** Null of somebody without an account. */
  readonly email: string | null;
  readonly isAnonymous: boolean;
  /** What the administrator says of them, for policies. */
  readonly claims?: Record<string, any>;
  readonly madeAt: Date;
}

/** One place in which somebody has signed in. */
export interface Session {
  readonly id: string;
  readonly madeAt: Date;
  readonly usedAt: Date;
  /** When it ends if it is not used. */
  readonly expiresAt: Date;
  /** What the client calls itself. */
  readonly agent: string | null;
  /** Where it was last seen. */
  readonly address: string | null;
  /** The one that asks. */
  readonly isThis: boolean;
}

/** What is kept: the tokens, and the user as the server writes it. */
export interface Kept {
  readonly user: { readonly id: string };
  readonly access_token: string;
  readonly refresh_token: string;
  /**
   * When the access token is over, by the clock of this machine, which may be wrong but is the one that will be asked.
   * Whether it is good the server says.
   */
  readonly until: number;
}

/** Nothing else may stand in a header; what fetch says of a header that it cannot send would tell the token. */
const isToken = (token: unknown) => typeof token === "string" && /^[!-~]+$/.test(token);

/** What was read, if it is a session. Anybody may have written there. */
export function keptOf(read: any): Kept | undefined {
  const isKept = typeof read?.user?.id === "string" && isToken(read.access_token) && isToken(read.refresh_token);
  return isKept ? read : undefined;
}

/** `made_at`, in seconds, is `madeAt`, a Date; `is_this` is `isThis`. */
export function named<Shown>(written: object): Shown {
  const name = (key: string) => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const shown = Object.entries(written).map(([key, value]) => [name(key), key.endsWith("_at") ? new Date(value * 1000) : value]);
  return Object.fromEntries(shown);
}
