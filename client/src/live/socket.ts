// The edge to the network where there is a WebSocket: browsers, workers, Node 22 and later. Its address cannot carry a
// header, so a single-use ticket stands in for the token, which is thereby in no log of addresses.
//
// Where there is none, `#socket` is ../node/socket.ts instead. What is said on a socket: loop.ts.

import { TidebaseError } from "../error.js";
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

export function address(http: Http): URL {
  return new URL("ws", http.base.href.replace("http", "ws"));
}

export function openSocket(http: Http, _token: string | undefined, events: SocketEvents): Socket {
  let socket: WebSocket | undefined;
  let isClosed = false;
  const lost: SocketEvents["lost"] = (...how) => {
    if (!isClosed) events.lost(...how);
    isClosed = true;
  };
  const open = async () => {
    const url = address(http);
    url.searchParams.set("token", await ticket(http));
    if (!isClosed) socket = listen(url, { heard: events.heard, lost });
  };
  open().catch((error) => lost(0, "", error));
  return {
    send: (text) => socket!.send(text),
    close: () => {
      isClosed = true;
      socket?.close();
    },
  };
}

async function ticket(http: Http): Promise<string> {
  return (await http.ask({ path: "auth/ticket" })).body.result.ticket;
}

function listen(url: URL, { heard, lost }: SocketEvents): WebSocket {
  const socket = new WebSocket(url);
  let hasOpened = false;
  socket.onopen = () => (hasOpened = true);
  socket.onmessage = ({ data }) => heard(String(data));
  socket.onclose = ({ code, reason }) =>
    lost(code, reason, hasOpened ? undefined : new TidebaseError("unavailable", `No socket could be opened to ${url.host}.`));
  return socket;
}
