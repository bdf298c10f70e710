import type { Http } from "./http.js";
import type { Asking } from "./sql.js";
import { type Value } from "./value.js";
/** What `tidebase types` writes of each table. */
export interface TableTypes {
    Row: object;
    Insert: object;
    Update: object;
}
export interface AnyTable extends TableTypes {
    Row: Record<string, any>;
    Insert: Record<string, any>;
    Update: Record<string, any>;
}
/** The primary key; of several columns an array in their order. */
export type RowId = Value | readonly Value[];
export interface Page<Row> {
    rows: Row[];
    /** For `after` of the next page, if there is one. */
    next: string | undefined;
    /** All rows that fit, whatever the page; with `count()`. */
    count: number | undefined;
}
type Column<Row> = Extract<keyof Row, string>;
type Parameters = readonly (readonly [name: string, value: string])[];
export declare class Table<Types extends TableTypes = AnyTable, Row = Types["Row"]> implements PromiseLike<Row[]> {
    #private;
    readonly name: string;
    /** @internal */
    constructor(name: string, http: Http, parameters?: Parameters);
    /** `*`, columns, `alias:column`, and tables that a foreign key leads to, `author(name)`. */
    select<Picked = Record<string, any>>(...columns: string[]): Table<Types, Picked>;
    eq: (column: Column<Types["Row"]>, value: Value | boolean) => Table<Types, Row>;
    ne: (column: Column<Types["Row"]>, value: Value | boolean) => Table<Types, Row>;
    gt: (column: Column<Types["Row"]>, value: Value | boolean) => Table<Types, Row>;
    gte: (column: Column<Types["Row"]>, value: Value | boolean) => Table<Types, Row>;
    lt: (column: Column<Types["Row"]>, value: Value | boolean) => Table<Types, Row>;
    lte: (column: Column<Types["Row"]>, value: Value | boolean) => Table<Types, Row>;
    like: (column: Column<Types["Row"]>, value: Value | boolean) => Table<Types, Row>;
    in(column: Column<Types["Row"]>, values: readonly Value[]): Table<Types, Row>;
    is(column: Column<Types["Row"]>, what: "null" | "not_null" | "true" | "false"): Table<Types, Row>;
    /** Called again it sorts further, where the columns before are equal. */
    order(column: Column<Types["Row"]>, direction?: "asc" | "desc"): Table<Types, Row>;
    limit(rows: number): Table<Types, Row>;
    offset(rows: number): Table<Types, Row>;
    /** Goes on behind a page, by its `next`. */
    after(next: string): Table<Types, Row>;
    count(): Table<Types, Row>;
    page({ signal }?: Asking): Promise<Page<Row>>;
    then<A = Row[], B = never>(resolve?: ((rows: Row[]) => A | PromiseLike<A>) | null, reject?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<A | B>;
    /** `undefined` if there is none. */
    get(id: RowId, { signal }?: Asking): Promise<Row | undefined>;
    /**
     * Gives the row as it is stored, or of several, all or none of them, the rows. `onConflict` names the columns of a
     * unique key: where there is such a row it is changed.
     */
    insert(row: Types["Insert"], options?: Inserting): Promise<Types["Row"]>;
    insert(rows: readonly Types["Insert"][], options?: Inserting): Promise<Types["Row"][]>;
    /** Changes the columns that are given; `not_found` if there is no such row. */
    update(id: RowId, columns: Types["Update"], { signal }?: Asking): Promise<Types["Row"]>;
    /** Replaces the row: what is not given gets its default. */
    replace(id: RowId, row: Types["Insert"], { signal }?: Asking): Promise<Types["Row"]>;
    delete(id: RowId, { signal }?: Asking): Promise<void>;
}
export interface Inserting extends Asking {
    onConflict?: readonly string[];
}
export {};
