// A real server for one test: the binary that TIDEBASE_BIN names, on a file and a port of its own. It can be killed and
// started again on both.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
const ROOT = resolve(import.meta.dirname, "../../../..");
const BINARY = process.env.TIDEBASE_BIN ?? join(ROOT, "target/debug/tidebase");
export const TOKEN = "let-me-in-please";
export class Server {
    #child;
    #words;
    constructor(port, options) {
        this.port = port;
        this.options = options;
        this.folder = mkdtempSync(join(tmpdir(), "tidebase-client-"));
        this.#words = "";
    }
    static async start(context, ...words) {
        const server = new Server(await freePort(), words);
        await server.start();
        context.after(() => server.remove());
        return server;
    }
    get url() {
        return `http://127.0.0.1:${this.port}`;
    }
    async start() {
        const words = ["serve", "--db", join(this.folder, "t.db"), "--listen", `127.0.0.1:${this.port}`, ...this.options];
        const child = spawn(BINARY, words, { env: { PATH: process.env.PATH, TIDEBASE_ADMIN_TOKEN: TOKEN }, cwd: this.folder });
        this.#child = child;
        const keep = (chunk) => (this.#words += chunk);
        child.stdout.on("data", keep);
        child.stderr.on("data", keep);
        let isGone = false;
        child.on("exit", () => (isGone = true));
        child.on("error", () => (isGone = true));
        for (;;) {
            if (isGone)
                throw new Error(`The server ${BINARY} did not start: ${this.#words}`);
            if (await fetch(`${this.url}/ready`).then((answer) => answer.ok, () => false))
                return;
            await turn();
        }
    }
    /** As if the power had gone. */
    async kill() {
        const child = this.#child;
        if (child.exitCode !== null || child.signalCode !== null)
            return;
        child.kill("SIGKILL");
        await once(child, "exit");
    }
    /** As an operator does. */
    async stop() {
        this.#child.kill("SIGTERM");
        await once(this.#child, "exit");
    }
    async remove() {
        await this.kill();
        rmSync(this.folder, { recursive: true });
    }
    /** A call without the client under test. */
    async call(path, body, token = TOKEN, method = body === undefined ? "GET" : "POST") {
        const answer = await fetch(`${this.url}/${path}`, {
            method,
            headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
            ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const text = await answer.text();
        if (!answer.ok)
            throw new Error(`${path}: ${text}`);
        return text === "" ? undefined : JSON.parse(text).result;
    }
    query(sql, params = [], token = TOKEN) {
        return this.call("query", { sql, params }, token);
    }
}
async function freePort() {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    await new Promise((done) => server.close(done));
    return port;
}
/** Lets everything that is due happen. */
export const turn = () => new Promise((done) => setImmediate(done));
