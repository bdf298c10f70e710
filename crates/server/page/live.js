// The live face as one page sees it: what is wanted, what was said, and what each frame does to it.
//
// Survives connections: socket.js opens one, calls `receive` for each frame and `lost` when it is gone; the wishes
// stay and are said again after the next `hello`, with `since` where there is something to resume from. Plain data
// and transitions, no timers and no WebSocket; `edge` is told what to send, what changed, and when only a new
// connection helps.

import { Fault, Result } from "./result.js";
import { parseExact, writeExact } from "./value.js";
import { Failure } from "./words.js";

const PROTOCOL = 1;
const CLOSED_TOO_LARGE = 4413;
export const CLOSED_FORBIDDEN = 4403;

/**
 * States of a subscription: `waiting` for a connection, `reading` until its rows are whole, `live`, and `ended` by
 * an error, which is then in `failure`.
 */
export class Live {
  subscriptions = new Map();
  /** The revision last told on this connection (`hello`, `at`, delta `to`); null without one. */
  revision = null;
  #history = null;
  #requests = new Map();
  #next_id = 1;
  #edge;

  /** `edge`: `{wanted(), send(text), told(subscription or null, news), restart(error), noticed(words)}`. */
  constructor(edge) {
    this.#edge = edge;
  }

  get connected() {
    return this.revision !== null;
  }

  /** Keeps a SELECT live: a subscription whose `result` stays true until `close`. */
  keep(sql) {
    return this.#want({ kind: "query", sql, result: new Result(), behind: false });
  }

  /** Watches a topic; messages are told as news, and `missed` where some may be. */
  watch(topic) {
    return this.#want({ kind: "topic", topic, cursor: undefined });
  }

  close(subscription) {
    if (!this.subscriptions.delete(subscription.id)) return;
    const said = this.connected && subscription.state !== "ended";
    if (said) this.#send({ id: this.#newId(), action: "unsubscribe", sub: subscription.id });
  }

  /** Asks again for a subscription that an error ended. */
  retry(subscription) {
    this.subscriptions.delete(subscription.id);
    subscription.result?.forget();
    this.#want(subscription);
    this.#tell(subscription);
  }

  /** Resolves with the server's `result`; never repeated by itself, since it may have been carried out. */
  publish(topic, data) {
    return this.#request({ action: "publish", topic, data });
  }

  ping() {
    return this.#request({ action: "ping" });
  }

  /** One frame, as text. A frame that does not fit asks for a new connection and changes nothing. */
  receive(text) {
    try {
      const frame = parseExact(text);
      this.#on[frame.type]?.(frame);
    } catch (error) {
      this.#edge.restart(error);
    }
  }

  /** The connection is gone, with the close code if there was one. */
  lost(code) {
    this.revision = null;
    for (const { reject } of this.#requests.values()) reject(LOST);
    this.#requests.clear();
    for (const subscription of this.subscriptions.values()) {
      if (subscription.state === "ended") continue;
      const failure = failureOfClose(code, subscription);
      if (failure) this.#end(subscription, failure);
      else this.#wait(subscription);
    }
  }

  #want(subscription) {
    Object.assign(subscription, { id: this.#newId(), state: "waiting", failure: null, interrupted: false });
    this.subscriptions.set(subscription.id, subscription);
    if (this.connected) this.#say(subscription);
    else this.#edge.wanted();
    return subscription;
  }

  #say(subscription) {
    if (subscription.kind === "topic") this.#sayTopic(subscription);
    else this.#sayQuery(subscription);
  }

  #sayQuery(subscription) {
    const { id, sql, result } = subscription;
    Object.assign(subscription, { state: "reading", resumes: result.complete });
    this.#send({ id, action: "subscribe", sql, since: result.since() });
  }

  /** Without a message there is no cursor to go on from, and no way to know what an interruption hid. */
  #sayTopic(subscription) {
    const { id, topic, cursor, interrupted } = subscription;
    Object.assign(subscription, { state: "live", interrupted: false });
    this.#send({ id, action: "subscribe", topic, after: cursor });
    if (interrupted && cursor === undefined) this.#tell(subscription, { missed: true });
  }

  #wait(subscription) {
    subscription.interrupted ||= subscription.state === "live";
    subscription.state = "waiting";
    subscription.result?.dropIncoming();
    this.#tell(subscription);
  }

  #end(subscription, failure) {
    Object.assign(subscription, { state: "ended", failure });
    subscription.result?.forget();
    this.#tell(subscription);
  }

  #request(body) {
    if (!this.connected) return Promise.reject(NOT_CONNECTED);
    const id = this.#newId();
    return new Promise((resolve, reject) => {
      this.#requests.set(id, { resolve, reject });
      this.#send({ id, ...body });
    });
  }

  #send(body) {
    this.#edge.send(writeExact(body));
  }

  #tell(subscription, news = {}) {
    this.#edge.told(subscription, news);
  }

  #newId() {
    return this.#next_id++;
  }

  // What each type of frame does. Types this page did not ask for are none of its business.
  #on = {
    hello: (frame) => this.#hello(frame),
    rows: (frame) => this.#rows(frame),
    unchanged: (frame) => this.#unchanged(frame),
    delta: (frame) => this.#delta(frame),
    at: (frame) => this.#standAt(frame.revision, (subscription) => !subscription.behind),
    resync: (frame) => this.#resync(frame),
    message: (frame) => this.#message(frame),
    result: (frame) => this.#answer(frame.id)?.resolve(frame.result),
    error: (frame) => this.#error(frame),
  };

  #hello(frame) {
    if (frame.protocol !== PROTOCOL) this.#edge.noticed("This page is older than the server. Reload it.");
    this.#history = frame.history;
    this.revision = frame.revision;
    for (const subscription of this.subscriptions.values()) {
      if (subscription.state === "ended") continue;
      this.#say(subscription);
      this.#tell(subscription);
    }
  }

  #rows(frame) {
    const subscription = this.subscriptions.get(frame.id);
    if (!subscription?.result) return;
    subscription.resumes = false;
    const washes = this.#mending(subscription, () => subscription.result.takeRows(frame, this.#history));
    if (washes) this.#becomeLive(subscription, frame.revision);
    this.#tell(subscription, { washes: washes ?? undefined });
  }

  #unchanged(frame) {
    const subscription = this.subscriptions.get(frame.id);
    if (!subscription?.result) return;
    this.#becomeLive(subscription, frame.revision);
    this.#tell(subscription);
  }

  /** A whole frame or nothing: every entry is computed before the first is kept. */
  #delta(frame) {
    if (frame.from !== this.revision) throw new Fault(`A change starts at ${frame.from}, this page is at ${this.revision}.`);
    const staged = [];
    for (const entry of frame.queries) {
      const subscription = this.subscriptions.get(entry.id);
      if (!subscription?.result || subscription.state === "ended") continue;
      staged.push([subscription, this.#mending(subscription, () => stage(subscription, entry, frame.from))]);
    }
    for (const [subscription, after] of staged) {
      subscription.result.commit(after);
      this.#becomeLive(subscription, frame.to);
    }
    this.#standAt(frame.to, () => true);
    for (const [subscription, after] of staged) this.#tell(subscription, { washes: after.washes });
  }

  /** Moves the socket, and the live queries that `includes` names with it. */
  #standAt(revision, includes) {
    this.revision = revision;
    for (const subscription of this.subscriptions.values()) {
      if (!subscription.result || subscription.state !== "live" || !includes(subscription)) continue;
      subscription.result.revision = revision;
      subscription.behind = false;
    }
    this.#edge.told(null, {});
  }

  /**
   * Rows whose chunks took a while stand at an older revision than the socket; the next delta frame covers the
   * difference, named or not, and until then resuming must start from the older one.
   */
  #becomeLive(subscription, revision) {
    const { result } = subscription;
    Object.assign(result, { revision, history: this.#history });
    Object.assign(subscription, { state: "live", resumes: false, behind: revision !== this.revision });
  }

  #resync(frame) {
    const subscription = this.subscriptions.get(frame.id);
    if (!subscription) return;
    if (subscription.kind === "topic") {
      this.#tell(subscription, { missed: true });
      return;
    }
    subscription.result.forget();
    Object.assign(subscription, { state: "reading", resumes: false });
    this.#tell(subscription);
  }

  #message(frame) {
    for (const subscription of this.#watching(frame)) {
      if (frame.cursor !== undefined && frame.cursor === subscription.cursor) continue;
      subscription.cursor = frame.cursor;
      this.#tell(subscription, { message: { cursor: frame.cursor, data: frame.data } });
    }
  }

  #watching(frame) {
    if (frame.id !== undefined) return [this.subscriptions.get(frame.id)].filter(Boolean);
    return [...this.subscriptions.values()].filter((one) => one.kind === "topic" && one.topic === frame.topic);
  }

  #error(frame) {
    const failure = new Failure(frame.code, frame.error);
    const subscription = this.subscriptions.get(frame.id);
    if (subscription) this.#end(subscription, failure);
    else if (frame.id === undefined) this.#edge.noticed(`The server could not read a message: ${frame.error}`);
    else this.#answer(frame.id)?.reject(failure);
  }

  #answer(id) {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    return request;
  }

  /** A query whose frames do not fit is read again whole on the next connection. */
  #mending(subscription, take) {
    try {
      return take();
    } catch (error) {
      subscription.result.forget();
      throw error;
    }
  }
}

/** `since` in an entry says from which older revision it starts: on resuming, or after rows in many chunks. */
function stage(subscription, entry, from) {
  const { result, state, resumes, behind } = subscription;
  if (state === "reading" && !resumes) throw new Fault("A change came before the rows were whole.");
  const start = entry.since ?? (behind ? result.revision : from);
  if (start !== result.revision) throw new Fault(`A change starts at ${start}, its rows are at ${result.revision}.`);
  return result.afterDelta(entry);
}

function failureOfClose(code, subscription) {
  if (code === CLOSED_FORBIDDEN) return new Failure("forbidden", "The server closed the connection: forbidden.");
  const unanswered = subscription.state === "reading";
  if (code === CLOSED_TOO_LARGE && unanswered) {
    return new Failure("too_large", "The server closed the connection: a message was too large.");
  }
  return null;
}

const NOT_CONNECTED = new Failure("unavailable", "There is no connection now, so nothing was sent.");
const LOST = new Failure(
  "unavailable",
  "The connection closed before the server answered: it may or may not have been carried out.",
);
