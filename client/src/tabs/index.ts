// One socket for all pages of a browser: `tabs(db)`. An entry point of its own, `tidebase/tabs`; `tidebase/offline` has it in it.
//
//   loop ─▶ ride ─▶ carrier ─▶ server        in the page that holds the lock
//   loop ─▶ ride ─▶ BroadcastChannel ─▶ …    in the others
//
// Who holds a Web Lock carries. It goes to the next page when that one is closed, and is taken from one that says nothing. Without
// locks or channels each page has a socket of its own, as if this were not here.

import { openSocket } from "#socket";
import type { Core } from "../core.js";
import { ids } from "../live/wanted.js";
import { Carrier } from "./carrier.js";
import { Channel } from "./channel.js";
import { Ride } from "./ride.js";
import type { Changed, Down, Told, Up } from "./words.js";

const chance = () => crypto.getRandomValues(new Uint32Array(1))[0]!;

// All pages name what they ask on one socket, so each begins somewhere else. Should two meet, the second has a socket of its own.
ids.last = chance() * 2 ** 16;

/** One socket for all pages of a browser: what `tabs(db, user?)` gives. */
export class Tabs {
  #db: Core;
  #name: string;
  #locks: LockManager | undefined;
  #lead: (leads: boolean) => void;
  #page = `${chance()}-${chance()}`;
  #rides = 0;
  #ride: Ride | undefined;
  #carrier: Carrier | undefined;
  /** What is said to the carrier, and that there is another one. */
  #all: Channel<Up | Changed> | undefined;
  /** What is said to this page. */
  #own: Channel<Told> | undefined;
  /** From the carrier to each page. */
  #downs = new Map<string, Channel<Told>>();
  #isApart = false;
  /** Once the others can see that this page is there: it has a lock for as long as it is. */
  #isSeen: Promise<void> | undefined;
  #over = new AbortController();
  #untilOver = new Promise<void>((resolve) => this.#over.signal.addEventListener("abort", () => resolve()));
  #off = () => {};

  /** @param lead called when this page becomes the one that does what one does for all, and when another has */
  constructor(db: Core, name: string, lead: (leads: boolean) => void = () => {}) {
    this.#db = db;
    this.#name = `${name} tabs`;
    this.#lead = lead;
    const locks = (this.#locks = globalThis.navigator?.locks);
    if (!locks || typeof BroadcastChannel !== "function") {
      lead(true);
      return;
    }
    this.#all = new Channel(this.#name, (said) => this.#heard(said));
    this.#own = new Channel(`${this.#name} ${this.#page}`, ({ ride, by, told }) => {
      // A page that was asleep may take itself for the carrier still.
      if (!this.#carrier && ride === this.#ride?.name) this.#ride.hear(by, told);
    });
    this.#isSeen = new Promise((resolve) => {
      const seen = () => {
        resolve();
        return this.#untilOver;
      };
      locks.request(`${this.#name} ${this.#page}`, seen).catch(() => {});
    });
    this.#wait();
    db.loop.openSocket = this.#open;
    this.#off = db.connection.subscribe((state) => state === "closed" && this.close());
  }

  /** The client goes on with a socket of its own; another page carries the rest. */
  close(): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#off();
    this.#leave();
  }

  #open: typeof openSocket = (http, token, events) => {
    if (this.#isApart) return openSocket(http, token, events);
    const ride: Ride = new Ride(`${this.#page} ${++this.#rides}`, this.#page, token, http, events, {
      up: (said) => {
        if (this.#carrier && (said.to ?? this.#page) === this.#page) this.#carrier.hear(said);
        else this.#all!.tell(said);
      },
      silent: () => (this.#carrier ? ride.lost() : this.#take()),
      apart: () => (this.#isApart = true),
    });
    this.#ride = ride;
    void this.#isSeen!.then(() => ride.join());
    return ride;
  };

  #heard(said: Up | Changed): void {
    // Anybody of this origin may say anything here.
    if (typeof said !== "object" || !said) return;
    if ("carrier" in said) {
      if (!this.#carrier) this.#ride?.changed(said.carrier);
    } else if ((said.to ?? this.#page) === this.#page && typeof said.ride === "string") {
      this.#carrier?.hear(said);
    }
  }

  /** For its turn to carry. */
  #wait(): void {
    this.#claim({ signal: this.#over.signal }, (error) => {
      if (error.name === "AbortError") this.#wait();
      else this.#leave(true);
    });
  }

  /** The turn of a page that says nothing. Its own it waits for further. */
  #take(): void {
    if (!this.#carrier) this.#claim({ steal: true }, () => {});
  }

  /** @param lost called when another page has taken it, and this one did not end it */
  #claim(how: LockOptions, lost: (error: DOMException) => void): void {
    let mine: Carrier | undefined;
    let isLost = false;
    const carry = () => {
      // It may be taken before it is known here to have been given.
      if (isLost) return;
      mine = this.#carry();
      return this.#untilOver;
    };
    this.#locks!.request(this.#name, how, carry).catch((error) => {
      isLost = true;
      if (this.#over.signal.aborted) return;
      if (mine && mine === this.#carrier) this.#resign();
      lost(error);
    });
  }

  #carry(): Carrier {
    this.#carrier?.close();
    this.#carrier = new Carrier(this.#db.http, this.#down, this.#watch);
    this.#all!.tell({ carrier: this.#page });
    this.#ride?.changed(this.#page);
    this.#lead(true);
    return this.#carrier;
  }

  /** Another page carries, or will. */
  #resign(): void {
    if (!this.#carrier) return;
    this.#carrier.close();
    this.#carrier = undefined;
    for (const down of this.#downs.values()) down.close();
    this.#downs.clear();
    this.#ride?.changed();
    this.#lead(false);
  }

  /** @param isAlone there are no locks for a page like this */
  #leave(isAlone = false): void {
    const { loop } = this.#db;
    if (loop.openSocket === this.#open) loop.openSocket = openSocket;
    this.#resign();
    this.#ride?.lost();
    this.#all?.close();
    this.#own?.close();
    if (isAlone) this.#lead(true);
  }

  #down = (ride: string, told: Down): void => {
    if (ride === this.#ride?.name) return this.#ride.hear(this.#page, told);
    const name = `${this.#name} ${ride.split(" ")[0]}`;
    const down = this.#downs.get(name) ?? new Channel<Told>(name);
    this.#downs.set(name, down);
    down.tell({ ride, by: this.#page, told: worded(told) });
  };

  #watch = (page: string, gone: () => void): void => {
    const name = `${this.#name} ${page}`;
    const over = () => {
      gone();
      this.#downs.get(name)?.close();
      this.#downs.delete(name);
    };
    this.#locks!.request(name, { signal: this.#over.signal }, over).catch(() => {});
  };
}

/** What can be told to another page. */
function worded(told: Down): Down {
  if (!("lost" in told)) return told;
  const [code, reason, { code: what, message } = {} as any] = told.lost;
  return { lost: [code, reason, what && { code: what, message }] };
}

/**
 * All pages of this origin whose clients have the same server and caller share one socket.
 *
 * @param user whose pages they are, such as `me.user.id`; the server is asked whether it is so
 * @returns ends it: the client goes on with a socket of its own
 */
export function tabs(db: Core, user = ""): () => void {
  const shared = new Tabs(db, `tidebase ${db.http.base.href} ${user}`);
  return () => shared.close();
}
