// What can be written into a field: a JSON value, or what is to be done to the one that is there.
//
// JSON.stringify leaves out `undefined`, writes null for NaN and {} for a Map. Of what is to be kept that would be a loss nobody
// hears of, so it is refused here, with the field's path.

import { invalid } from "./path.js";

/** What a write does to a field. Made by the functions below. */
export class FieldValue {
  /** @internal */
  constructor(
    /** @internal */
    readonly change: object,
  ) {}

  /** As it is sent. */
  toJSON(): object {
    return this.change;
  }
}

/** The sum of what is there and this. Whole numbers stay exact up to 64 bits. */
export const increment = (by: number | bigint): FieldValue => new FieldValue({ $increment: sound(by, "increment") });
/** The time of the write at the server, as `new Date().toISOString()` writes it. */
export const serverTimestamp = (): FieldValue => new FieldValue({ $serverTimestamp: true });
/** The array with those of the values that were not in it. */
export const arrayUnion = (...values: unknown[]): FieldValue => new FieldValue({ $arrayUnion: sound(values, "arrayUnion") });
/** The array without them. */
export const arrayRemove = (...values: unknown[]): FieldValue => new FieldValue({ $arrayRemove: sound(values, "arrayRemove") });
/** The field is gone afterwards. */
export const deleteField = (): FieldValue => new FieldValue({ $delete: true });

/** The path of a field by its names, of which some may have dots or spaces in them. */
export const fieldPath = (...names: string[]): string =>
  names.map((name) => (/[.\s]/.test(name) ? `\`${name}\`` : name)).join(".");

const DEPTH_MAX = 100;

/** What the server takes for a change of a field, in the place of a value. */
const CHANGE = /^\$(increment|serverTimestamp|arrayUnion|arrayRemove|delete)$/;

/** Gives the value back, or refuses it. Changes of fields stand in documents, not in arrays or conditions. */
export function sound<Value>(value: Value, at: string, mayChange = false, depth = 0): Value {
  if (!isSound(value, at, mayChange, depth)) {
    throw invalid(`${at} cannot be sent: it is ${typeof value === "object" ? "no plain object, or too deep" : String(value)}.`, {
      hint: "There is what JSON has, dates, bigints of 64 bits and, in objects, increment() and its like.",
    });
  }
  return value;
}

function isSound(value: any, at: string, mayChange: boolean, depth: number): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value === "bigint") return BigInt.asIntN(64, value) === value;
  if (typeof value !== "object") return typeof value === "string" || typeof value === "boolean";
  if (value === null) return true;
  if (depth > DEPTH_MAX) return false;
  if (value instanceof FieldValue) return mayChange;
  if (Array.isArray(value)) {
    // Not forEach, which passes over holes.
    for (let index = 0; index < value.length; index++) sound(value[index], `${at}[${index}]`, false, depth + 1);
    return true;
  }
  if (isSpoken(value)) return !Number.isNaN(value.valueOf());
  if (!isPlain(value)) return false;
  const names = Object.keys(value);
  if (mayChange && names.length === 1 && CHANGE.test(names[0]!)) return false;
  for (const name of names) sound(value[name], `${at}.${name}`, mayChange, depth + 1);
  return true;
}

/** It says itself what it is as JSON, as dates do. */
const isSpoken = (value: any) => typeof value.toJSON === "function";

/** Also of another page or worker, which has an Object of its own. */
function isPlain(value: any): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || isSpoken(value)) return false;
  const like = Object.getPrototypeOf(value);
  return like === null || Object.getPrototypeOf(like) === null;
}

/** A document, or fields of one. */
export function fields<Fields>(given: Fields): Fields {
  if (isPlain(given)) {
    for (const [name, value] of Object.entries(given)) sound(value, name, true, 1);
    return given;
  }
  throw invalid("A document is an object of fields.");
}

/** The fields in which a document differs from an empty one, by their paths: objects are merged, all else is a value. */
export function leaves(document: object): object {
  const found: [string, unknown][] = [];
  const walk = (object: object, before: string) => {
    for (const [name, value] of Object.entries(object)) {
      const path = before + fieldPath(name);
      if (isPlain(value) && Object.keys(value).length > 0) walk(value, `${path}.`);
      else found.push([path, value]);
    }
  };
  walk(document, "");
  // Unlike an assignment this takes every name for what it is, `__proto__` too.
  return Object.fromEntries(found);
}
