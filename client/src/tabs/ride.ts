// One page's use of the shared socket, which is a socket to the client's loop. Who carries is asked again and again whether they are
// there, for a page that is frozen, or was closed by a phone, says nothing of it.
//
// Where the carrying page finds that two cannot share, it goes on with a socket of its own: another caller's, say.

import { openSocket } from "#socket";
import { TidebaseError } from "../error.js";
import type { Http } from "../http.js";
import type { Socket, SocketEvents } from "../live/socket.js";
import type { Down, Up, What } from "./words.js";

/** Between two questions, in milliseconds. */
const ASK_EVERY = 1500;
/** So many without an answer are silence: 3 to 4.5 seconds. */
const QUESTIONS_MAX = 2;

/** What a ride asks of its page. */
export interface Page {
  /** To whoever carries, this page or another. */
  up(said: Up): void;
  /** Nobody has answered for a while. */
  silent(): void;
  /** It was on the shared socket, and cannot be again. */
  apart(): void;
}

export class Ride implements Socket {
  #http: Http;
  #events: SocketEvents;
  #host: Page;
  /** In place of the shared one. */
  #own: Socket | undefined;
  /** The page that carries it, once that one has answered. */
  #carrier: string | undefined;
  #hasHeard = false;
  #isOver = false;
  #questions = 0;
  #askedAt = Date.now();
  #asking: ReturnType<typeof setInterval>;

  constructor(
    readonly name: string,
    readonly page: string,
    readonly token: string | undefined,
    http: Http,
    events: SocketEvents,
    host: Page,
  ) {
    this.#http = http;
    this.#events = events;
    this.#host = host;
    this.#asking = setInterval(() => this.#ask(), ASK_EVERY);
  }

  /** Says to whoever carries now that it is here. */
  join(): void {
    const { page, token } = this;
    this.#up({ join: { page, token } });
  }

  send(text: string): void {
    if (this.#own) this.#own.send(text);
    else this.#up({ say: text });
  }

  close(): void {
    this.#own?.close();
    this.#end();
  }

  hear(by: string, told: Down): void {
    if (this.#isOver || by !== (this.#carrier ??= by)) return;
    this.#questions = 0;
    if ("heard" in told) {
      this.#hasHeard = true;
      this.#events.heard(told.heard);
    } else if ("lost" in told) {
      this.lost(...told.lost);
    } else if ("apart" in told) {
      if (!this.#hasHeard) return this.#goAlone();
      this.#host.apart();
      this.lost();
    }
  }

  /** The carrier is another one now. A ride that was not under way yet goes with that one. */
  changed(carrier?: string): void {
    if (this.#hasHeard) {
      if (carrier !== this.#carrier) this.lost();
      return;
    }
    this.#carrier = undefined;
    this.join();
  }

  lost(code = 0, reason = "", error?: unknown): void {
    if (this.#isOver || this.#own) return;
    this.#end();
    const { code: what, message } = (error ?? {}) as TidebaseError;
    const isWords = what && !(error instanceof TidebaseError);
    this.#events.lost(code, reason, isWords ? new TidebaseError(what, message) : error);
  }

  #up(what: What): void {
    if (!this.#isOver && !this.#own) this.#host.up({ ride: this.name, to: this.#carrier, ...what });
  }

  /** Whoever carries hears it too: they may know nothing of what has happened. */
  #end(): void {
    this.#up({ leave: true });
    this.#isOver = true;
    clearInterval(this.#asking);
  }

  #goAlone(): void {
    clearInterval(this.#asking);
    this.#own = openSocket(this.#http, this.token, this.#events);
  }

  #ask(): void {
    const now = Date.now();
    // This page was itself asleep, and may have an answer waiting.
    if (now - this.#askedAt > 2 * ASK_EVERY) this.#questions = 0;
    this.#askedAt = now;
    if (this.#questions++ < QUESTIONS_MAX) return this.#up({ ask: true });
    this.#questions = 0;
    this.#host.silent();
  }
}
