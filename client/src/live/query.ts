// A live query as a wish: its rows, and where they stand.
//
// Two revisions: `revision` is that of the rows; the socket may be further when first rows took many frames, or when a
// resumed query has not been answered yet. The next delta frame covers the difference, named in it or not.

import { Fault } from "./fault.js";
import type { Delta, Entry, Frame, Rows } from "./frame.js";
import { append, apply, finish, type Incoming, type Result } from "./result.js";
import { Wish, type Standing, type Tell } from "./wish.js";

/** What a live query is at one revision. The same rows are the same objects in the next. */
export interface Snapshot<Row> {
  /** Rows that have not changed are the same objects as before. Do not change them. */
  readonly rows: readonly Row[];
  /** All commits up to this one are in it, and none behind it. */
  readonly revision: number;
  /** The server has not been heard yet: with `tidebase/offline` kept from an earlier time; with `tidebase/all` no rows where nobody is signed in, or somebody else was. */
  readonly fromCache?: boolean;
  /** With `tidebase/offline`: writes that the server has not carried out yet are in it, or may change it. */
  readonly pendingWrites?: boolean;
}

/** What is asked: by its identity, and as a subscribe frame says it. A statement is one. */
export interface Question {
  readonly identity: string;
  readonly body: object;
}

export class LiveQuery<Row = any> extends Wish<Snapshot<Row>> {
  #question: Question;
  /** @internal */
  result: Result<Row> | undefined;
  #incoming: Incoming | undefined;
  /** Has it been answered on this socket, so that deltas are of these rows? */
  #isLive = false;
  #isBehind = false;

  constructor(question: Question) {
    super(question.identity);
    this.#question = question;
  }

  ask(): object {
    const { body } = this.#question;
    return this.since ? { ...body, since: { ...this.since, tag: this.result!.tag } } : body;
  }

  receive(frame: Frame, standing: Standing): Tell | undefined {
    switch (frame.type) {
      case "rows":
        return this.#rows(frame, standing);
      case "unchanged":
        if (!this.result) throw new Fault("a row is missing");
        this.#stand(frame.revision, standing);
        break;
      case "resync":
        this.forget();
    }
    return undefined;
  }

  override stage(entry: Entry, { from, to }: Delta, standing: Standing): () => Tell | undefined {
    if (!this.since || (!this.#isLive && entry.since === undefined)) {
      throw new Fault("a row is missing");
    }
    const start = entry.since ?? (this.#isBehind ? this.since.revision : from);
    if (start !== this.since.revision) {
      this.forget();
      throw new Fault(`it starts at ${start}`);
    }
    const after = this.#applied(this.result!, entry);
    return () => {
      this.result = after;
      this.#stand(to, { ...standing, revision: to });
      return this.show();
    };
  }

  /** Behind rows that are not whole, or have not caught up, only a delta frame leads. */
  override reach(revision: number, byDelta: boolean): void {
    if (!this.#isLive || !this.since || (this.#isBehind && !byDelta)) return;
    this.since.revision = revision;
    this.#isBehind = false;
  }

  override lost(): void {
    this.#incoming = undefined;
    this.#isLive = false;
  }

  override forget(): void {
    this.lost();
    this.since = undefined;
  }

  /** A result that a frame does not fit is read anew as a whole. */
  #applied(result: Result<Row>, entry: Entry): Result<Row> {
    try {
      return apply(result, entry);
    } catch (error) {
      this.forget();
      throw error;
    }
  }

  #rows(frame: Rows, standing: Standing): Tell | undefined {
    if (!this.#incoming) this.forget();
    const incoming = (this.#incoming ??= { frame, keys: [], rows: [] });
    append(incoming, frame);
    if (!frame.done) return undefined;
    this.#incoming = undefined;
    this.result = finish(incoming, this.result);
    this.#stand(frame.revision, standing);
    return this.show();
  }

  #stand(revision: number, { history, revision: socket }: Standing): void {
    this.since = { history, revision };
    this.#isLive = true;
    this.#isBehind = revision !== socket;
    this.refusals = 0;
  }

  /** Rows that came again as they were are no news. */
  protected show(): Tell | undefined {
    const { rows } = this.result!;
    if (this.latest?.rows === rows) return undefined;
    this.latest = { rows, revision: this.since!.revision };
    return this.tell(this.latest);
  }
}
