// Pages of one browser in one process: what a browser gives them, Web Locks and BroadcastChannels, and what it does to them. A page can
// be frozen, so that nothing reaches it nor leaves it, and killed without a last word.
//
// Whose a lock or a channel is tells the asynchronous context in which it was made.

import { AsyncLocalStorage } from "node:async_hooks";
import type { TestContext } from "node:test";

const here = new AsyncLocalStorage<Page>();
const RealChannel = BroadcastChannel;

export class Page {
  isDead = false;
  #isFrozen = false;
  #held: (() => void)[] = [];
  #unsaid: (() => void)[] = [];
  /** Gives back what the page has. */
  ends = new Set<() => void>();

  /** Runs as this page: what it makes is this page's. */
  run<Result>(work: () => Result): Result {
    return here.run(this, work);
  }

  /** Now, or when it is thawed. */
  pass(call: () => void): void {
    if (this.isDead) return;
    if (this.#isFrozen) this.#held.push(call);
    else this.run(call);
  }

  /** What it says. Its sockets and its store do not freeze here, so what it has done there it has said before it was frozen. */
  say(call: () => void): void {
    if (this.isDead) return;
    if (this.#isFrozen) this.#unsaid.push(call);
    else call();
  }

  freeze(): void {
    this.#isFrozen = true;
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const call of this.#unsaid.splice(0)) call();
    for (const call of this.#held.splice(0)) this.pass(call);
  }

  kill(): void {
    for (const call of this.#unsaid.splice(0)) call();
    this.isDead = true;
    for (const end of this.ends) end();
  }
}

class Channel {
  #inner: BroadcastChannel;
  #page = here.getStore()!;
  #end = () => this.#inner.close();
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(name: string) {
    this.#inner = new RealChannel(name);
    this.#inner.onmessage = ({ data }: any) => this.#page.pass(() => this.onmessage?.({ data }));
    (this.#inner as unknown as { unref(): void }).unref();
    this.#page.ends.add(this.#end);
  }

  postMessage(data: unknown): void {
    // Cloned now, whatever the page does to it later.
    const cloned = structuredClone(data);
    this.#page.say(() => this.#inner.postMessage(cloned));
  }

  close(): void {
    this.#page.say(this.#end);
    this.#page.ends.delete(this.#end);
  }
}

interface Request {
  work: () => Promise<unknown> | unknown;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

class Locks {
  #held = new Map<string, Request>();
  #waiting = new Map<string, Request[]>();

  request(name: string, ...rest: any[]): Promise<unknown> {
    const [{ signal, steal } = {} as { signal?: AbortSignal; steal?: boolean }, work] = rest.length > 1 ? rest : [{}, rest[0]];
    const page = here.getStore();
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const request: Request = {
        work: () => (page ? page.run(work) : work()),
        resolve: (result) => (page ? page.pass(() => resolve(result)) : resolve(result)),
        reject: (error) => (page ? page.pass(() => reject(error)) : reject(error)),
      };
      const waiting = this.#waiting.get(name) ?? [];
      this.#waiting.set(name, waiting);
      if (steal) {
        this.#held.get(name)?.reject(new DOMException("stolen", "AbortError"));
        this.#held.delete(name);
        waiting.unshift(request);
      } else {
        waiting.push(request);
      }
      signal?.addEventListener("abort", () => {
        if (this.#drop(name, request)) reject(signal.reason);
      });
      page?.ends.add(() => {
        this.#drop(name, request);
        this.#release(name, request);
      });
      this.#next(name);
    });
  }

  #drop(name: string, request: Request): boolean {
    const waiting = this.#waiting.get(name)!;
    const at = waiting.indexOf(request);
    if (at >= 0) waiting.splice(at, 1);
    return at >= 0;
  }

  #next(name: string): void {
    const request = this.#held.has(name) ? undefined : this.#waiting.get(name)!.shift();
    if (!request) return;
    this.#held.set(name, request);
    const done = (result: unknown) => {
      this.#release(name, request);
      request.resolve(result);
    };
    queueMicrotask(() => {
      // A frozen page is given it all the same, and does not know.
      void Promise.resolve(request.work()).then(done, request.reject);
    });
  }

  #release(name: string, request: Request): void {
    if (this.#held.get(name) !== request) return;
    this.#held.delete(name);
    this.#next(name);
  }
}

/** Gives this process what pages of one browser have in common. */
export function browserOf(context: TestContext): void {
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks: new Locks() }, configurable: true, writable: true });
  globalThis.BroadcastChannel = Channel as unknown as typeof BroadcastChannel;
  context.after(() => {
    globalThis.BroadcastChannel = RealChannel;
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else delete (globalThis as any).navigator;
  });
}
