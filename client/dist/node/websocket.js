// A WebSocket client over node:http, for Node before 22, which has none. Text only, no extensions, no redirects.
//
// Loaded where it is needed, by socket.ts; never part of a browser's bundle. The bytes of frames: frames.ts.
import { createHash, randomBytes } from "node:crypto";
import * as http from "node:http";
import * as https from "node:https";
import { TidebaseError } from "../error.js";
import { refusal } from "../http.js";
import { BadFrame, encode, encodeClose, encodeText, FrameReader, PONG } from "./frames.js";
/** Of an answer that is no upgrade. */
const REFUSAL_BYTES_MAX = 64 << 10;
/** After our close the server has so long to answer it. */
const FAREWELL = 2000;
const LOST = 1006;
export function connect(url, headers, events) {
    return new Connected(url, headers, events);
}
class Connected {
    #request;
    #stream;
    #reader = new FrameReader();
    #events;
    #isOver = false;
    constructor(url, headers, events) {
        this.#events = events;
        const key = randomBytes(16).toString("base64");
        const { request } = url.protocol === "wss:" ? https : http;
        const address = new URL(url.href.replace(/^ws/, "http"));
        const upgrade = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key };
        this.#request = request(address, { headers: { ...headers, ...upgrade }, agent: false });
        this.#request.on("upgrade", (response, stream, head) => this.#upgraded(accepts(response, key), stream, head));
        this.#request.on("response", (response) => this.#refused(response));
        this.#request.on("error", (cause) => this.#lost(0, "", new TidebaseError("unavailable", `No socket could be opened to ${url.host}.`, { cause })));
        this.#request.end();
    }
    send(text) {
        if (!this.#isOver)
            this.#stream?.write(encodeText(text, randomBytes(4)));
    }
    close() {
        this.#isOver = true;
        this.#leave(1000);
        if (!this.#stream)
            this.#request.destroy();
    }
    #upgraded(isAccepted, stream, head) {
        stream.on("error", () => { });
        if (this.#isOver)
            return void stream.destroy();
        this.#stream = stream;
        if (!isAccepted) {
            stream.destroy();
            return this.#lost(0, "", new TidebaseError("unavailable", "The answer to the WebSocket's key is wrong."));
        }
        stream.on("data", (chunk) => this.#heard(chunk));
        stream.on("close", () => this.#lost(LOST, ""));
        if (head.length > 0)
            this.#heard(head);
    }
    #heard(chunk) {
        if (this.#isOver)
            return;
        try {
            for (const part of this.#reader.read(chunk)) {
                this.#act(part);
                if (this.#isOver)
                    return;
            }
        }
        catch (error) {
            if (!(error instanceof BadFrame))
                throw error;
            this.#leave(error.code);
            this.#lost(error.code, error.message);
        }
    }
    #act(part) {
        switch (part.is) {
            case "text":
                return this.#events.heard(part.text);
            case "ping":
                return void this.#stream.write(encode(PONG, part.data, randomBytes(4)));
            case "close":
                this.#leave(part.code === 1005 ? 1000 : part.code);
                return this.#lost(part.code, part.reason);
        }
    }
    /** Says goodbye, or answers it; the stream is cut off if that is not heard. */
    #leave(code) {
        const stream = this.#stream;
        if (!stream || stream.destroyed || !stream.writable)
            return;
        stream.end(encodeClose(code, randomBytes(4)));
        const timer = setTimeout(() => stream.destroy(), FAREWELL);
        timer.unref();
        stream.on("close", () => clearTimeout(timer));
    }
    #refused(response) {
        const chunks = [];
        let bytes = 0;
        response.on("data", (chunk) => {
            bytes += chunk.length;
            if (bytes > REFUSAL_BYTES_MAX)
                response.destroy();
            else
                chunks.push(chunk);
        });
        response.on("error", () => { });
        response.on("close", () => {
            const text = Buffer.concat(chunks).toString();
            this.#lost(0, "", refusal(response.statusCode ?? 0, response.headers["retry-after"], text));
        });
    }
    #lost(code, reason, error) {
        if (this.#isOver)
            return;
        this.#isOver = true;
        this.#events.lost(code, reason, error);
    }
}
function accepts(response, key) {
    const expected = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    return response.headers["sec-websocket-accept"] === expected;
}
