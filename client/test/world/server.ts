// A real server for one test: the binary that TIDEBASE_BIN names, on a file and a port of its own. It can be killed and
// started again on both.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";

const ROOT = resolve(import.meta.dirname, "../../..");
const BINARY = process.env.TIDEBASE_BIN ?? join(ROOT, "target/debug/tidebase");
export const TOKEN = "let-me-in-please";

export class Server {
  readonly folder = mkdtempSync(join(tmpdir(), "tidebase-client-"));
  #child: ChildProcess | undefined;
  #words = "";

  private constructor(
    readonly port: number,
    readonly options: string[],
  ) {}

  static async start(context: TestContext, ...words: string[]): Promise<Server> {
    const server = new Server(await freePort(), words);
    await server.start();
    context.after(() => server.remove());
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const words = ["serve", "--db", join(this.folder, "t.db"), "--listen", `127.0.0.1:${this.port}`, ...this.options];
    const child = spawn(BINARY, words, { env: { PATH: process.env.PATH, TIDEBASE_ADMIN_TOKEN: TOKEN }, cwd: this.folder });
    this.#child = child;
    const keep = (chunk: Buffer) => (this.#words += chunk);
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    let isGone = false;
    child.on("exit", () => (isGone = true));
    child.on("error", () => (isGone = true));
    for (;;) {
      if (isGone) throw new Error(`The server ${BINARY} did not start: ${this.#words}`);
      if (await fetch(`${this.url}/ready`).then((answer) => answer.ok, () => false)) return;
      await turn();
    }
  }

  /** As if the power had gone. */
  async kill(): Promise<void> {
    const child = this.#child!;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  /** As an operator does. */
  async stop(): Promise<void> {
    this.#child!.kill("SIGTERM");
    await once(this.#child!, "exit");
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }

  /** A call without the client under test. */
  async call(path: string, body?: unknown, token = TOKEN, method = body === undefined ? "GET" : "POST"): Promise<any> {
    const answer = await fetch(`${this.url}/${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${text}`);
    return text === "" ? undefined : JSON.parse(text).result;
  }

  /** The revision at which it was written. */
  async write(sql: string, params: unknown[] = []): Promise<number> {
    const answer = await fetch(`${this.url}/query`, {
      method: "POST",
      headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" },
      body: JSON.stringify({ sql, params }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return Number(answer.headers.get("Tidebase-Revision"));
  }

  query(sql: string, params: unknown[] = [], token = TOKEN): Promise<any[]> {
    return this.call("query", { sql, params }, token);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** Lets everything that is due happen. */
export const turn = () => new Promise<void>((done) => setImmediate(done));
