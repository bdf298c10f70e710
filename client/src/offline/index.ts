// Writes that do not wait for a network, and rows that are there before it is: `offline(db, user)`. An entry point of its own,
// `tidebase/offline`.
//
//   write ─▶ shown at once (overlay) ─▶ store: its promise resolves ─▶ sender ─▶ server: once, in order ─▶ applied, or refused and taken back
//   rows told by the server ─▶ store ─▶ there at the next visit, and gone on from
//
// `store` is the device's truth, `news` what its pages tell each other, `query` the live query that shows both.

import type { Core } from "../core.js";
import type { Batch } from "../documents/write.js";
import { callAll, TidebaseError } from "../error.js";
import { Statement } from "../statement.js";
import type { Channel } from "../tabs/channel.js";
import { Tabs } from "../tabs/index.js";
import type { AnyTable, TableTypes } from "../table.js";
import { parse } from "../value.js";
import { after, settled, type DocumentWrite, type Known } from "./fields.js";
import { errorOf, onTheWire, type Change, type Mutation, type Outcome, type Patch, type Values } from "./mutation.js";
import type { Question } from "../live/query.js";
import { areSame, OfflineQuery, type Device } from "./query.js";
import { newsOf, type News } from "./news.js";
import { Sender } from "./sender.js";
import { openStore, type Store } from "./store.js";

/** A write that is kept on the device. */
export interface Written {
  /** Grows with each that is made on this device for this user. */
  readonly number: number;
  /** Resolves with the revision at which the server has carried it out; rejects if it refuses to. Nobody has to wait for it. */
  readonly settled: Promise<number>;
}

/** A write that the server will not carry out, and why. */
export type Refused = Mutation & { error: TidebaseError };

/** After each of these the page may be gone without a word; phones tell the second alone. */
const LAST_EVENTS = ["pagehide", "visibilitychange"];
/** How long after a change of its rows a result is kept: many follow each other… */
const KEEP_AFTER = 300;
/** …and so much longer for each row, for it is written whole: some 5 ms of the page's time for 10,000 rows. */
const KEEP_AFTER_ROW = 0.1;
const CLOSED = "The device's store was closed. What it has kept is sent at the next visit.";
/** So many outcomes are remembered of writes that are not known here: more than a frame has. */
const EARLY_MAX = 500;

/** What is kept on the device for one user: what `offline(db, user)` gives. */
export class Offline<Tables = Record<string, AnyTable>> {
  #db: Core;
  #owner: string | undefined;
  #store: Promise<Store>;
  #opened: Store | undefined;
  #sender: Sender | undefined;
  /** What its pages tell each other. */
  #news: Channel<News> | undefined;
  #tabs: Tabs;
  /** One page sends for all. */
  #leads = false;
  /** In their order: those that wait, those that were applied and are not in all results yet, those that were refused. */
  #mutations: Mutation[] = [];
  #pending: readonly Mutation[] = [];
  #refused: readonly Refused[] = [];
  /** Shown already, and on their way into the store, which says their numbers; in the order of the calls. */
  #unkept = new Set<Mutation>();
  #isToShow = false;
  #waiting = new Map<number, { resolve(revision: number): void; reject(error: TidebaseError): void }>();
  #queries: readonly OfflineQuery[] = [];
  #changed = new Set<OfflineQuery>();
  #isSweeping = false;
  /** From then on no result is kept, until they are back in another page: whoever signs out is told things until they have. */
  #isCleared = false;
  #listeners = new Set<() => void>();
  #committed = new WeakSet<Batch>();
  #off: () => void;
  #isMaking: () => boolean;
  #isClosed = false;
  /** What was told of writes that this page does not know yet: its pages are not told everything in one order. */
  #early = new Map<number, Outcome | "dismissed">();
  /** The order of writes is that of the calls, however long each takes to be kept. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Resolves when what an earlier visit left is there. */
  readonly ready: Promise<void>;

  /** @internal @param owner their id, if it is known that the server has one */
  constructor(db: Core, user: string, owner?: string) {
    this.#db = db;
    this.#owner = owner;
    const name = `tidebase ${db.http.base.href} ${user}`;
    this.#store = openStore(name, () => this.close());
    this.#news = newsOf(name, (news) => this.#heard(news));
    this.#tabs = new Tabs(db, name, (leads) => {
      this.#leads = leads;
      this.#kick();
    });
    const shown = () => [...this.#mutations.filter(({ refused }) => !refused), ...this.#unkept];
    const device: Device = {
      get shown() {
        return shown();
      },
      elsewhere: (table, id) => this.#elsewhere(table, id),
      documentElsewhere: (path) => this.#document(path, false),
      recall: async (identity) => (await this.#store).recall(identity),
      changed: (query) => this.#keepLater(query),
      reached: () => this.#sweepSoon(),
    };
    const make = (question: Question) => {
      const query = new OfflineQuery<any>(question, device);
      this.#queries = [...this.#asked, query];
      return query;
    };
    db.loop.query = make;
    this.#isMaking = () => db.loop.query === make;
    this.#off = db.connection.subscribe((state) => state === "open" && this.#kick());
    for (const event of LAST_EVENTS) globalThis.addEventListener?.(event, this.#keepAll);
    this.ready = this.#open();
    // Whoever waits for it hears of it.
    this.ready.catch(() => {});
  }

  /** Is it kept when the page is closed? Known when it is ready. */
  get isDurable(): boolean {
    return this.#opened?.isDurable ?? false;
  }

  /**
   * What the server has not carried out yet, in its order; the last of it perhaps not kept on the device yet, with Infinity for a
   * number. The same array until that changes.
   */
  get pending(): readonly Mutation[] {
    return this.#pending;
  }

  /** What it will not carry out, until it is dismissed. The same array, of the same objects, until that changes. */
  get refused(): readonly Refused[] {
    return this.#refused;
  }

  /** Called after each change of `pending` or `refused`. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Rows of a table, each written by its key. */
  table<Name extends Extract<keyof Tables, string>>(name: Name): OfflineTable<Tables[Name] & TableTypes> {
    return new OfflineTable(name, (patch) => this.add(patch));
  }

  /** SQL for the server. What it changes shows when it has been there. */
  async sql(strings: TemplateStringsArray, ...values: unknown[]): Promise<Written> {
    const { sql, params } = new Statement(strings, values);
    return this.add({ sql, params });
  }

  /** Documents: a batch of `docs.batch()`, all of it or none. */
  async commit(batch: Batch): Promise<Written> {
    if (this.#committed.has(batch)) throw new TidebaseError("invalid", "This is committed. Begin another one.");
    this.#committed.add(batch);
    const now = new Date().toISOString();
    const writes: DocumentWrite[] = batch.writes.map(parse);
    const shown = new Map<string, Known>();
    const settle = (write: DocumentWrite): DocumentWrite => {
      const before = shown.has(write.path) ? shown.get(write.path) : this.#document(write.path, true);
      const made = settled(write, before ? parse(before) : before, now);
      shown.set(write.path, after(made, before));
      return made;
    };
    return this.add({ writes, settled: writes.map(settle) });
  }

  /** It has been seen that this one was refused. */
  async dismiss(number: number): Promise<void> {
    await (await this.#store).dismiss(number);
    this.#dismissed(number);
    this.#news?.tell({ kind: "dismissed", number });
  }

  /** Forgets all that is kept: for a user who signs out. What waits is lost. */
  clear(): Promise<void> {
    // A result that is told meanwhile is not kept behind it.
    this.#isCleared = true;
    this.#changed.clear();
    const turn = this.#turn.then(async () => {
      await (await this.#store).clear();
      this.#cleared();
      this.#news?.tell({ kind: "cleared" });
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Ends it; what waits is sent at the next visit. Queries go on without it. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#off();
    for (const event of LAST_EVENTS) globalThis.removeEventListener?.(event, this.#keepAll);
    this.#keepAll();
    this.#sender?.close();
    this.#tabs.close();
    this.#news?.close();
    // What is being kept is kept first.
    void this.#turn.finally(() => setTimeout(() => this.#opened?.close()));
    // Nobody would say here what comes of it, and the rows may be another's soon.
    this.#forget(CLOSED);
    this.#unkept.clear();
    this.#show();
    this.#queries = [];
    // Another store may have taken its place.
    if (this.#isMaking()) delete (this.#db.loop as { query?: unknown }).query;
  }

  async #open(): Promise<void> {
    const store = await this.#store;
    // It took long, and was closed meanwhile.
    if (this.#isClosed) return void this.#turn.finally(() => store.close());
    this.#opened = store;
    this.#news?.tell({ kind: "begun" });
    this.#sendFrom(store);
    const kept = await store.all();
    if (!this.#isCleared) kept.forEach((mutation) => this.#insert(mutation));
    this.#show();
    this.#kick();
  }

  #sendFrom(store: Store): void {
    const { loop, http } = this.#db;
    this.#sender?.close();
    this.#sender = new Sender(loop, http, store, (outcomes) => this.#settle(outcomes), this.#owner);
  }

  /** @internal */
  async add(change: Change): Promise<Written> {
    // What cannot be sent is refused here, and not when the network is back.
    onTheWire({ number: 0, change });
    const unkept: Mutation = { number: Infinity, change: copyOf(change), madeAt: Date.now() };
    if (!this.#isClosed) this.#unkept.add(unkept);
    this.#showSoon();
    const turn = this.#turn.then(() => this.#added(unkept));
    this.#turn = turn.catch(() => {
      // It could not be kept: it is taken back.
      this.#unkept.delete(unkept);
      this.#show();
    });
    return turn;
  }

  async #added(unkept: Mutation): Promise<Written> {
    if (this.#isClosed) throw new TidebaseError("closed", CLOSED);
    const { change, madeAt } = unkept;
    const number = await (await this.#store).add(change, madeAt);
    const settled = new Promise<number>((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      if (this.#isClosed) this.#forget(CLOSED);
    });
    // Whoever does not wait for it reads `refused`.
    settled.catch(() => {});
    const mutation = { ...unkept, number };
    this.#unkept.delete(unkept);
    this.#insert(mutation);
    this.#news?.tell({ kind: "added", mutation });
    this.#kick();
    return { number, settled };
  }

  #insert(mutation: Mutation): void {
    if (this.#isClosed || this.#mutations.some(({ number }) => number === mutation.number)) return;
    const early = this.#early.get(mutation.number);
    this.#early.delete(mutation.number);
    if (early === "dismissed") return;
    this.#mutations = [...this.#mutations, mutation].sort(byNumber);
    if (early) this.#settled([early]);
    else this.#show();
  }

  #kick(): void {
    if (this.#leads) this.#sender?.kick();
  }

  async #settle(outcomes: Outcome[]): Promise<void> {
    const applied = outcomes.flatMap((outcome) => ("applied" in outcome ? [outcome.number] : []));
    const refused = outcomes.flatMap((outcome) => ("refused" in outcome ? [outcome] : []));
    const tell = () => this.#news?.tell({ kind: "settled", outcomes });
    // Before, for this page may be gone behind it; and behind it, for another may be opened in between.
    tell();
    await this.#opened!.settle(applied, refused);
    this.#settled(outcomes);
    tell();
  }

  /** Most of them are known, and over. */
  #soon(number: number, outcome: Outcome | "dismissed"): void {
    if (this.#early.size >= EARLY_MAX) this.#early.delete(this.#early.keys().next().value!);
    this.#early.set(number, outcome);
  }

  #settled(outcomes: Outcome[]): void {
    for (const outcome of outcomes) {
      const mutation = this.#mutations.find(({ number }) => number === outcome.number);
      if (!mutation) this.#soon(outcome.number, outcome);
      const waiting = this.#waiting.get(outcome.number);
      this.#waiting.delete(outcome.number);
      if ("applied" in outcome) {
        const history = this.#asked.find(({ history }) => history)?.history;
        if (mutation) Object.assign(mutation, { applied: outcome.applied, history });
        waiting?.resolve(outcome.applied);
      } else {
        if (mutation) mutation.refused = outcome.refused;
        waiting?.reject(errorOf(outcome.refused));
      }
    }
    this.#sweep();
    this.#show();
  }

  /** Those that somebody listens to: what was left is told nothing more, and says nothing of what the rows are now. */
  get #asked(): readonly OfflineQuery[] {
    return this.#queries.filter(({ isOver, listeners }) => !isOver && listeners.size > 0);
  }

  /** What was carried out is shown until all results have come so far. */
  #sweep(): void {
    this.#isSweeping = false;
    const asked = this.#asked;
    const isSeen = (mutation: Mutation) => asked.every((query) => query.hasSeen(mutation));
    const left = this.#mutations.filter((mutation) => mutation.applied === undefined || !isSeen(mutation));
    const isNew = left.length < this.#mutations.length;
    this.#mutations = left;
    if (isNew) this.#show();
  }

  #sweepSoon(): void {
    if (this.#isSweeping || !this.#mutations.some(({ applied }) => applied !== undefined)) return;
    this.#isSweeping = true;
    queueMicrotask(() => this.#sweep());
  }

  /** In the frame of the click, whatever the store takes; and not before whoever writes has said all that it writes. */
  #showSoon(): void {
    if (this.#isToShow) return;
    this.#isToShow = true;
    queueMicrotask(() => this.#isToShow && this.#show());
  }

  /** All queries are worked out before the first is told. */
  #show(): void {
    this.#isToShow = false;
    const waiting = this.#mutations.filter(({ applied, refused }) => applied === undefined && !refused);
    this.#pending = stable(this.#pending, [...waiting, ...this.#unkept]);
    for (const one of this.#mutations as Refused[]) if (one.refused) one.error ??= errorOf(one.refused);
    this.#refused = stable(this.#refused, this.#mutations.filter(({ refused }) => refused) as Refused[]);
    const tells = this.#asked.map((query) => query.refresh());
    for (const tell of tells) tell?.();
    callAll(this.#listeners, (listener) => listener());
  }

  #document(path: string, asShown: boolean): Known {
    const known = this.#asked.map((query) => query.findDocument(path, asShown)).filter((one) => one !== null);
    return known.length > 0 ? known.find((one) => one !== undefined) : null;
  }

  /** Of all results that have it, for one may show what another does not. */
  #elsewhere(table: string, id: unknown): Values | undefined {
    const found = this.#asked.map((query) => query.find(table, id)).filter((values) => values !== undefined);
    return found.length > 0 ? Object.assign({}, ...found) : undefined;
  }

  /** When the page has nothing else to do, if its browser can say so. */
  #keepLater(query: OfflineQuery): void {
    if (this.#isCleared || this.#isClosed || this.#changed.has(query)) return;
    this.#changed.add(query);
    const keep = () => this.#keep(query);
    const whenIdle = () => ("requestIdleCallback" in globalThis ? requestIdleCallback(keep, { timeout: 1000 }) : keep());
    const timer = setTimeout(whenIdle, KEEP_AFTER + KEEP_AFTER_ROW * query.kept!.result.rows.length);
    (timer as { unref?: () => void }).unref?.();
  }

  #keepAll = (): void => {
    for (const query of this.#changed) this.#keep(query);
  };

  /** Unless it was kept, or all was cleared, meanwhile. */
  #keep(query: OfflineQuery): void {
    const { kept } = query;
    // A full disk costs a result its keeping, and nothing else.
    if (this.#changed.delete(query) && kept) void this.#opened?.keep(query.identity, kept).catch(() => {});
  }

  #heard(news: News): void {
    // Anybody of this origin may say anything here.
    switch (news?.kind) {
      case "added":
        this.#insert(news.mutation);
        return this.#kick();
      case "settled":
        return this.#settled(news.outcomes);
      case "dismissed":
        return this.#dismissed(news.number);
      case "begun":
        this.#isCleared = false;
        return;
      case "cleared":
        // It may have kept a result between the other page's clearing and its saying so.
        void this.#opened?.forget().catch(() => {});
        return this.#cleared();
    }
  }

  #dismissed(number: number): void {
    const isKnown = this.#mutations.some((mutation) => mutation.number === number);
    if (!isKnown) this.#soon(number, "dismissed");
    this.#mutations = this.#mutations.filter((mutation) => mutation.number !== number || !mutation.refused);
    this.#show();
  }

  #cleared(): void {
    this.#forget("What this device had kept was cleared.");
    this.#changed.clear();
    this.#isCleared = true;
    // What was to be sent is not, though it may wait in a frame.
    if (this.#opened && !this.#isClosed) this.#sendFrom(this.#opened);
    this.#show();
  }

  /** What waits, or was refused, is nothing of this page's any more. */
  #forget(why: string): void {
    for (const { reject } of this.#waiting.values()) reject(new TidebaseError("closed", why));
    this.#waiting.clear();
    this.#mutations = [];
  }
}

/** What was there before, if it is the same. */
const stable = <One>(before: readonly One[], now: readonly One[]) => (areSame(before, now) ? before : now);

/** As it is now: whoever wrote it may go on with their objects, and a framework's proxies cannot be kept. */
function copyOf(change: Change): Change {
  if (!("table" in change)) return change;
  const { key, values } = change;
  return { ...change, ...(key && { key: copied(key) }), ...(values && { values: copied(values) }) };
}

const copied = (values: Values): Values =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value instanceof Uint8Array ? new Uint8Array(value) : value]));

const byNumber = (a: Mutation, b: Mutation) => a.number - b.number;

/** Rows of a table, each written by its key, kept on the device first. */
export class OfflineTable<Types extends TableTypes> {
  #write: (patch: Patch) => Promise<Written>;

  /** @internal */
  constructor(
    /** The table's name. */
    readonly name: string,
    write: (patch: Patch) => Promise<Written>,
  ) {
    this.#write = write;
  }

  /** A new row, its key included: `newId()` makes one. */
  insert(values: Types["Insert"]): Promise<Written> {
    return this.#write({ table: this.name, op: "insert", values: values as Values });
  }

  /** A new row, or these columns of the one that has its key. */
  upsert(values: Types["Insert"]): Promise<Written> {
    return this.#write({ table: this.name, op: "upsert", values: values as Values });
  }

  /** `key` has the columns of the primary key; of the rest only what is given is changed. */
  update(key: Partial<Types["Row"]>, values: Types["Update"]): Promise<Written> {
    return this.#write({ table: this.name, op: "update", key: key as Values, values: values as Values });
  }

  /** The row of this key. */
  delete(key: Partial<Types["Row"]>): Promise<Written> {
    return this.#write({ table: this.name, op: "delete", key: key as Values });
  }
}

/**
 * Keeps rows and writes of this client on the device, from now on. One at a time for each client.
 *
 * @param user who it is kept for, such as `me.user.id`: each has a store of their own on this device
 */
export function offline<Tables = Record<string, AnyTable>>(db: Core, user: string): Offline<Tables> {
  return new Offline<Tables>(db, user);
}

export { newId } from "./id.js";
export type { Mutation, Patch, Refusal, Values } from "./mutation.js";
