// Values as the server writes them: integers beyond 2^53 as BigInt, digit for digit, and BLOBs as Uint8Array.
//
// JSON.parse turns 9007199254740993 into 9007199254740992. Such integers pass through it as strings behind a mark that
// is made anew in each process, so that no text from outside can be taken for one.

import { TidebaseError } from "./error.js";

/** What a column holds. */
export type Value = null | number | bigint | string | Uint8Array;
/** What can be bound to a statement. */
export type Param = Value | boolean;
/** A value on its way to the server. */
export type Wire = null | number | bigint | string | boolean | { $blob: string };

const MARK = `${Math.random().toString(36).slice(2)}:`;
const MARKED = new RegExp(`"${MARK}(-?\\d+)"`, "g");
const LONG_DIGITS = /\d{16}/;
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const INTEGER = /^-?\d+$/;

/** JSON.parse that loses no digit of an integer. */
export function parse(text: string): any {
  if (!LONG_DIGITS.test(text)) return JSON.parse(text);
  const isExact = (token: string) => !INTEGER.test(token) || Number.isSafeInteger(Number(token));
  return revive(JSON.parse(text.replace(TOKEN, (token) => (isExact(token) ? token : `"${MARK}${token}"`))));
}

function revive(value: any): any {
  if (typeof value === "string") return value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value;
  if (value instanceof Object) {
    for (const key of Object.keys(value)) {
      const part = value[key];
      if (typeof part !== "number") define(value, key, revive(part));
    }
  }
  return value;
}

/** JSON.stringify that writes a BigInt as its digits. */
export function write(value: unknown): string {
  const marked = (_key: string, part: unknown) => (typeof part === "bigint" ? `${MARK}${part}` : part);
  // Of nothing it is nothing.
  return JSON.stringify(value, marked)?.replace(MARKED, "$1");
}

/** A cell of a result as a value. */
export function cell(wire: any): Value {
  return typeof wire?.$blob === "string" ? bytes(wire.$blob) : wire;
}

/** Sets a property of the object itself, whatever its name: a column may be called `__proto__`. */
export function define(object: any, name: string, value: unknown): void {
  if (name !== "__proto__") object[name] = value;
  else Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}

/** Rows that were parsed as objects, with their BLOBs as bytes. Changes them. */
export function cells<Row>(rows: Row[]): Row[] {
  for (const row of rows as any[]) {
    for (const name of Object.keys(row)) {
      if (row[name] instanceof Object) define(row, name, cell(row[name]));
    }
  }
  return rows;
}

/** A value as it is sent, or `undefined` for what SQLite has no value for. */
export function wire(value: unknown): Wire | undefined {
  if (value instanceof Uint8Array) return { $blob: base64(value) };
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  return value === null || /^(string|bigint|boolean)$/.test(typeof value) ? (value as Wire) : undefined;
}

/** The same, refused in words. `what` names the place. */
export function bound(value: unknown, what: string): Wire {
  const sent = wire(value);
  if (sent !== undefined) return sent;
  throw new TidebaseError("invalid", `${what} is no value of SQLite: ${String(value)}.`, {
    hint: "Of a date or an object bind its text.",
  });
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function base64(value: Uint8Array): string {
  let text = "";
  for (let at = 0; at < value.length; at += 0x8000) text += String.fromCharCode(...value.subarray(at, at + 0x8000));
  return btoa(text);
}
