// A cable with faults between client and server: it can be cut at any byte, stalled, and made to deliver in small pieces.

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";

interface Pair {
  client: Socket;
  server: Socket;
}

export class Proxy {
  #server: Server;
  #pairs = new Set<Pair>();
  #bytesLeft = Infinity;
  #held: (() => void)[] = [];
  /** Bytes are held back; nothing is closed. */
  isStalled = false;
  /** The largest piece in which bytes are passed to the client. */
  pieceBytes = Infinity;
  /** New connections are refused. */
  isClosed = false;
  connections = 0;
  bytes = { up: 0, down: 0 };
  /** All that has passed, if somebody begins to keep it. */
  passed?: { up: Buffer[]; down: Buffer[] };

  private constructor(target: number) {
    this.#server = createServer((client) => this.#accept(client, target));
  }

  static async start(context: TestContext, target: number): Promise<Proxy> {
    const proxy = new Proxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    context.after(() => {
      proxy.cut();
      proxy.#server.close();
    });
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts all connections now. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  /** Cuts all connections when so many more bytes have gone to the client. */
  cutAfter(bytes: number): void {
    this.#bytesLeft = bytes;
  }

  /** Lets go what was held back. */
  resume(): void {
    this.isStalled = false;
    this.#held.splice(0).forEach((pass) => pass());
  }

  #accept(client: Socket, target: number): void {
    if (this.isClosed) return void client.destroy();
    this.connections++;
    const server = connect(target, "127.0.0.1");
    const pair = { client, server };
    this.#pairs.add(pair);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#pairs.delete(pair);
        client.destroy();
        server.destroy();
      });
    }
    client.on("data", (chunk) => {
      this.bytes.up += chunk.length;
      this.passed?.up.push(chunk);
      this.#pass(() => server.write(chunk));
    });
    server.on("data", (chunk) => this.#pass(() => this.#deliver(client, chunk)));
  }

  #pass(pass: () => void): void {
    if (this.isStalled) this.#held.push(pass);
    else pass();
  }

  #deliver(client: Socket, chunk: Buffer): void {
    const allowed = chunk.subarray(0, this.#bytesLeft);
    for (let at = 0; at < allowed.length; at += this.pieceBytes) {
      client.write(allowed.subarray(at, at + Math.min(this.pieceBytes, allowed.length)));
    }
    this.bytes.down += allowed.length;
    this.passed?.down.push(allowed);
    this.#bytesLeft -= chunk.length;
    if (this.#bytesLeft > 0) return;
    this.#bytesLeft = Infinity;
    client.end(() => this.cut());
  }
}
