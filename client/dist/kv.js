// db.kv: JSON values under names, read and written over HTTP, watched on the socket.
import { TidebaseError } from "./error.js";
import { Wish } from "./live/wish.js";
import { write } from "./value.js";
export class Keys {
    #http;
    #loop;
    /** @internal */
    constructor(http, loop) {
        this.#http = http;
        this.#loop = loop;
    }
    /** `undefined` if it is not set. */
    async get(key, { signal } = {}) {
        try {
            return (await this.#http.ask({ method: "GET", path: path(key), signal })).body;
        }
        catch (error) {
            if (error instanceof TidebaseError && error.code === "not_found")
                return undefined;
            throw error;
        }
    }
    async set(key, value, { ttl, ifRevision, signal } = {}) {
        const body = write({ value, ttl, if_revision: ifRevision });
        return (await this.#http.ask({ method: "PUT", path: path(key), body, isWrite: true, signal })).body;
    }
    /** True if it was set. */
    async delete(key, { ifRevision, signal } = {}) {
        const query = ifRevision === undefined ? "" : `?if_revision=${ifRevision}`;
        try {
            await this.#http.ask({ method: "DELETE", path: path(key) + query, isWrite: true, signal });
            return true;
        }
        catch (error) {
            if (error instanceof TidebaseError && error.code === "not_found")
                return false;
            throw error;
        }
    }
    /** Adds in one step; a key that is not set counts as 0. */
    async increment(key, by = 1, { signal } = {}) {
        return (await this.#http.ask({ path: `${path(key)}/increment`, body: write({ by }), isWrite: true, signal })).body;
    }
    /** Keys in the order of their names, up to 1000 at once. */
    async list({ prefix, after, limit, signal } = {}) {
        const query = new URLSearchParams();
        for (const [name, value] of Object.entries({ prefix, after, limit })) {
            if (value !== undefined)
                query.set(name, String(value));
        }
        return (await this.#http.ask({ method: "GET", path: `data?${query}`, signal })).body;
    }
    /** Calls back with the value now, and after each change. */
    watch(key, onValue, { onError, signal } = {}) {
        return this.#loop.want(`key ${key}`, () => new Watch(key), { next: onValue, error: onError }, signal);
    }
}
const path = (key) => `data/${key.split("/").map(encodeURIComponent).join("/")}`;
class Watch extends Wish {
    #watched;
    constructor(key) {
        super(`key ${key}`);
        this.key = key;
    }
    get latest() {
        return this.#watched;
    }
    ask() {
        return { key: this.key };
    }
    /** On a new socket the value comes again, also if it is the one that was told last. */
    receive(frame) {
        if (frame.type !== "key")
            return undefined;
        const { key, value, revision, deleted } = frame;
        const before = this.#watched;
        this.refusals = 0;
        this.#watched = { key, value, revision, isSet: !deleted };
        if (before?.isSet === this.#watched.isSet && (deleted || before.revision === revision))
            return undefined;
        return this.tell(this.#watched);
    }
}
