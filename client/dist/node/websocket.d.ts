import type { Socket, SocketEvents } from "../live/socket.js";
export declare function connect(url: URL, headers: Record<string, string>, events: SocketEvents): Socket;
