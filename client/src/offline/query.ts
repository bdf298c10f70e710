// A live query that is there at once, as it was the last time, and shows what is written before the server has it.

import type { TidebaseError } from "../error.js";
import type { Delta, Entry, Frame } from "../live/frame.js";
import { LiveQuery, type Question } from "../live/query.js";
import type { Result } from "../live/result.js";
import type { Since, Standing, Tell } from "../live/wish.js";
import { concerns, layDocuments, type Asked } from "./documents.js";
import type { Known } from "./fields.js";
import type { Change, Mutation, Values } from "./mutation.js";
import { lay, placesOf, valuesOf, type Before, type Elsewhere } from "./overlay.js";

/** A result as it is kept from visit to visit. */
export interface Kept {
  readonly result: Result;
  readonly since: Since;
  /** When it was last told, in milliseconds. */
  readonly at: number;
}

/** What a query asks of the device. */
export interface Device {
  /** All that is shown though the server may not have it. */
  readonly shown: readonly Mutation[];
  /** What other results have of a row. */
  elsewhere: Elsewhere;
  documentElsewhere(path: string): Known;
  recall(identity: string): Promise<Kept | undefined>;
  /** It has been told by the server, and should be kept. */
  changed(query: OfflineQuery): void;
  /** It stands at another revision: what was shown for it may be over. */
  reached(): void;
}

export class OfflineQuery<Row = any> extends LiveQuery<Row> {
  #device: Device;
  #asked: Asked;
  /** Has the server spoken since the page was opened? */
  #isFresh = false;
  #before: Before = new Map();
  /** The server has ended it. */
  isOver = false;

  constructor(question: Question, device: Device) {
    super(question);
    this.#device = device;
    this.#asked = question.body;
    void device.recall(question.identity).then((kept) => kept && this.#recalled(kept), () => {});
  }

  get revision(): number {
    return this.since?.revision ?? 0;
  }

  /** In which it stands, once the server has been heard. */
  get history(): string | undefined {
    return this.#isFresh ? this.since?.history : undefined;
  }

  /** Is it in what was told? A server that was put back to an older copy counts anew: its rows are all there is. */
  hasSeen({ applied, history }: Mutation, revision = this.revision): boolean {
    const isAnother = history !== undefined && this.history !== undefined && history !== this.history;
    return applied !== undefined && (isAnother || revision >= applied);
  }

  /** As it may be kept. */
  get kept(): Kept | undefined {
    return this.result && this.since && { result: this.result, since: { ...this.since }, at: Date.now() };
  }

  /** What this result says of a document: as the server has told it, or as it is shown. */
  findDocument(path: string, asShown: boolean): Known {
    const { doc, collection, where, orderBy, limit } = this.#asked;
    const id = path.slice(path.lastIndexOf("/") + 1);
    const rows = (asShown ? this.latest?.rows : this.result?.rows) as readonly any[] | undefined;
    if (!rows || (doc !== path && `${collection}/${id}` !== path)) return null;
    const found = rows.find((row) => row.id === id);
    if (found) return typeof found.data === "string" ? found.data : null;
    return doc !== undefined || (where ?? orderBy ?? limit) === undefined ? undefined : null;
  }

  /** The row of this table and key, if the server has told it here. */
  find(table: string, id: unknown): Values | undefined {
    const { base, columns, rows } = this.result ?? {};
    if (!base || base.table.toLowerCase() !== table.toLowerCase()) return undefined;
    const place = placesOf(rows!, columns!, base).get(id);
    return place === undefined ? undefined : valuesOf(base, columns!, rows![place]);
  }

  override receive(frame: Frame, standing: Standing): Tell | undefined {
    const wasFresh = this.#isFresh;
    this.#isFresh ||= frame.type === "rows" ? frame.done : frame.type === "unchanged";
    const tell = super.receive(frame, standing);
    if (wasFresh || !this.#isFresh || tell) return tell;
    return this.result && this.since ? this.show() : undefined;
  }

  override stage(entry: Entry, delta: Delta, standing: Standing): () => Tell | undefined {
    const commit = super.stage(entry, delta, standing);
    return () => {
      this.#isFresh = true;
      return commit();
    };
  }

  override reach(revision: number, byDelta: boolean): void {
    super.reach(revision, byDelta);
    this.#device.reached();
  }

  override end(error: TidebaseError): Tell {
    this.isOver = true;
    return super.end(error);
  }

  /** What is to be told now that something else is written. */
  refresh(): Tell | undefined {
    return this.result && this.#shown();
  }

  protected override show(): Tell | undefined {
    if (this.#isFresh) this.#device.changed(this);
    return this.#shown();
  }

  #shown(): Tell | undefined {
    const { result, latest } = this;
    // While it is read anew it has no place to go on from, and is shown as it was.
    const revision = this.since?.revision ?? latest?.revision ?? 0;
    const waiting = this.#device.shown.filter((mutation) => !this.hasSeen(mutation, revision));
    if (waiting.length === 0) this.#before.clear();
    const laid = lay(result!, waiting, this.#device.elsewhere, this.#before);
    const writes = waiting.flatMap(({ change }) => ("settled" in change ? change.settled : []));
    const rows = layDocuments(laid, this.#asked, writes, this.#device.documentElsewhere, this.#before);
    const pendingWrites = waiting.some(({ change }) => this.#isConcerned(change));
    const fromCache = !this.#isFresh;
    const isSame = latest && latest.pendingWrites === pendingWrites && latest.fromCache === fromCache;
    if (isSame && areSame(latest.rows, rows)) return undefined;
    this.latest = { rows, revision, fromCache, pendingWrites };
    return this.tell(this.latest);
  }

  /** May it change this result? What SQL does nobody here knows, nor what a result is of that has no base. */
  #isConcerned(change: Change): boolean {
    if ("settled" in change && (this.#asked.doc ?? this.#asked.collection) !== undefined) {
      return change.settled.some((write) => concerns(write, this.#asked));
    }
    const { base } = this.result!;
    return !base || !("table" in change) || change.table.toLowerCase() === base.table.toLowerCase();
  }

  #recalled({ result, since }: Kept): void {
    if (this.result || this.listeners.size === 0) return;
    this.result = result as Result<Row>;
    this.since = { ...since };
    this.#shown()?.();
  }
}

/** The same objects in the same order. */
export const areSame = (a: readonly unknown[], b: readonly unknown[]) =>
  a === b || (a.length === b.length && a.every((row, index) => row === b[index]));
