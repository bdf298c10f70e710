// The frames of the protocol, as the engine tells them (frames.json, which a test of the engine holds to what is told now).
//
// Three questions: does this client know every kind and every field, does it read them as they are meant, and has the
// protocol changed without anybody thinking of its version?

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { PROTOCOL, type Frame } from "../dist/live/frame.js";
import { append, apply, finish } from "../dist/live/result.js";
import { parse } from "../dist/value.js";

const text = readFileSync(resolve(import.meta.dirname, "../test/frames.json"), "utf8");
const frames: Frame[] = parse(text);

type Kind = Frame["type"];
type Shape<Of> = { [Field in keyof Required<Of>]: (value: any) => boolean };
const number = Number.isSafeInteger;
const string = (value: unknown) => typeof value === "string";
const array = Array.isArray;
const boolean = (value: unknown) => typeof value === "boolean";
const any = () => true;
const id = (value: unknown) => value === undefined || number(value);
const maybe = (check: (value: any) => boolean) => (value: unknown) => value === undefined || check(value);

/** The compiler sees to it that these are the fields of the types, the test that they are those of the frames. */
const SHAPES: { [Of in Kind]: Shape<Extract<Frame, { type: Of }>> } = {
  hello: { type: string, protocol: number, history: string, revision: number },
  rows: { id, type: string, revision: number, tag: string, columns: array, ordered: boolean, base: any, rows: array, done: boolean },
  delta: { type: string, from: number, to: number, queries: array },
  at: { type: string, revision: number },
  unchanged: { id, ids: maybe(array), type: string, revision: number },
  resync: { id, type: string, revision: maybe(number), topic: maybe(string), cursor: maybe(number) },
  changes: { id, type: string, revision: number, changes: array, last: boolean },
  key: { id, type: string, key: string, value: any, revision: number, deleted: maybe(boolean) },
  message: { id, type: string, topic: string, cursor: number, data: any },
  presence: { id, type: string, topic: string, join: array, leave: array },
  result: { id, type: string, result: any, revision: maybe(number) },
  error: { id, type: string, error: string, code: string, statement: maybe(number), column: maybe(string), pointer: maybe(string) },
};

const of = <K extends Kind>(kind: K) => frames.filter((frame): frame is Extract<Frame, { type: K }> => frame.type === kind);

test("every kind is known, with every field", () => {
  assert.deepEqual([...new Set(frames.map(({ type }) => type))].sort(), Object.keys(SHAPES).sort());
  for (const frame of frames) {
    const shape: Record<string, (value: any) => boolean> = SHAPES[frame.type];
    for (const field of Object.keys(frame)) assert.ok(field in shape, `${frame.type} has ${field}`);
    for (const [field, check] of Object.entries(shape)) assert.ok(check((frame as any)[field]), `${frame.type}.${field}`);
  }
});

test("rows and deltas are read as they are meant", () => {
  const [first] = of("rows");
  const incoming = { frame: first!, keys: [], rows: [] };
  append(incoming, first!);
  const result = finish(incoming);
  assert.deepEqual(result.rows, [
    { id: 1, n: 10, x: 0.5, word: "one", bytes: new Uint8Array([0, 255]) },
    { id: 2, n: 9007199254740993n, x: 2, word: "é", bytes: null },
  ]);
  const after = apply(result, of("delta")[0]!.queries[0]!);
  assert.deepEqual(after.rows, [
    { id: 1, n: 10, x: 0.5, word: "first", bytes: new Uint8Array([0, 255]) },
    { id: 3, n: 15, x: null, word: "three", bytes: null },
  ]);
});

test("a change of the protocol is thought of in its version", () => {
  const fields = (value: unknown): unknown =>
    array(value) ? value.map(fields) : typeof value === "object" && value ? Object.entries(value).map(([name, part]) => [name, fields(part)]) : typeof value;
  const hash = createHash("sha256").update(JSON.stringify(frames.map(fields))).digest("hex").slice(0, 16);
  // Can a client of this protocol read the new frames, and one of the new frames the old? If not, PROTOCOL grows, here and
  // in the engine. Then write the new hash.
  assert.deepEqual([PROTOCOL, hash], [1, "45e359f7132f4a3a"]);
});
