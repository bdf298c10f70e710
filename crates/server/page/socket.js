// The connection under live.js: a ticket, a WebSocket, and another one when it is lost.
//
// Opened by the first wish, then held. A browser cannot send headers with a WebSocket, so a single-use ticket
// stands in for the token. What is said over it is decided in live.js.

import { CLOSED_FORBIDDEN } from "./live.js";

const HELLO_SECONDS_MAX = 10;
const SILENCE_SECONDS_BEFORE_PING = 30;
const SILENCE_SECONDS_MAX = 45;
const STABLE_SECONDS = 10;
const RETRY_MILLISECONDS_MIN = 250;
const RETRY_MILLISECONDS_MAX = 15_000;
const CLOSED_RESTARTING = 1012;

/** Doubling pauses, each between half and all of its length, so that many pages do not come back at once. */
export function pause_milliseconds(attempt, random = Math.random()) {
  const whole = Math.min(RETRY_MILLISECONDS_MAX, RETRY_MILLISECONDS_MIN * 2 ** Math.min(attempt, 10));
  return Math.round(whole * (0.5 + random / 2));
}

/** A restarting server may say in the close reason how long it will take: "2 s", "500 ms", "2". */
export function hinted_milliseconds(reason) {
  const [, number, unit] = /(\d+(?:\.\d+)?)\s*(ms|s)?/.exec(reason ?? "") ?? [];
  if (number === undefined) return 0;
  return Math.min(RETRY_MILLISECONDS_MAX, Number(number) * (unit === "ms" ? 1 : 1000));
}

export class Socket {
  /** `closed`, `connecting`, `open`, or `waiting` for the next try. */
  state = "closed";
  #live;
  #ticket;
  #changed;
  #socket = null;
  #attempt = 0;
  #timer;
  #watchdog;
  #opened_at = 0;
  #heard_at = 0;
  #pinged = false;

  /** `ticket()` answers a ticket or throws; `changed(state, failure)` hears of every state. */
  constructor(live, ticket, changed) {
    this.#live = live;
    this.#ticket = ticket;
    this.#changed = changed;
  }

  /** Opens a connection unless there is one or a try is under way. */
  open() {
    if (this.state === "closed") this.#connect();
  }

  /** Skips the pause before the next try. */
  tryNow() {
    if (this.state !== "waiting") return;
    this.#attempt = 0;
    this.#connect();
  }

  send(text) {
    this.#socket?.send(text);
  }

  /** Drops this connection for a new one, after a pause: the frames on it do not fit. */
  restart() {
    this.#drop(undefined);
    this.#retry(0);
  }

  async #connect() {
    clearTimeout(this.#timer);
    this.#become("connecting");
    let ticket;
    try {
      ticket = await this.#ticket();
    } catch (failure) {
      if (failure.code === "unauthorized") this.#become("closed");
      else this.#retry(0, failure);
      return;
    }
    this.#listen(new WebSocket(address(ticket)));
  }

  #listen(socket) {
    this.#socket = socket;
    this.#opened_at = this.#heard_at = Date.now();
    this.#watchdog = setInterval(() => this.#watch(), 5_000);
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#hear(event.data);
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#closed(event);
    };
  }

  #hear(text) {
    this.#heard_at = Date.now();
    this.#live.receive(text);
    if (this.#live.connected && this.state === "connecting") this.#become("open");
  }

  #closed(event) {
    this.#drop(event.code);
    if (event.code === CLOSED_FORBIDDEN) this.#become("closed");
    else this.#retry(hinted_milliseconds(event.code === CLOSED_RESTARTING ? event.reason : ""));
  }

  #drop(code) {
    const socket = this.#socket;
    this.#socket = null;
    clearInterval(this.#watchdog);
    socket?.close();
    if (Date.now() - this.#opened_at > STABLE_SECONDS * 1000 && this.state === "open") this.#attempt = 0;
    this.#live.lost(code);
  }

  #retry(at_least_milliseconds, failure) {
    clearTimeout(this.#timer);
    const pause = Math.max(at_least_milliseconds, pause_milliseconds(this.#attempt));
    this.#attempt += 1;
    this.#become("waiting", failure);
    this.#timer = setTimeout(() => this.#connect(), pause);
  }

  /** The server says something every 15 s; a page cannot see its pings, so silence is judged by frames. */
  #watch() {
    const silent_seconds = (Date.now() - this.#heard_at) / 1000;
    if (!this.#live.connected) {
      if (silent_seconds > HELLO_SECONDS_MAX) this.restart();
    } else if (silent_seconds > SILENCE_SECONDS_MAX && this.#pinged) {
      this.restart();
    } else if (silent_seconds > SILENCE_SECONDS_BEFORE_PING) {
      this.#ping();
    }
  }

  /** After a laptop slept, silence is long but the connection may live: it is asked before it is given up. */
  async #ping() {
    if (this.#pinged) return;
    this.#pinged = true;
    try {
      await this.#live.ping();
    } catch {
      // An error frame is an answer too; a lost connection is dealt with where it is lost.
    } finally {
      this.#pinged = false;
    }
  }

  #become(state, failure) {
    this.state = state;
    this.#changed(state, failure);
  }
}

function address(ticket) {
  const url = new URL("ws", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  url.search = new URLSearchParams({ token: ticket }).toString();
  return url;
}
