// A live query as a wish: its rows, and where they stand.
//
// Two revisions: `revision` is that of the rows; the socket may be further when first rows took many frames, or when a
// resumed query has not been answered yet. The next delta frame covers the difference, named in it or not.
import { Fault } from "./fault.js";
import { append, apply, finish } from "./result.js";
import { Wish } from "./wish.js";
export class LiveQuery extends Wish {
    #statement;
    #result;
    #incoming;
    #since;
    #snapshot;
    /** Has it been answered on this socket, so that deltas are of these rows? */
    #isLive = false;
    #isBehind = false;
    constructor(statement) {
        super(statement.identity);
        this.#statement = statement;
    }
    get latest() {
        return this.#snapshot;
    }
    ask() {
        const { body } = this.#statement;
        return this.#result && this.#since ? { ...body, since: { ...this.#since, tag: this.#result.tag } } : body;
    }
    receive(frame, standing) {
        switch (frame.type) {
            case "rows":
                return this.#rows(frame, standing);
            case "unchanged":
                if (!this.#result)
                    throw new Fault("no rows were here");
                this.#stand(frame.revision, standing);
                return undefined;
            case "resync":
                this.forget();
                return undefined;
            default:
                return undefined;
        }
    }
    /** What an entry of a delta frame makes of it; nothing is changed before the returned function is called. */
    stage(entry, { from, to }, standing) {
        if (!this.#result || !this.#since || (!this.#isLive && entry.since === undefined)) {
            throw new Fault("the rows are not whole");
        }
        const start = entry.since ?? (this.#isBehind ? this.#since.revision : from);
        if (start !== this.#since.revision) {
            this.forget();
            throw new Fault(`its rows are not at ${start}`);
        }
        const after = this.#applied(this.#result, entry);
        return () => {
            this.#result = after;
            this.#stand(to, { ...standing, revision: to });
            return this.#show();
        };
    }
    /** The socket has come to a revision. Behind rows that are not whole, or have not caught up, only a delta frame leads. */
    reach(revision, byDelta) {
        if (!this.#isLive || !this.#since || (this.#isBehind && !byDelta))
            return;
        this.#since.revision = revision;
        this.#isBehind = false;
    }
    lost() {
        this.#incoming = undefined;
        this.#isLive = false;
    }
    forget() {
        this.lost();
        this.#since = undefined;
    }
    /** A result that a frame does not fit is read anew as a whole. */
    #applied(result, entry) {
        try {
            return apply(result, entry);
        }
        catch (error) {
            this.forget();
            throw error;
        }
    }
    #rows(frame, standing) {
        if (!this.#incoming)
            this.forget();
        const incoming = (this.#incoming ??= { frame, keys: [], rows: [] });
        append(incoming, frame);
        if (!frame.done)
            return undefined;
        this.#incoming = undefined;
        this.#result = finish(incoming, this.#result);
        this.#stand(frame.revision, standing);
        return this.#show();
    }
    #stand(revision, { history, revision: socket }) {
        this.#since = { history, revision };
        this.#isLive = true;
        this.#isBehind = revision !== socket;
        this.refusals = 0;
    }
    /** Rows that came again as they were are no news. */
    #show() {
        const { rows } = this.#result;
        if (this.#snapshot?.rows === rows)
            return undefined;
        this.#snapshot = { rows, revision: this.#since.revision };
        return this.tell(this.#snapshot);
    }
}
