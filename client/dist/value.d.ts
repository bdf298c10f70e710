/** What a column holds. */
export type Value = null | number | bigint | string | Uint8Array;
/** What can be bound to a statement. */
export type Param = Value | boolean;
/** A value on its way to the server. */
export type Wire = null | number | bigint | string | boolean | {
    $blob: string;
};
/** JSON.parse that loses no digit of an integer. */
export declare function parse(text: string): any;
/** JSON.stringify that writes a BigInt as its digits. */
export declare function write(value: unknown): string;
/** A cell of a result as a value. */
export declare function cell(wire: any): Value;
/** Sets a property of the object itself, whatever its name: a column may be called `__proto__`. */
export declare function define(object: any, name: string, value: unknown): void;
/** Rows that were parsed as objects, with their BLOBs as bytes. Changes them. */
export declare function cells<Row>(rows: Row[]): Row[];
/** A value as it is sent, or `undefined` for what SQLite has no value for. */
export declare function wire(value: unknown): Wire | undefined;
/** The same, refused in words. `what` names the place. */
export declare function bound(value: unknown, what: string): Wire;
