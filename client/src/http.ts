// One request over HTTP: with the token, within its time, made again where that is safe.
//
// Safe are reads, and writes under an Idempotency-Key, which the server carries out once however often they come. All
// requests of this package are one or the other; what has no such key goes over the socket. Made again it is whoever's it was,
// whoever has come meanwhile.

import { within } from "./abort.js";
import { pause, sleep } from "./backoff.js";
import { isBusy, late, told, TidebaseError } from "./error.js";
import type { Limits } from "./limits.js";
import type { Token } from "./token.js";
import { parse } from "./value.js";

/** Seconds. Who is asked to wait longer is told so. */
const RETRY_AFTER_MAX = 10;

export interface Ask {
  method?: string;
  path: string;
  /** JSON text. */
  body?: string;
  /** Changes something: sent under a key of its own. */
  isWrite?: boolean;
  signal?: AbortSignal | undefined;
}

export interface Reply {
  /** The body, parsed exactly. */
  body: any;
  headers: Headers;
}

export class Http {
  constructor(
    readonly base: URL,
    /** Whose requests those are that begin now. */
    public token: Token,
    readonly limits: Limits,
  ) {}

  /** Rejects with a TidebaseError, or with the signal's reason. */
  async ask(ask: Ask): Promise<Reply> {
    const headers: Record<string, string> = {};
    if (ask.body) headers["Content-Type"] = "application/json";
    if (ask.isWrite) headers["Idempotency-Key"] = newKey();
    const caller = this.token;
    let hasRenewed = false;
    for (let attempt = 0; ; attempt++) {
      const token = await caller.get();
      try {
        return await this.#once(ask, headers, token);
      } catch (error) {
        if (!(error instanceof TidebaseError)) throw error;
        const { retryAfter = 0 } = error;
        if (error.code === "unauthorized" && caller.canRenew && !hasRenewed) {
          hasRenewed = true;
          caller.refuse(token);
        } else if (isBusy(error) && retryAfter <= RETRY_AFTER_MAX && attempt + 1 < this.limits.attempts) {
          await sleep(pause(attempt, this.limits, retryAfter * 1000), ask.signal);
        } else {
          throw error;
        }
      }
    }
  }

  async #once(ask: Ask, headers: Record<string, string>, token: string | undefined): Promise<Reply> {
    ask.signal?.throwIfAborted();
    const bounds = new AbortController();
    const off = within(this.limits.requestTime, ask.signal, (reason) => bounds.abort(reason));
    try {
      const response = await fetch(new URL(ask.path, this.base), {
        method: ask.method ?? "POST",
        headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers,
        body: ask.body,
        signal: bounds.signal,
      });
      const text = await response.text();
      if (!response.ok) throw refusal(response.status, response.headers.get("Retry-After"), text);
      return { body: text && parse(text), headers: response.headers };
    } catch (error) {
      if (error instanceof TidebaseError) throw error;
      ask.signal?.throwIfAborted();
      if (bounds.signal.aborted) throw late(error);
      throw new TidebaseError("unavailable", `No Tidebase answers at ${this.base.origin}.`, { cause: error });
    } finally {
      off();
    }
  }
}

/** The error that an answer of such a status tells; also of a refused socket. */
export function refusal(status: number, retry: string | null | undefined, text: string): TidebaseError {
  const details = { status, ...(retry && { retryAfter: Number(retry) || 1 }) };
  try {
    const written = JSON.parse(text);
    if (written.code) return told(written, details);
  } catch {
    // Not the server's own words, but those of something in front of it.
  }
  const code = status === 401 ? "unauthorized" : status === 429 || status > 500 ? "unavailable" : "internal";
  return new TidebaseError(code, `The answer was ${status}, and not the server's.`, details);
}

/** `crypto.randomUUID` is there only on secure origins; this is everywhere. */
function newKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
