// db.kv: JSON values under names, read and written over HTTP, watched on the socket.

import { TidebaseError } from "./error.js";
import type { Http } from "./http.js";
import type { Frame } from "./live/frame.js";
import type { Loop, Stop } from "./live/loop.js";
import { Wish, type Tell } from "./live/wish.js";
import type { Asking, Listening } from "./sql.js";
import { write } from "./value.js";

/** A key that is set. */
export interface Entry<Value = any> {
  key: string;
  value: Value;
  /** That of its last change. */
  revision: number;
}

/** What a watcher is told; `value` is null where the key is not set. */
export interface Watched<Value = any> {
  key: string;
  value: Value | null;
  revision: number;
  isSet: boolean;
}

/** How a key is set. */
export interface Setting extends Asking {
  /** Seconds until it is removed. */
  ttl?: number;
  /** Only if the key stands at this revision; 0: only if it is not set. Else `conflict`. */
  ifRevision?: number;
}

/** Some of the keys. */
export interface Page<Value = any> {
  keys: Entry<Value>[];
  /** For `after` of the next page; null on the last one. */
  after: string | null;
}

/** JSON values under names: `db.kv`. */
export class Keys {
  #http: Http;
  #loop: Loop;

  /** @internal */
  constructor(http: Http, loop: Loop) {
    this.#http = http;
    this.#loop = loop;
  }

  /** `undefined` if it is not set. */
  async get<Value = any>(key: string, { signal }: Asking = {}): Promise<Entry<Value> | undefined> {
    try {
      return (await this.#http.ask({ method: "GET", path: path(key), signal })).body;
    } catch (error) {
      if (error instanceof TidebaseError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  /** Puts a value in the place of whatever is there. `conflict` if `ifRevision` does not hold. */
  async set<Value>(key: string, value: Value, { ttl, ifRevision, signal }: Setting = {}): Promise<Entry<Value>> {
    const body = write({ value, ttl, if_revision: ifRevision });
    return (await this.#http.ask({ method: "PUT", path: path(key), body, isWrite: true, signal })).body;
  }

  /** True if it was set. */
  async delete(key: string, { ifRevision, signal }: Omit<Setting, "ttl"> = {}): Promise<boolean> {
    const query = ifRevision === undefined ? "" : `?if_revision=${ifRevision}`;
    try {
      await this.#http.ask({ method: "DELETE", path: path(key) + query, isWrite: true, signal });
      return true;
    } catch (error) {
      if (error instanceof TidebaseError && error.code === "not_found") return false;
      throw error;
    }
  }

  /** Adds in one step; a key that is not set counts as 0. */
  async increment(key: string, by: number | bigint = 1, { signal }: Asking = {}): Promise<Entry<number | bigint>> {
    return (await this.#http.ask({ path: `${path(key)}/increment`, body: write({ by }), isWrite: true, signal })).body;
  }

  /** Keys in the order of their names, up to 1000 at once. */
  async list<Value = any>(
    { prefix, after, limit, signal }: { prefix?: string; after?: string; limit?: number } & Asking = {},
  ): Promise<Page<Value>> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries({ prefix, after, limit })) {
      if (value !== undefined) query.set(name, String(value));
    }
    return (await this.#http.ask({ method: "GET", path: `data?${query}`, signal })).body;
  }

  /** Calls back with the value now, and after each change. */
  watch<Value = any>(key: string, onValue: (watched: Watched<Value>) => void, { onError, signal }: Listening = {}): Stop {
    return this.#loop.want(`key ${key}`, () => new Watch(key), { next: onValue, error: onError }, signal);
  }
}

const path = (key: string) => `data/${key.split("/").map(encodeURIComponent).join("/")}`;

class Watch extends Wish<Watched> {
  constructor(readonly key: string) {
    super(`key ${key}`);
  }

  ask(): object {
    return { key: this.key };
  }

  /** On a new socket the value comes again, also if it is the one that was told last. */
  receive(frame: Frame): Tell | undefined {
    if (frame.type !== "key") return undefined;
    const { key, value, revision, deleted } = frame;
    const before = this.latest;
    this.refusals = 0;
    this.latest = { key, value, revision, isSet: !deleted };
    if (before?.isSet === this.latest.isSet && (deleted || before.revision === revision)) return undefined;
    return this.tell(this.latest);
  }
}
