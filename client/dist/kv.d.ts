import type { Http } from "./http.js";
import type { Loop, Stop } from "./live/loop.js";
import type { Asking, Listening } from "./sql.js";
export interface Entry<Value = any> {
    key: string;
    value: Value;
    revision: number;
}
/** What a watcher is told; `value` is null where the key is not set. */
export interface Watched<Value = any> {
    key: string;
    value: Value | null;
    revision: number;
    isSet: boolean;
}
export interface Setting extends Asking {
    /** Seconds until it is removed. */
    ttl?: number;
    /** Only if the key stands at this revision; 0: only if it is not set. Else `conflict`. */
    ifRevision?: number;
}
export interface Page<Value = any> {
    keys: Entry<Value>[];
    /** For `after` of the next page; null on the last one. */
    after: string | null;
}
export declare class Keys {
    #private;
    /** @internal */
    constructor(http: Http, loop: Loop);
    /** `undefined` if it is not set. */
    get<Value = any>(key: string, { signal }?: Asking): Promise<Entry<Value> | undefined>;
    set<Value>(key: string, value: Value, { ttl, ifRevision, signal }?: Setting): Promise<Entry<Value>>;
    /** True if it was set. */
    delete(key: string, { ifRevision, signal }?: Omit<Setting, "ttl">): Promise<boolean>;
    /** Adds in one step; a key that is not set counts as 0. */
    increment(key: string, by?: number | bigint, { signal }?: Asking): Promise<Entry<number | bigint>>;
    /** Keys in the order of their names, up to 1000 at once. */
    list<Value = any>({ prefix, after, limit, signal }?: {
        prefix?: string;
        after?: string;
        limit?: number;
    } & Asking): Promise<Page<Value>>;
    /** Calls back with the value now, and after each change. */
    watch<Value = any>(key: string, onValue: (watched: Watched<Value>) => void, { onError, signal }?: Listening): Stop;
}
