// The server under test: a real one, on a database and a port of its own.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { folder, start, stop } from "./children.mjs";
import { within } from "./wait.mjs";

const START_SECONDS_MAX = 20;
const LOG_CHARACTERS_KEPT = 4000;

export class Server {
  token = `test-${randomBytes(16).toString("hex")}`;
  url;
  #program;
  #folder = folder();
  #child;
  #log = "";

  constructor(program) {
    this.#program = program;
  }

  /** Starts it; after the first time on the port it had before, so that open pages find it again. */
  async start() {
    const listen = this.url ? new URL(this.url).host : "127.0.0.1:0";
    this.#child = start(this.#program, ["--db", join(this.#folder, "test.db"), "--listen", listen], {
      cwd: this.#folder,
      env: { PATH: process.env.PATH, TIDEBASE_ADMIN_TOKEN: this.token },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const greeting = new Promise((resolve, reject) => {
      let said = "";
      this.#child.stdout.on("data", (bytes) => {
        said += bytes;
        const [url] = /http:\/\/\S+/.exec(said) ?? [];
        if (url) resolve(url);
      });
      this.#child.ended.then((how) => reject(new Error(`The server ${how}. ${this.#log}`)));
    });
    this.#child.stderr.on("data", (bytes) => (this.#log = `${this.#log}${bytes}`.slice(-LOG_CHARACTERS_KEPT)));
    this.url = await within("the server's greeting", greeting, START_SECONDS_MAX);
  }

  /** With SIGKILL it has no time to say anything; with SIGTERM it stops in good order. */
  async stop(signal) {
    stop(this.#child, signal);
    await within(`the end of the server after ${signal}`, this.#child.ended);
  }

  get log() {
    return this.#log;
  }

  /** SQL over HTTP, as any other client would: the rows as arrays, numbers and texts as the page shows them. */
  async query(sql) {
    return (await this.#post("query/raw", { sql })).rows.map((row) => row.map((value) => String(value ?? "NULL")));
  }

  async transaction(...statements) {
    await this.#post("query", { transaction: statements.map((sql) => ({ sql })) });
  }

  async publish(topic, data) {
    await this.#post(`topics/${topic}`, { data });
  }

  async keepMessages(topic, keep) {
    await this.#call("PUT", `topics/${topic}`, { keep });
  }

  #post(path, body) {
    return this.#call("POST", path, body);
  }

  async #call(method, path, body) {
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${this.token}` };
    const answer = await fetch(`${this.url}/${path}`, { method, headers, body: JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `HTTP ${answer.status}: ${text}`);
    return JSON.parse(text).result;
  }
}
