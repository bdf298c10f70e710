// The page that has the socket, for all that ride on it. Frames go on as they came: ids are different in all pages, so a page passes
// over what is another's. What each may hear, and what ends when it goes, is known here by the ids.
//
// A page is let on by the server: with its token on this socket, which is answered `conflict` where it is somebody else's. That
// answer also tells that the socket is alive, and comes behind whatever the page's ride before was still to be told.

import { openSocket } from "#socket";
import { Http } from "../http.js";
import type { Socket } from "../live/socket.js";
import { newId } from "../live/wanted.js";
import { Token } from "../token.js";
import { write } from "../value.js";
import type { Down, Lost, Up } from "./words.js";

/** Told to a page that has shown no sign of life meanwhile; as much may wait for a socket on the server. */
const UNSEEN_MAX = 32 << 20;
const SIGN_IN_AGAIN = 4401;
/** Most frames are of one id, and need not be read further. */
const HEAD = /^\{"id":(\d+),"type":"(\w+)"/;

interface Rider {
  readonly ride: string;
  readonly page: string;
  readonly token: string | undefined;
  /** Has it been greeted? */
  isOn: boolean;
  /** The request by which it is let on, and how much had been heard by then. */
  asked?: { id: number; heard: number };
  /** Characters. */
  unseen: number;
}

/** What is under way under an id. */
interface Owned {
  readonly rider: Rider;
  readonly isSubscription: boolean;
  /** In which it shows somebody. */
  readonly topic?: string;
}

export class Carrier {
  #http: Http;
  #down: (ride: string, told: Down) => void;
  #watch: (page: string, gone: () => void) => void;
  #socket: Socket | undefined;
  #hello: { revision: number } | undefined;
  /** Until the server greets. Those that wait come and go, so none of them can tell how long it has taken. */
  #opening: ReturnType<typeof setTimeout> | undefined;
  /** Whose token the socket has. */
  #bearer: Rider | undefined;
  #heards = 0;
  #riders = new Map<string, Rider>();
  #owned = new Map<number, Owned>();
  #watched = new Set<string>();
  /** Not of this caller; asked for too often, the server answers no more. */
  #strangers = new Set<string | undefined>();

  /** @param watch calls back when the page is no more */
  constructor(http: Http, down: (ride: string, told: Down) => void, watch: (page: string, gone: () => void) => void) {
    this.#http = http;
    this.#down = down;
    this.#watch = watch;
  }

  hear(said: Up): void {
    const rider = this.#riders.get(said.ride);
    if ("join" in said) {
      if (!rider) this.#join({ ...said.join, ride: said.ride, isOn: false, unseen: 0 });
    } else if (!rider) {
      // Of a carrier before, or given up here; it should begin anew.
      if (!("leave" in said)) this.#down(said.ride, { lost: [0, ""] });
    } else {
      rider.unseen = 0;
      if ("say" in said) rider.isOn && this.#say(rider, said.say);
      else if ("leave" in said) this.#leave(rider);
      else this.#tell(rider, { isThere: true });
    }
  }

  close(): void {
    this.#riders.clear();
    this.#owned.clear();
    this.#socket?.close();
    clearTimeout(this.#opening);
    this.#socket = this.#hello = undefined;
  }

  #join(rider: Rider): void {
    const { ride, page, token } = rider;
    this.#riders.set(ride, rider);
    if (!this.#watched.has(page)) {
      this.#watched.add(page);
      this.#watch(page, () => {
        for (const rider of this.#riders.values()) if (rider.page === page) this.#leave(rider);
        this.#watched.delete(page);
      });
    }
    if (!this.#socket) this.#open(rider);
    else if (this.#strangers.has(token)) this.#part(rider);
    else if (this.#hello) this.#ask(rider);
  }

  /** With the token of whoever comes first. */
  #open(rider: Rider): void {
    this.#bearer = rider;
    this.#strangers.clear();
    const { base, limits } = this.#http;
    const isCurrent = () => socket === this.#socket;
    const socket: Socket = openSocket(new Http(base, new Token(rider.token), limits), rider.token, {
      heard: (text) => isCurrent() && this.#heard(text),
      lost: (...how) => isCurrent() && this.#lost(how),
    });
    this.#socket = socket;
    this.#opening = setTimeout(() => this.#lost([0, ""]), limits.answerTime);
  }

  #ask(rider: Rider): void {
    const id = newId();
    rider.asked = { id, heard: this.#heards };
    this.#owned.set(id, { rider, isSubscription: false });
    this.#socket!.send(write({ id, action: "auth", token: rider.token ?? "" }));
  }

  #greet(rider: Rider): void {
    rider.isOn = true;
    this.#tell(rider, { heard: write(this.#hello) });
  }

  #say(rider: Rider, text: string): void {
    const { id, action, sub, topic, presence, queries = [] } = JSON.parse(text);
    const isSubscription = action === "subscribe";
    const shows = presence === undefined ? undefined : topic;
    const owner = this.#owned.get(id)?.rider ?? rider;
    // The server tells who is there by their sockets.
    const isShown = shows !== undefined && [...this.#owned.values()].some((other) => other.topic === shows);
    if (owner !== rider || isShown) return this.#part(rider);
    if (action === "unsubscribe") this.#owned.delete(sub);
    if (action === "auth") this.#bearer = rider;
    this.#owned.set(id, { rider, isSubscription, topic: shows });
    for (const [id] of queries) this.#owned.set(id, { rider, isSubscription: true });
    this.#socket!.send(text);
  }

  #leave(rider: Rider): void {
    this.#riders.delete(rider.ride);
    for (const [id, { rider: owner, isSubscription }] of this.#owned) {
      if (owner !== rider) continue;
      this.#owned.delete(id);
      if (isSubscription) this.#socket!.send(write({ id: newId(), action: "unsubscribe", sub: id }));
    }
    // It was not let on, and nothing else was heard meanwhile: the socket is dead.
    if (this.#riders.size === 0 || (!rider.isOn && rider.asked?.heard === this.#heards)) this.#lost([0, ""]);
  }

  #part(rider: Rider): void {
    this.#tell(rider, { apart: true });
    this.#leave(rider);
  }

  #tell(rider: Rider, told: Down): void {
    this.#down(rider.ride, told);
    if ("heard" in told && (rider.unseen += told.heard.length) > UNSEEN_MAX) {
      this.#down(rider.ride, { lost: [0, ""] });
      this.#leave(rider);
    }
  }

  #heard(text: string): void {
    this.#heards++;
    try {
      const [, id, type] = HEAD.exec(text) ?? [];
      this.#pass(text, id ? { id: Number(id), type } : JSON.parse(text));
    } catch {
      this.#lost([0, ""]);
    }
  }

  #pass(text: string, frame: any): void {
    const { id, type } = frame;
    if (!this.#hello) {
      clearTimeout(this.#opening);
      this.#hello = frame;
      for (const rider of this.#riders.values()) {
        if (rider.token === this.#bearer!.token) this.#greet(rider);
        else if (!rider.asked) this.#ask(rider);
      }
    } else if (id === undefined) {
      this.#passAll(text, frame);
    } else {
      const owned = this.#owned.get(id);
      if (!owned) return;
      const { rider, isSubscription } = owned;
      if (type === "result" || type === "error") this.#owned.delete(id);
      if (rider.asked?.id === id) return this.#letOn(rider, type);
      const isFull = isSubscription && type === "error" && JSON.parse(text).code === "too_many" && this.#riders.size > 1;
      if (isFull) this.#part(rider);
      else this.#tell(rider, { heard: text });
    }
  }

  #letOn(rider: Rider, type: string): void {
    if (type === "result") {
      this.#bearer = rider;
      return this.#greet(rider);
    }
    this.#strangers.add(rider.token);
    this.#part(rider);
  }

  /** What is of no one id: revisions are for all, rows for those who have asked. */
  #passAll(text: string, frame: any): void {
    const { type, to, revision, queries, ids: named } = frame;
    const mine: number[] | undefined = named ?? queries?.map((entry: any) => entry.id);
    if (type === "delta" || type === "at") this.#hello!.revision = to ?? revision;
    const owners = mine && new Set(mine.map((id) => this.#owned.get(id)?.rider));
    const passedOver = type === "delta" && write({ ...frame, queries: [] });
    for (const rider of this.#riders.values()) {
      if (!rider.isOn) continue;
      if (!owners || owners.has(rider)) this.#tell(rider, { heard: text });
      else if (passedOver) this.#tell(rider, { heard: passedOver });
    }
  }

  #lost(how: Lost): void {
    const riders = [...this.#riders.values()];
    this.close();
    const [code, , error] = how;
    const isOfToken = code === SIGN_IN_AGAIN || ["unauthorized", "forbidden"].includes((error as any)?.code);
    // A token that is good no more is that page's alone.
    for (const rider of riders) this.#down(rider.ride, { lost: isOfToken && rider !== this.#bearer ? [0, ""] : how });
  }
}
