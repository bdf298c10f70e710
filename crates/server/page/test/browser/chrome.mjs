// Chromium without a library: started with a pipe instead of a port, spoken to in its DevTools protocol.
//
// File descriptor 3 is what it reads, 4 what it writes: JSON messages, each ended by a NUL.

import { join } from "node:path";
import { folder, start, stop } from "./children.mjs";
import { within } from "./wait.mjs";

const START_SECONDS_MAX = 20;
const END_SECONDS_MAX = 5;
const LOG_CHARACTERS_KEPT = 2000;
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-pipe",
];

export class Chrome {
  #child;
  #log = "";
  #next_id = 1;
  #calls = new Map();
  /** Session of a tab → what hears its events. */
  #listeners = new Map();

  async start(program) {
    const flags = [...FLAGS, `--user-data-dir=${join(folder(), "profile")}`, "about:blank"];
    this.#child = start(program, flags, { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] });
    this.#child.stderr.on("data", (bytes) => (this.#log = `${this.#log}${bytes}`.slice(-LOG_CHARACTERS_KEPT)));
    this.#child.stdio[3].on("error", () => {});
    this.#child.ended.then((how) => this.#fail(how));
    this.#listen(this.#child.stdio[4]);
    await this.call("Browser.getVersion", {}, undefined, START_SECONDS_MAX);
  }

  async end() {
    this.call("Browser.close").catch(() => {});
    await within("the end of Chromium", this.#child.ended, END_SECONDS_MAX).catch(() => stop(this.#child, "SIGKILL"));
  }

  /** Calls a method, of a tab when its session is named, and resolves with the result. */
  call(method, params = {}, session = undefined, seconds_max = undefined) {
    const id = this.#next_id++;
    const answer = new Promise((resolve, reject) => this.#calls.set(id, { method, resolve, reject }));
    this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: session })}\0`);
    return within(method, answer, seconds_max);
  }

  /** `heard(method, params)` is called for every event of that session. */
  on(session, heard) {
    this.#listeners.set(session, heard);
  }

  #listen(pipe) {
    let pieces = [];
    pipe.on("data", (bytes) => {
      let begin = 0;
      for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, begin)) {
        pieces.push(bytes.subarray(begin, end));
        this.#hear(JSON.parse(Buffer.concat(pieces).toString()));
        pieces = [];
        begin = end + 1;
      }
      pieces.push(bytes.subarray(begin));
    });
  }

  #hear({ id, method, params, sessionId, result, error }) {
    if (id === undefined) {
      this.#listeners.get(sessionId)?.(method, params);
      return;
    }
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error) call.reject(new Error(`${call.method}: ${error.message}`));
    else call.resolve(result);
  }

  #fail(how) {
    for (const { method, reject } of this.#calls.values()) {
      reject(new Error(`Chromium ${how}, before it answered ${method}. ${this.#log}`));
    }
    this.#calls.clear();
  }
}
