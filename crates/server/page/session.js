// Who is signed in, and calls over HTTP in their name.
//
// The token lives in this tab's sessionStorage and in the Authorization header, nowhere else: never in an address,
// never in the page. Live frames are socket.js's business.

import { parseExact, writeExact } from "./value.js";
import { Failure, NO_ANSWER } from "./words.js";

const KEY = "tidebase.token";

export class Session {
  #token = stored();
  /** The token the server took; while signing in, #token is one it has not judged yet. */
  #kept = this.#token;
  #expired;

  /** `expired(failure)` is called when the server no longer takes the token. */
  constructor(expired) {
    this.#expired = expired;
  }

  get signedIn() {
    return this.#kept !== null;
  }

  /** Tries `token` with `check`, a call to make with it; it is kept only when that succeeds. */
  async signIn(token, check) {
    this.#token = token;
    try {
      const answer = await check();
      this.#keep(token);
      return answer;
    } catch (failure) {
      this.#token = this.#kept;
      throw failure;
    }
  }

  signOut() {
    this.#keep(null);
  }

  #keep(token) {
    this.#token = this.#kept = token;
    store(token);
  }

  /** Rows as objects. */
  async query(sql) {
    return (await this.#post("query", { sql })).result;
  }

  /** `{result: {columns, rows, meta}, revision, elapsed_milliseconds}`. */
  queryRaw(sql, signal) {
    return this.#post("query/raw", { sql }, signal);
  }

  async ticket() {
    return (await this.#post("auth/ticket", {})).result.ticket;
  }

  async #post(path, body, signal) {
    const token = this.#token;
    const start = performance.now();
    const answer = await send(path, body, token, signal);
    const text = await read(answer);
    if (answer.ok) {
      const revision = answer.headers.get("Tidebase-Revision");
      return { ...parseExact(text), revision, elapsed_milliseconds: performance.now() - start };
    }
    const failure = failureOf(answer.status, text);
    if (failure.code === "unauthorized" && token === this.#kept) {
      this.signOut();
      this.#expired(failure);
    }
    throw failure;
  }
}

async function send(path, body, token, signal) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token}` };
  try {
    return await fetch(path, { method: "POST", headers, body: writeExact(body), signal, cache: "no-store" });
  } catch (error) {
    throw error.name === "AbortError" ? error : NO_ANSWER;
  }
}

async function read(answer) {
  try {
    return await answer.text();
  } catch (error) {
    throw error.name === "AbortError" ? error : NO_ANSWER;
  }
}

function failureOf(status, text) {
  try {
    const { error, code, statement } = parseExact(text);
    if (typeof error === "string") return new Failure(code ?? codeOf(status), error, { statement });
  } catch {
    // Not the server's envelope: a proxy in between, most likely. Its status is all there is to tell.
  }
  return new Failure(codeOf(status), `The answer was HTTP ${status}, without a message.`);
}

function codeOf(status) {
  if (status === 401) return "unauthorized";
  return status >= 500 ? "unavailable" : "invalid";
}

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function store(token) {
  try {
    if (token === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, token);
  } catch {
    // Storage is switched off: the token then lives as long as this page.
  }
}
