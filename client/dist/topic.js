// db.topic(name): messages to whoever listens, and who is there.
//
// Everything goes over the socket. A publish is sent once: if the connection is lost before the answer, nobody can know
// whether it was heard, and the error says so.
import { TidebaseError } from "./error.js";
import { Wish } from "./live/wish.js";
export class Topic {
    #loop;
    /** @internal */
    constructor(name, loop) {
        this.name = name;
        this.#loop = loop;
    }
    /** Resolves with the message's cursor. */
    async publish(data, { signal } = {}) {
        const answer = await this.#loop.request({ action: "publish", topic: this.name, data }, signal);
        return answer.cursor;
    }
    /** Calls back with each message once, in order. */
    subscribe(onMessage, options = {}) {
        const { after, onMissed, onError, signal } = options;
        const identity = `topic ${after ?? ""} ${this.name}`;
        const next = (told) => ("data" in told ? onMessage(told) : onMissed?.(told.missed));
        return this.#loop.want(identity, () => new Hearing(identity, this.name, after), { next, error: onError }, signal);
    }
    /** Shows this client with a state of its own, and calls back with all who show themselves, this client included. */
    presence(state, onMembers, { onError, signal } = {}) {
        const identity = `presence ${this.name}`;
        if (this.#loop.latest(identity)) {
            const hint = "The server tells members apart by their sockets. End the earlier presence first.";
            throw new TidebaseError("conflict", `This client shows itself in ${this.name} already.`, { hint });
        }
        const make = () => new Showing(identity, this.name, state);
        return this.#loop.want(identity, make, { next: onMembers, error: onError }, signal);
    }
}
class Hearing extends Wish {
    #topic;
    #cursor;
    #wasInterrupted = false;
    constructor(identity, topic, after) {
        super(identity);
        this.#topic = topic;
        this.#cursor = after;
    }
    ask() {
        return { topic: this.#topic, after: this.#cursor };
    }
    lost() {
        this.#wasInterrupted = true;
    }
    /** Without a cursor to go on from nothing tells what an interruption hid. */
    said() {
        const isBlind = this.#wasInterrupted && this.#cursor === undefined;
        this.#wasInterrupted = false;
        return isBlind ? this.tell({ missed: undefined }) : undefined;
    }
    receive(frame) {
        if (frame.type === "resync" && frame.cursor !== undefined) {
            this.#cursor = frame.cursor;
            return this.tell({ missed: frame.cursor });
        }
        if (frame.type !== "message" || (this.#cursor !== undefined && frame.cursor <= this.#cursor))
            return undefined;
        this.refusals = 0;
        this.#cursor = frame.cursor;
        return this.tell({ cursor: frame.cursor, data: frame.data });
    }
}
class Showing extends Wish {
    #members = new Map();
    #isFirst = true;
    constructor(identity, topic, state) {
        super(identity);
        this.topic = topic;
        this.state = state;
    }
    ask() {
        return { topic: this.topic, presence: this.state };
    }
    get latest() {
        return [...this.#members.values()];
    }
    lost() {
        this.#isFirst = true;
    }
    /** The first frame on a socket lists all. */
    receive(frame) {
        if (frame.type !== "presence")
            return undefined;
        if (this.#isFirst)
            this.#members.clear();
        this.#isFirst = false;
        this.refusals = 0;
        for (const { session } of frame.leave)
            this.#members.delete(session);
        for (const member of frame.join)
            this.#members.set(member.session, member);
        return this.tell(this.latest);
    }
}
