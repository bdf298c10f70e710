// db.topic(name): messages to whoever listens, and who is there.
//
// Everything goes over the socket. A publish is sent once: if the connection is lost before the answer, nobody can know
// whether it was heard, and the error says so.

import { TidebaseError } from "./error.js";
import type { Frame } from "./live/frame.js";
import type { Loop, Stop } from "./live/loop.js";
import { Wish, type Tell } from "./live/wish.js";
import type { Asking, Listening } from "./sql.js";

/** What was published. */
export interface Message<Data = any> {
  /** Grows within the topic. */
  cursor: number;
  data: Data;
}

/** Somebody who shows themselves. */
export interface Member<State = any> {
  /** Tells members apart: it is of their socket. */
  session: number;
  state: State;
}

/** How one listens to a topic. */
export interface ListeningToTopic extends Listening {
  /** The last message that was seen: those behind it that the topic keeps come first. */
  after?: number;
  /** Messages may have been missed: up to this cursor, or if it is not there, while the connection was lost. */
  onMissed?: (cursor: number | undefined) => void;
}

/** Messages to whoever listens, and who is there: what `db.topic` gives. */
export class Topic<Data = any> {
  /** @internal */
  constructor(
    /** The topic's name. */
    readonly name: string,
    /** @internal */
    readonly loop: Loop,
  ) {}

  /**
   * Resolves with the message's cursor. It is sent once: `unavailable` where the answer is lost, and it may have been heard.
   */
  async publish(data: Data, { signal }: Asking = {}): Promise<number> {
    const answer = await this.loop.request({ action: "publish", topic: this.name, data }, signal);
    return (answer as { cursor: number }).cursor;
  }

  /** Calls back with each message once, in order. */
  subscribe(onMessage: (message: Message<Data>) => void, options: ListeningToTopic = {}): Stop {
    const { after, onMissed, onError, signal } = options;
    // Who asks for what was before hears it from the beginning, also if somebody else has asked the same and heard it by now.
    const identity = `topic ${after === undefined ? "" : ++asked} ${this.name}`;
    const next = (told: Told) => ("data" in told ? onMessage(told) : onMissed?.(told.missed));
    return this.loop.want(identity, () => new Hearing(identity, this.name, after), { next, error: onError }, signal);
  }

  /** Shows this client with a state of its own, and calls back with all who show themselves, this client included. */
  presence<State>(state: State, onMembers: (members: Member<State>[]) => void, { onError, signal }: Listening = {}): Stop {
    const identity = `presence ${this.name}`;
    if (this.loop.latest(identity)) {
      const hint = "The server tells members apart by their sockets. End the earlier presence first.";
      throw new TidebaseError("conflict", `This client shows itself in ${this.name} already.`, { hint });
    }
    const make = () => new Showing(identity, this.name, state);
    return this.loop.want(identity, make, { next: onMembers, error: onError }, signal);
  }
}

let asked = 0;

type Told = Message | { missed: number | undefined };

class Hearing extends Wish<Told> {
  #topic: string;
  #cursor: number | undefined;
  #wasInterrupted = false;

  constructor(identity: string, topic: string, after: number | undefined) {
    super(identity);
    this.#topic = topic;
    this.#cursor = after;
  }

  ask(): object {
    return { topic: this.#topic, after: this.#cursor };
  }

  override lost(): void {
    this.#wasInterrupted = true;
  }

  /** Without a cursor to go on from nothing tells what an interruption hid. */
  override said(): Tell | undefined {
    const isBlind = this.#wasInterrupted && this.#cursor === undefined;
    this.#wasInterrupted = false;
    return isBlind ? this.tell({ missed: undefined }) : undefined;
  }

  receive(frame: Frame): Tell | undefined {
    if (frame.type === "resync" && frame.cursor !== undefined) {
      this.#cursor = frame.cursor;
      return this.tell({ missed: frame.cursor });
    }
    if (frame.type !== "message" || (this.#cursor !== undefined && frame.cursor <= this.#cursor)) return undefined;
    this.refusals = 0;
    this.#cursor = frame.cursor;
    return this.tell({ cursor: frame.cursor, data: frame.data });
  }
}

class Showing extends Wish<Member[]> {
  #members = new Map<number, Member>();
  #isFirst = true;

  constructor(
    identity: string,
    readonly topic: string,
    readonly state: unknown,
  ) {
    super(identity);
    this.latest = [];
  }

  ask(): object {
    return { topic: this.topic, presence: this.state };
  }

  override lost(): void {
    this.#isFirst = true;
  }

  /** The first frame on a socket lists all. */
  receive(frame: Frame): Tell | undefined {
    if (frame.type !== "presence") return undefined;
    if (this.#isFirst) this.#members.clear();
    this.#isFirst = false;
    this.refusals = 0;
    for (const { session } of frame.leave) this.#members.delete(session);
    for (const member of frame.join) this.#members.set(member.session, member as Member);
    return this.tell((this.latest = [...this.#members.values()]));
  }
}
