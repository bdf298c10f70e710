// Whose calls these are: a token, or a function that gives one. Somebody else's are another Token, so that what was begun as one
// caller is never made again as another.
//
// A function is asked when a token is first needed, when the one it gave has nearly run out, and when the server has
// refused it; several calls that wait for a token wait for the same. Signing in is elsewhere.

/** `refused` is the token that the server no longer takes, if that is why a new one is asked for. */
export type GetToken = (refused?: string) => string | undefined | Promise<string | undefined>;
/** A token, a function that gives one, or nobody's. */
export type TokenSource = string | GetToken | undefined;

/** A token is renewed when so much of its life is over… */
const RENEW_AT = 0.75;
/** …but not at once again, should the function give the same one. */
const RENEW_TIME_MIN = 1000;

export class Token {
  readonly #source: TokenSource;
  #held?: { token: string | undefined; renewAt: number };
  #asked?: Promise<string | undefined>;
  #refused?: string;

  constructor(source: TokenSource) {
    this.#source = source;
  }

  /** Can there be another one than that which was refused? */
  get canRenew(): boolean {
    return typeof this.#source === "function";
  }

  /** The token to send now. */
  async get(): Promise<string | undefined> {
    const source = this.#source;
    if (typeof source !== "function") return source;
    if (this.#held && Date.now() < this.#held.renewAt) return this.#held.token;
    // Not in #ask itself, which may be over before its promise is kept here.
    return (this.#asked ??= this.#ask(source).finally(() => {
      this.#asked = this.#refused = undefined;
    }));
  }

  /** The server does not take it. Whoever hears of it late has no effect on a newer one. */
  refuse(token: string | undefined): void {
    if (this.#held?.token !== token) return;
    this.#held = undefined;
    this.#refused = token;
  }

  /** In how many milliseconds it should be renewed; never for those that do not say. */
  get renewIn(): number {
    return this.#held ? Math.max(0, this.#held.renewAt - Date.now()) : Infinity;
  }

  async #ask(source: GetToken): Promise<string | undefined> {
    const token = await source(this.#refused);
    this.#held = { token, renewAt: Date.now() + Math.max(RENEW_TIME_MIN, life(token) * RENEW_AT) };
    return token;
  }
}

/**
 * How many milliseconds a token says it has to live. Where it does not say, or the clock of this machine is so wrong that
 * it would be over, for ever: then the server says when it is.
 */
export function life(token: string | undefined, now = Date.now()): number {
  try {
    const payload = token!.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const left = JSON.parse(atob(payload)).exp * 1000 - now;
    return left > 0 ? left : Infinity;
  } catch {
    return Infinity;
  }
}
