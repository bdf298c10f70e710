// The one place where live things happen: each event, of the application, the socket or the clock, is acted on here.
//
// What is wanted (wanted.ts) outlives sockets; what was said (said.ts) goes with one; what waits for an answer is in
// in_flight.ts; what frames do is in receive.ts; the network is behind `#socket`.

import { openSocket } from "#socket";
import { onAbort, within } from "../abort.js";
import { askedPause, pause } from "../backoff.js";
import { isBusy, late, TidebaseError } from "../error.js";
import type { Http } from "../http.js";
import { FRAME_BYTES_MAX } from "../limits.js";
import { parse, write } from "../value.js";
import { Connection } from "./connection.js";
import type { Frame, Resumed } from "./frame.js";
import { InFlight } from "./in_flight.js";
import { LiveQuery, type Question } from "./query.js";
import { hello, receive } from "./receive.js";
import type { Said } from "./said.js";
import type { Socket, SocketEvents } from "./socket.js";
import { Timers } from "./timers.js";
import { newId, Wanted } from "./wanted.js";
import type { Listener, Tell, Wish } from "./wish.js";

/** Ends a subscription. May be called again, and then does nothing. */
export type Stop = () => void;

type Timer = "again" | "silence" | "answer" | "idle" | "renew" | "subscribe";

/** Besides what the socket tells: `heard` and `lost`. */
type Event = "wanted" | Timer;

type How = Parameters<SocketEvents["lost"]>;

const SIGN_IN_AGAIN = 4401;

export class Loop {
  readonly connection = new Connection(() => this.#on("again"));
  /** How a socket is opened; pages that share one have their own way. */
  openSocket = openSocket;
  #http: Http;
  #wanted = new Wanted();
  #inFlight = new InFlight();
  #said: Said | undefined;
  #socket: Socket | undefined;
  #token: string | undefined;
  /** Of the socket that counts. */
  #turn = 0;
  #attempt = 0;
  #openedAt = Infinity;
  #wasRefused = false;
  #timers = new Timers<Timer>((timer) => this.#on(timer));

  constructor(http: Http) {
    this.#http = http;
    globalThis.addEventListener?.("online", this.connection.tryNow);
  }

  /** How a live query is made; the offline part has its own way. */
  query<Row>(question: Question): LiveQuery<Row> {
    return new LiveQuery(question);
  }

  /** Adds a listener to the wish of this identity, which is made if there is none. */
  want<Told>(identity: string, make: () => Wish<Told>, listener: Listener<Told>, signal?: AbortSignal): Stop {
    this.#refuseIfClosed();
    if (signal?.aborted) return () => {};
    const shared: Wish<Told> | undefined = this.#wanted.get(identity);
    const wish = shared ?? make();
    wish.listeners.add(listener);
    const stop = () => {
      off();
      this.#leave(wish, listener);
    };
    const off = onAbort(signal, stop);
    if (shared) greet(wish, listener);
    else {
      this.#wanted.add(wish);
      if (this.#said) this.#say(wish, this.#said);
    }
    this.#on("wanted");
    return stop;
  }

  /** What the listeners to this were told last. */
  latest(identity: string): unknown {
    return this.#wanted.get(identity)?.latest;
  }

  /** A request on the socket, opened for it if need be. Not sent twice. */
  async request(body: object, signal?: AbortSignal): Promise<unknown> {
    this.#refuseIfClosed();
    signal?.throwIfAborted();
    const { inFlight, requestTime } = this.#http.limits;
    if (this.#inFlight.size >= inFlight) throw new TidebaseError("too_many", `${inFlight} requests are in flight.`);
    const id = newId();
    const unsent = sized(write({ id, ...body }));
    const giveUp = (reason = late(this.connection.error)) => this.#inFlight.take(id)?.reject(reason);
    const off = within(requestTime, signal, giveUp as (reason?: unknown) => void);
    try {
      return await new Promise((resolve, reject) => {
        this.#inFlight.set(id, { resolve, reject, unsent });
        this.#sendWaiting();
        this.#on("wanted");
      });
    } finally {
      off();
      this.#restIfIdle();
    }
  }

  /** Somebody else is here: what was told and said, and what waits to be, was of whoever it was before. */
  replace(): void {
    if (!/open|ing/.test(this.connection.state)) return;
    this.#restart();
    this.#inFlight.end(over());
  }

  /** The next token of the same caller, on the same socket. If it is another's after all, a new one is opened. */
  async #renew(): Promise<void> {
    const said = this.#said;
    let token;
    try {
      token = await this.#http.token.get();
    } catch {
      // There is none to be had now. The server says when it takes the old one no more.
      return;
    }
    if (this.#said !== said) return;
    try {
      await this.request({ action: "auth", token });
      this.#token = token;
      this.#renewInTime();
    } catch {
      if (this.#said === said) this.#restart();
    }
  }

  #restart(): void {
    for (const wish of this.#wanted.values()) wish.forget();
    // Where nothing has been said yet, nothing is lost.
    if (this.#said) this.#drop();
    void this.#open();
  }

  close(): void {
    globalThis.removeEventListener?.("online", this.connection.tryNow);
    this.#drop();
    this.connection.become("closed");
    this.#endAll(closed());
  }

  #on(event: Event): void {
    const { state } = this.connection;
    switch (event) {
      case "wanted":
        this.#timers.clear("idle");
        if (state === "idle") void this.#open();
        break;
      case "again":
        // Waiting or connecting: that may be for the caller before.
        if (state.endsWith("ing")) void this.#open();
        break;
      case "silence":
        this.#timers.set("answer", this.#http.limits.answerTime);
        this.#command({ action: "ping" });
        break;
      case "answer":
        this.#lost(0, "", late());
        break;
      case "idle":
        this.#drop();
        this.connection.become("idle");
        break;
      case "renew":
        void this.#renew();
        break;
      case "subscribe":
        for (const wish of this.#wanted.values()) if (!this.#said!.wishes.has(wish.id)) this.#say(wish, this.#said!);
    }
  }

  async #open(): Promise<void> {
    // Events of a socket that has been given up are nobody's.
    const turn = ++this.#turn;
    this.#socket?.close();
    const isCurrent = () => turn === this.#turn;
    const lost = (...how: How) => isCurrent() && this.#lost(...how);
    this.connection.become("connecting");
    this.#timers.set("answer", this.#http.limits.answerTime);
    try {
      const token = await this.#http.token.get();
      if (!isCurrent()) return;
      this.#token = token;
      this.#socket = this.openSocket(this.#http, token, { heard: (text) => isCurrent() && this.#heard(text), lost });
    } catch (error) {
      lost(0, "", error);
    }
  }

  #heard(text: string): void {
    this.#timers.clear("answer");
    this.#timers.set("silence", this.#http.limits.silenceTime);
    let tells: Tell[] = [];
    try {
      const frame = parse(text) as Frame;
      if (this.#said) tells = receive(frame, this.#said, this.#inFlight, this.#refused);
      else this.#greeted(hello(frame));
    } catch (error) {
      // Not only a Fault: whatever cannot be read is one.
      return this.#lost(0, "", error);
    }
    for (const tell of tells) tell();
  }

  /** The first frame has come: everything wanted is said again, with the place to go on from. */
  #greeted(said: Said): void {
    this.#said = said;
    this.#wasRefused = false;
    this.#openedAt = Date.now();
    this.connection.become("open");
    this.#resume(said);
    this.#on("subscribe");
    this.#sendWaiting();
    this.#renewInTime();
    this.#restIfIdle();
  }

  /** Queries that stand at one place go on by their tags, in one frame. What the server does not know of them is said whole. */
  #resume(said: Said): void {
    const { history } = said;
    const wishes = [...this.#wanted.values()] as LiveQuery[];
    const revision = Math.max(...wishes.map(({ since }) => since?.revision ?? 0));
    const resumed = wishes.filter(({ since }) => since?.history === history && since.revision === revision);
    if (!resumed[1]) return;
    for (const wish of resumed) said.wishes.set(wish.id, wish);
    const queries = resumed.map(({ id, result }) => [id, result!.tag]);
    // An error names none: then nothing was begun.
    const sayWhole = ({ unknown = resumed.map(({ id }) => id) }: Partial<Resumed>) => {
      for (const id of unknown) said.wishes.delete(id);
      if (this.#said === said) this.#on("subscribe");
      this.#restIfIdle();
    };
    const id = this.#command({ action: "resume", since: { history, revision }, queries });
    this.#inFlight.set(id, { resolve: sayWhole, reject: sayWhole });
  }

  #say(wish: Wish, said: Said): void {
    try {
      const frame = sized(write({ id: wish.id, action: "subscribe", ...wish.ask() }));
      said.wishes.set(wish.id, wish);
      this.#socket!.send(frame);
      wish.said()?.();
    } catch (error) {
      this.#end(wish, error as TidebaseError);
    }
  }

  #refused = (wish: Wish, error: TidebaseError): void => {
    const { limits } = this.#http;
    if (!isBusy(error) || ++wish.refusals >= limits.subscribeAttempts) return this.#end(wish, error);
    wish.lost();
    this.#timers.set("subscribe", pause(wish.refusals, limits, limits.pauseMin));
  };

  /** After a socket is lost: another one, now or later, or none if the server would refuse it. */
  #lost(...[code, reason, error]: How): void {
    this.#drop();
    const why = refusalOf(code, error);
    if (why?.code === "unauthorized" && this.#http.token.canRenew && !this.#wasRefused) {
      this.#wasRefused = true;
      this.#http.token.refuse(this.#token);
    } else if (why) {
      this.connection.become("idle", why);
      return this.#endAll(why);
    }
    if (this.#isUnwanted) return this.connection.become("idle");
    this.connection.become("waiting", error);
    if (Date.now() - this.#openedAt > this.#http.limits.stableTime) this.#attempt = 0;
    this.#openedAt = Infinity;
    this.#timers.set("again", pause(this.#attempt++, this.#http.limits, askedPause(reason)));
  }

  #drop(): void {
    this.#turn++;
    this.#socket?.close();
    this.#socket = this.#said = undefined;
    this.#timers.clearAll();
    for (const wish of this.#wanted.values()) wish.lost();
    this.#inFlight.lost();
  }

  #leave(wish: Wish, listener: Listener<any>): void {
    if (!wish.listeners.delete(listener) || wish.listeners.size > 0 || !this.#wanted.remove(wish)) return;
    if (this.#said?.wishes.delete(wish.id)) {
      this.#command({ action: "unsubscribe", sub: wish.id });
    }
    this.#restIfIdle();
  }

  #end(wish: Wish, error: TidebaseError): void {
    this.#said?.wishes.delete(wish.id);
    if (this.#wanted.remove(wish)) wish.end(error)();
    this.#restIfIdle();
  }

  #endAll(error: TidebaseError): void {
    this.#inFlight.end(error);
    for (const wish of [...this.#wanted.values()]) this.#end(wish, error);
  }

  /** Sends what nothing waits for, or gives the id under which the answer comes. */
  #command(body: object): number {
    const id = newId();
    this.#socket!.send(write({ id, ...body }));
    return id;
  }

  #sendWaiting(): void {
    if (this.#said) for (const frame of this.#inFlight.send()) this.#socket!.send(frame);
  }

  #renewInTime(): void {
    if (this.#http.token.canRenew) this.#timers.set("renew", this.#http.token.renewIn);
  }

  get #isUnwanted(): boolean {
    return this.#wanted.size + this.#inFlight.size === 0;
  }

  #restIfIdle(): void {
    if (this.#isUnwanted && this.#socket) this.#timers.set("idle", this.#http.limits.idleTime);
  }

  #refuseIfClosed(): void {
    if (this.connection.state === "closed") throw closed();
  }
}

/** A listener who comes late is told what the others know, but not before its caller has got its Stop. */
function greet<Told>(wish: Wish<Told>, listener: Listener<Told>): void {
  const { latest } = wish;
  queueMicrotask(() => {
    if (latest && wish.latest === latest && wish.listeners.has(listener)) listener.next(latest);
  });
}

function refusalOf(code: number, error: unknown): TidebaseError | undefined {
  if (code === SIGN_IN_AGAIN) return over();
  const known = error as TidebaseError | undefined;
  return /unauthorized|forbidden|unsupported/.test(known?.code as string) ? known : undefined;
}

const over = () => new TidebaseError("unauthorized", "The token is good no more.");
const closed = () => new TidebaseError("closed", "The client was closed.");

function sized(frame: string): string {
  if (new Blob([frame]).size > FRAME_BYTES_MAX) throw new TidebaseError("too_large", "A frame may have 1 MiB.");
  return frame;
}
