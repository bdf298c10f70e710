// Values: digits kept both ways, and what they look like.

import assert from "node:assert/strict";
import { test } from "node:test";
import { describe, parseByMark, parseExact, same, writeExact } from "../value.js";

const LARGE = 9007199254740993n;

for (const [name, parse] of [["parseExact", parseExact], ["parseByMark", parseByMark]]) {
  test(`${name} keeps every digit of a large integer`, () => {
    assert.deepEqual(parse('{"a":[9007199254740993,-9223372036854775808,9007199254740991]}'), {
      a: [LARGE, -9223372036854775808n, 9007199254740991],
    });
  });

  test(`${name} leaves other numbers and texts alone`, () => {
    const text = '[1.5,1e300,0.1234567890123456789,"9007199254740993","a \\"9007199254740993\\" b","integer-0:1",null,true]';
    assert.deepEqual(parse(text), JSON.parse(text));
  });
}

test("what was parsed is written digit for digit", () => {
  const text = '{"a":[9007199254740993,1,"integer-0:5"],"b":-9223372036854775808}';
  assert.equal(writeExact(parseExact(text)), text);
});

test("NULL and the text NULL are two things", () => {
  assert.equal(describe(null).kind, "null");
  assert.equal(describe("NULL").kind, "text");
});

test("a blob is its first bytes in hex and its length", () => {
  assert.equal(describe({ $blob: "aGVsbG8=" }).line, "x'68656c6c6f' 5 bytes");
  assert.equal(describe({ $blob: "" }).line, "x'' 0 bytes");
  const long = Buffer.from(Array.from({ length: 1500 }, (_, index) => index % 256)).toString("base64");
  assert.equal(describe({ $blob: long }).line, "x'0001020304050607…' 1,500 bytes");
  assert.equal(describe({ $blob: long }).full.length, 3 + 2 * 1500);
});

test("an object that only looks like a blob is JSON", () => {
  assert.equal(describe({ $blob: "aGVsbG8=", more: 1 }).line, '{"$blob":"aGVsbG8=","more":1}');
});

test("a text of several lines is one line in a cell, and whole when read", () => {
  assert.equal(describe("a\nb\tc").line, "a↵b→c");
  assert.equal(describe("a\nb").full, "a\nb");
  assert.equal(describe(LARGE).line, "9007199254740993");
});

test("values are the same as a reader sees them", () => {
  assert.ok(same({ $blob: "aa==" }, { $blob: "aa==" }));
  assert.ok(same(LARGE, 9007199254740993n));
  assert.ok(!same(null, ""));
  assert.ok(!same(1, "1"));
});
