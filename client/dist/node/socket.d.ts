import type { Http } from "../http.js";
import { type Socket, type SocketEvents } from "../live/socket.js";
export declare function openSocket(http: Http, token: string | undefined, events: SocketEvents): Socket;
