// A server that says what a test tells it to, for what the real one never says: frames that do not fit.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import { until } from "./until.js";

export class Script {
  #server: Server;
  #streams: Duplex[] = [];
  /** All that was heard, by socket. */
  heard: any[][] = [];
  /** The kind of each frame that was heard, of all sockets. */
  kinds: number[] = [];

  private constructor() {
    this.#server = createServer((request, response) => {
      // Asked for where the WebSocket is that of browsers.
      const isTicket = request.url === "/auth/ticket";
      response.writeHead(isTicket ? 200 : 404).end(JSON.stringify({ result: { ticket: "ticket", expires_in: 60 } }));
    });
    this.#server.on("upgrade", (request, stream) => {
      const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
      stream.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept.digest("base64")}\r\n\r\n`,
      );
      this.#streams.push(stream);
      const heard: any[] = [];
      this.heard.push(heard);
      let bytes: Buffer = Buffer.alloc(0);
      stream.on("error", () => {});
      stream.on("data", (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk]);
        for (let frame = unmasked(bytes); frame; frame = unmasked(bytes)) {
          bytes = frame.rest;
          this.kinds.push(frame.kind);
          if (frame.kind === 1) heard.push(JSON.parse(frame.text));
        }
      });
    });
  }

  static async start(context: TestContext): Promise<Script> {
    const script = new Script();
    script.#server.listen(0, "127.0.0.1");
    await once(script.#server, "listening");
    context.after(() => {
      script.#streams.forEach((stream) => stream.destroy());
      script.#server.close();
    });
    return script;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Waits for the nth socket, counted from 0. */
  async socket(index: number): Promise<ScriptedSocket> {
    await until(`socket ${index}`, () => this.#streams.length > index);
    return new ScriptedSocket(this.#streams[index]!, this.heard[index]!);
  }
}

export class ScriptedSocket {
  constructor(
    readonly stream: Duplex,
    readonly heard: any[],
  ) {}

  say(...frames: unknown[]): void {
    for (const frame of frames) this.raw(0x81, Buffer.from(typeof frame === "string" ? frame : JSON.stringify(frame)));
  }

  close(code: number, reason = ""): void {
    this.raw(0x88, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]));
    this.stream.end();
  }

  raw(first: number, data: Buffer): void {
    const length = data.length < 126 ? [data.length] : [126, data.length >> 8, data.length & 255];
    this.stream.write(Buffer.concat([Buffer.from([first, ...length]), data]));
  }

  hello(revision = 1, protocol = 1): void {
    this.say({ type: "hello", protocol, history: "h", revision });
  }

  /** Waits for a frame with this action. */
  asked(action: string): Promise<any> {
    return until(action, () => this.heard.find((frame) => frame.action === action));
  }
}

/** The first frame of these bytes, if it is whole. */
export function unmasked(bytes: Buffer) {
  if (bytes.length < 6) return undefined;
  const short = bytes[1]! & 127;
  const at = short === 126 ? 4 : 2;
  const length = short === 126 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < at + 4 + length) return undefined;
  const data = Buffer.from(bytes.subarray(at + 4, at + 4 + length)).map((byte, index) => byte ^ bytes[at + (index & 3)]!);
  return { kind: bytes[0]! & 15, text: Buffer.from(data).toString(), rest: bytes.subarray(at + 4 + length) };
}
