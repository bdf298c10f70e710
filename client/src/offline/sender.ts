// Brings what waits to the server: in its order, one frame at a time, by one page of the device. Sent again until the server has
// said what came of it; it carries out each once, however often it comes.

import { pause, sleep } from "../backoff.js";
import { TidebaseError } from "../error.js";
import type { Http } from "../http.js";
import type { Loop } from "../live/loop.js";
import { ask } from "../sql.js";
import { write } from "../value.js";
import { onTheWire, type Mutation, type Outcome, type Refusal } from "./mutation.js";
import type { Store } from "./store.js";

/** Of one frame. The server takes 500, and 1 MiB. */
const MUTATIONS_MAX = 200;
const BYTES_MAX = 512 << 10;

export class Sender {
  #loop: Loop;
  #http: Http;
  #store: Store;
  #tell: (outcomes: Outcome[]) => Promise<void>;
  #owner: string | undefined;
  #isRunning = false;
  #wasKicked = false;
  /** A frame of several was refused as a whole: now each has one of its own. */
  #isOneByOne = false;
  #known: { token: string | undefined; uid: string | undefined } | undefined;
  #off: () => void;
  #over = new AbortController();
  /** Ends a pause. */
  #wake = new AbortController();

  /** @param owner who has signed in for it, where that is known; else it is whoever the first write is sent as */
  constructor(loop: Loop, http: Http, store: Store, tell: (outcomes: Outcome[]) => Promise<void>, owner: string | undefined) {
    this.#loop = loop;
    this.#http = http;
    this.#store = store;
    this.#tell = tell;
    this.#owner = owner;
    this.#off = loop.connection.subscribe(() => this.#endIfClosed());
  }

  /** There may be something to send, or somebody to send it to. */
  kick(): void {
    this.#endIfClosed();
    this.#wasKicked = true;
    this.#wake.abort();
    if (!this.#isRunning && !this.#over.signal.aborted) void this.#run();
  }

  close(): void {
    this.#off();
    this.#over.abort();
    this.#wake.abort();
  }

  /** With its client: a program should end though something waits. */
  #endIfClosed(): void {
    if (this.#loop.connection.state === "closed") this.close();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let attempt = 0; this.#wasKicked && !this.#over.signal.aborted; ) {
      this.#wasKicked = false;
      this.#wake = new AbortController();
      try {
        while (await this.#send()) attempt = 0;
      } catch {
        // Not reached, or busy, or signed out: what waits waits on, until there is reason to try again.
        const time = pause(++attempt, this.#http.limits);
        await sleep(time, this.#wake.signal).catch(() => {});
        this.#wasKicked = true;
      }
    }
    this.#isRunning = false;
  }

  /** Who has signed in, as the server has it; nobody for tokens of programs, which come and go. Asked once for each token. */
  async #uid(): Promise<string | undefined> {
    const caller = this.#http.token;
    const token = await caller.get();
    // Somebody else has come: what the server says of them is not to be known of this token.
    if (this.#http.token !== caller) return this.#uid();
    if (!this.#known || this.#known.token !== token) {
      const answer = ask(this.#http, { sql: "SELECT CASE auth.role() WHEN 'client' THEN NULL ELSE auth.uid() END AS uid" }, false, this.#over.signal);
      const [row] = await answer.catch((error: TidebaseError) => {
        // Where only registered statements are run, nobody is asked.
        if (error.code === "forbidden") return [];
        throw error;
      });
      this.#known = { token, uid: row?.uid ?? undefined };
    }
    return this.#known.uid;
  }

  /** Sends as much as one frame takes. False if nothing waits. */
  async #send(): Promise<boolean> {
    // What is true is what is kept: another page may have made some, or have sent some.
    const waiting = (await this.#store.all()).filter(({ refused }) => !refused);
    if (waiting.length === 0 || this.#over.signal.aborted) return false;
    const sent = this.#isOneByOne ? waiting.slice(0, 1) : batch(waiting);
    const body = {
      action: "mutate",
      client_id: this.#store.client,
      // The server refuses them on the socket of another: on a shared device somebody else may have signed in.
      uid: this.#owner ?? (await this.#store.owner(await this.#uid())),
      acknowledged: waiting[0]!.number - 1,
      mutations: sent.map(onTheWire),
    };
    try {
      const told = (await this.#loop.request(body, this.#over.signal)) as any[];
      await this.#tell(told.map(understood));
      this.#isOneByOne = false;
      return told.length > 0;
    } catch (error) {
      if (!(error instanceof TidebaseError) || !isHopeless(error)) throw error;
      this.#isOneByOne = true;
      if (sent.length > 1) return true;
      await this.#tell([{ number: sent[0]!.number, refused: { code: error.code, message: error.message } }]);
      return true;
    }
  }
}

function batch(waiting: readonly Mutation[]): readonly Mutation[] {
  let bytes = 0;
  const fits = (mutation: Mutation, index: number) => {
    bytes += write(onTheWire(mutation)).length;
    return index === 0 || (index < MUTATIONS_MAX && bytes <= BYTES_MAX);
  };
  const end = waiting.findIndex((mutation, index) => !fits(mutation, index));
  return end < 0 ? waiting : waiting.slice(0, end);
}

const isHopeless = ({ code }: TidebaseError) => code === "too_large" || code === "invalid";

function understood({ mutation_id: number, applied, refused: code, error: message, column, pointer }: any): Outcome {
  if (applied !== undefined) return { number, applied };
  const refused: Refusal = { code, message, ...(column && { column }), ...(pointer && { pointer }) };
  return { number, refused };
}
