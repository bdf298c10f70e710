import type { Http } from "../http.js";
import { Connection } from "./connection.js";
import type { Listener, Wish } from "./wish.js";
/** Ends a subscription. May be called again, and then does nothing. */
export type Stop = () => void;
export declare class Loop {
    #private;
    readonly connection: Connection;
    constructor(http: Http);
    /** Adds a listener to the wish of this identity, which is made if there is none. */
    want<Told>(identity: string, make: () => Wish<Told>, listener: Listener<Told>, signal?: AbortSignal): Stop;
    /** What the listeners to this were told last. */
    latest(identity: string): unknown;
    /** A request on the socket, opened for it if need be. Not sent twice. */
    request(body: object, signal?: AbortSignal): Promise<unknown>;
    /** The token is another one now: the socket goes on with it, or if it is somebody else's, a new one is opened. */
    renew(): Promise<void>;
    close(): void;
}
