// Our own WebSocket for Node: bytes as RFC 6455 says, however they are cut.

import assert from "node:assert/strict";
import { test } from "node:test";
import { BadFrame, encode, encodeText, FrameReader, type Part } from "../dist/node/frames.js";
import { client, Script, until } from "./world/index.js";

const bytes = (...parts: (number | string)[]) => Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from([part]))));

const hello = bytes(0x81, 5, "hello");
const pieces = bytes(0x01, 3, "wör".slice(0, 2), 0x89, 1, "p", 0x80, 0);
const long = Buffer.concat([bytes(0x81, 127), Buffer.from([0, 0, 0, 0, 0, 1, 0x11, 0x70]), Buffer.alloc(70_000, "x")]);
const middle = Buffer.concat([bytes(0x81, 126, 1, 0), Buffer.alloc(256, "y")]);

test("frames are read whole, wherever the bytes are cut", () => {
  const all = Buffer.concat([hello, pieces, long, middle, bytes(0x8a, 0), bytes(0x88, 5, 0x03, 0xe8, "bye")]);
  for (const size of [1, 2, 3, 7, 1000, all.length]) {
    const reader = new FrameReader();
    const parts: Part[] = [];
    for (let at = 0; at < all.length; at += size) parts.push(...reader.read(all.subarray(at, at + size)));
    const told = parts.map((part) => (part.is === "text" ? (part.text.length > 100 ? part.text.length : part.text) : part.is));
    assert.deepEqual(told, ["hello", "ping", "wö", 70_000, 256, "close"], `in pieces of ${size}`);
  }
});

const wrong: Record<string, [code: number, frame: Buffer]> = {
  "reserved bits": [1002, bytes(0xc1, 0)],
  "a masked frame": [1002, bytes(0x81, 0x80)],
  "a cut ping": [1002, bytes(0x09, 0)],
  "a long ping": [1002, bytes(0x89, 126)],
  "a piece of nothing": [1002, bytes(0x80, 0)],
  "a text inside of a text": [1002, bytes(0x01, 1, "a", 0x81, 1, "b")],
  "half a close code": [1002, bytes(0x88, 1, 3)],
  "bytes instead of text": [1003, bytes(0x82, 1, 1)],
  "what is not UTF-8": [1007, bytes(0x81, 1, 0xff)],
  "too much": [1009, Buffer.concat([bytes(0x81, 127), Buffer.from([0, 0, 0, 1, 0, 0, 0, 0])])],
  "too much in pieces": [1009, Buffer.concat([bytes(0x01, 126, 2, 0), Buffer.alloc(512), bytes(0x00, 126, 2, 1)])],
};

for (const [name, [code, frame]] of Object.entries(wrong)) {
  test(`${name}: closed with ${code}`, () => {
    const reader = new FrameReader(1024);
    assert.throws(() => [...reader.read(frame)], (error: BadFrame) => error instanceof BadFrame && error.code === code);
  });
}

test("what is sent is masked, in each of the three lengths", () => {
  const mask = Buffer.from([1, 2, 3, 4]);
  assert.deepEqual(encodeText("abc", mask), bytes(0x81, 0x83, 1, 2, 3, 4, 0x61 ^ 1, 0x62 ^ 2, 0x63 ^ 3));
  assert.deepEqual(encode(1, Buffer.alloc(200), mask).subarray(0, 8), bytes(0x81, 0x80 | 126, 0, 200, 1, 2, 3, 4));
  assert.deepEqual(encode(1, Buffer.alloc(65_536), mask).subarray(0, 10), bytes(0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0));
});

test("a server that breaks the rules is left, and one that pings is answered", async (context) => {
  const script = await Script.start(context);
  const db = client(context, script.url);
  const live = db.sql`select`.live();
  context.after(() => live.close());
  const first = await script.socket(0);
  first.raw(0x82, Buffer.from([1]));
  const second = await script.socket(1);
  second.hello();
  second.raw(0x89, Buffer.from("ping"));
  await until("a pong", () => script.kinds.includes(10));
});
