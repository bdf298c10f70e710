// A cable with faults between client and server: it can be cut at any byte, stalled, and made to deliver in small pieces.
import { once } from "node:events";
import { connect, createServer } from "node:net";
export class Proxy {
    #server;
    #pairs;
    #bytesLeft;
    #held;
    constructor(target) {
        this.#pairs = new Set();
        this.#bytesLeft = Infinity;
        this.#held = [];
        /** Bytes are held back; nothing is closed. */
        this.isStalled = false;
        /** The largest piece in which bytes are passed to the client. */
        this.pieceBytes = Infinity;
        /** New connections are refused. */
        this.isClosed = false;
        this.connections = 0;
        this.bytes = { up: 0, down: 0 };
        this.#server = createServer((client) => this.#accept(client, target));
    }
    static async start(context, target) {
        const proxy = new Proxy(target);
        proxy.#server.listen(0, "127.0.0.1");
        await once(proxy.#server, "listening");
        context.after(() => {
            proxy.cut();
            proxy.#server.close();
        });
        return proxy;
    }
    get url() {
        return `http://127.0.0.1:${this.#server.address().port}`;
    }
    /** Cuts all connections now. */
    cut() {
        for (const { client, server } of this.#pairs) {
            client.destroy();
            server.destroy();
        }
    }
    /** Cuts all connections when so many more bytes have gone to the client. */
    cutAfter(bytes) {
        this.#bytesLeft = bytes;
    }
    /** Lets go what was held back. */
    resume() {
        this.isStalled = false;
        this.#held.splice(0).forEach((pass) => pass());
    }
    #accept(client, target) {
        if (this.isClosed)
            return void client.destroy();
        this.connections++;
        const server = connect(target, "127.0.0.1");
        const pair = { client, server };
        this.#pairs.add(pair);
        for (const socket of [client, server]) {
            socket.setNoDelay(true);
            socket.on("error", () => { });
            socket.on("close", () => {
                this.#pairs.delete(pair);
                client.destroy();
                server.destroy();
            });
        }
        client.on("data", (chunk) => {
            this.bytes.up += chunk.length;
            this.#pass(() => server.write(chunk));
        });
        server.on("data", (chunk) => this.#pass(() => this.#deliver(client, chunk)));
    }
    #pass(pass) {
        if (this.isStalled)
            this.#held.push(pass);
        else
            pass();
    }
    #deliver(client, chunk) {
        const allowed = chunk.subarray(0, this.#bytesLeft);
        for (let at = 0; at < allowed.length; at += this.pieceBytes) {
            client.write(allowed.subarray(at, at + Math.min(this.pieceBytes, allowed.length)));
        }
        this.bytes.down += allowed.length;
        this.#bytesLeft -= chunk.length;
        if (this.#bytesLeft > 0)
            return;
        this.#bytesLeft = Infinity;
        client.end(() => this.cut());
    }
}
