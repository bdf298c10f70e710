import type { Statement } from "../statement.js";
import type { Delta, Entry, Frame } from "./frame.js";
import { Wish, type Standing, type Tell } from "./wish.js";
/** What a live query is at one revision. The same rows are the same objects in the next. */
export interface Snapshot<Row> {
    readonly rows: readonly Row[];
    /** All commits up to this one are in it, and none behind it. */
    readonly revision: number;
}
export declare class LiveQuery<Row = any> extends Wish<Snapshot<Row>> {
    #private;
    constructor(statement: Statement);
    get latest(): Snapshot<Row> | undefined;
    ask(): object;
    receive(frame: Frame, standing: Standing): Tell | undefined;
    /** What an entry of a delta frame makes of it; nothing is changed before the returned function is called. */
    stage(entry: Entry, { from, to }: Delta, standing: Standing): () => Tell | undefined;
    /** The socket has come to a revision. Behind rows that are not whole, or have not caught up, only a delta frame leads. */
    reach(revision: number, byDelta: boolean): void;
    lost(): void;
    forget(): void;
}
