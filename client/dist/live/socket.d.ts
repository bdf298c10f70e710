import type { Http } from "../http.js";
export interface Socket {
    send(text: string): void;
    close(): void;
}
/** What becomes of a socket. `lost` comes once and is the last; `error` says why it never opened. */
export interface SocketEvents {
    heard(text: string): void;
    lost(code: number, reason: string, error?: unknown): void;
}
export declare function address(http: Http): URL;
export declare function openSocket(http: Http, _token: string | undefined, events: SocketEvents): Socket;
