// Rows and deltas, as a small table language: a row is `key:value`, a place `key@index`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault, Result, applyDelta, compareRows } from "../result.js";

const rows = (text) => text.split(" ").filter(Boolean).map((row) => row.split(":"));
const words = (held) => held.map((row) => row.join(":")).join(" ");

function entryOf({ delete: deleted, insert, update, place }) {
  return {
    ...(deleted && { delete: deleted.split(" ") }),
    ...(insert && { insert: rows(insert) }),
    ...(update && { update: rows(update) }),
    ...(place && { place: place.split(" ").map((one) => [one.split("@")[0], Number(one.split("@")[1])]) }),
  };
}

function check(before, entry, after, ordered = true) {
  assert.equal(words(applyDelta(rows(before), entryOf(entry), ordered).rows), after);
}

function refuses(before, entry, ordered = true) {
  assert.throws(() => applyDelta(rows(before), entryOf(entry), ordered), Fault);
}

test("a deleted row vanishes, an updated one stays where it is", () => {
  check("a:1 b:2 c:3", { delete: "b" }, "a:1 c:3");
  check("a:1 b:2 c:3", { update: "b:9" }, "a:1 b:9 c:3");
  check("a:1", { delete: "a" }, "");
});

test("an inserted row of an unordered result comes last", () => {
  check("a:1", { insert: "b:2 c:3" }, "a:1 b:2 c:3", false);
});

test("a placed row stands at its final index", () => {
  check("a:1 c:3", { insert: "b:2", place: "b@1" }, "a:1 b:2 c:3");
  check("", { insert: "a:1 b:2", place: "a@0 b@1" }, "a:1 b:2");
  check("a:1 b:2", { insert: "c:3", place: "c@2" }, "a:1 b:2 c:3");
});

test("a moved row is taken out before it is put back", () => {
  check("a:1 b:2 c:3", { place: "a@2" }, "b:2 c:3 a:1");
  check("a:1 b:2 c:3", { place: "c@0" }, "c:3 a:1 b:2");
  check("a:1 b:2 c:3", { update: "a:9", place: "a@2" }, "b:2 c:3 a:9");
  check("a:1 b:2 c:3 d:4", { place: "d@0 a@3" }, "d:4 b:2 c:3 a:1");
});

test("deletes, inserts, updates and places of one entry act together", () => {
  const entry = { delete: "b", insert: "e:5 f:6", update: "c:9 d:8", place: "e@0 c@1 f@3" };
  check("a:1 b:2 c:3 d:4", entry, "e:5 c:9 a:1 f:6 d:8");
});

test("a row may be deleted and inserted again under its key", () => {
  check("a:1 b:2", { delete: "a", insert: "a:7" }, "b:2 a:7", false);
});

test("an entry that does not fit is refused", () => {
  refuses("a:1", { delete: "b" });
  refuses("a:1", { update: "b:2" });
  refuses("a:1", { insert: "a:2", place: "a@0" });
  refuses("a:1", { insert: "b:2" });
  refuses("a:1", { place: "b@0" });
  refuses("a:1", { insert: "b:2", place: "b@2" });
  refuses("a:1 b:2", { place: "a@1 b@0" });
  refuses("a:1", { place: "a@0 a@0" });
  refuses("a:1", { insert: "b:2 b:3" }, false);
});

test("a random history ends where the sorted rows are", () => {
  let seed = 7;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  let held = [];
  for (let step = 0; step < 500; step += 1) {
    const next = new Map(held.map((row) => [row[0], row]));
    for (let change = 0; change < 4; change += 1) {
      const key = `k${random(20)}`;
      if (random(3) === 0) next.delete(key);
      else next.set(key, [key, random(10)]);
    }
    const sorted = [...next.values()].sort((a, b) => a[1] - b[1] || a[0].localeCompare(b[0]));
    held = applyDelta(held, difference(held, sorted), true).rows;
    assert.deepEqual(held, sorted);
  }
});

/** A delta as the server may write it: what is new or has another value is placed; the rest keeps its order. */
function difference(before, after) {
  const old = new Map(before.map((row) => [row[0], row]));
  const now = new Map(after.map((row) => [row[0], row]));
  const insert = after.filter((row) => !old.has(row[0]));
  const update = after.filter((row) => old.has(row[0]) && old.get(row[0])[1] !== row[1]);
  const moved = new Set([...insert, ...update].map((row) => row[0]));
  const place = after.flatMap((row, index) => (moved.has(row[0]) ? [[row[0], index]] : []));
  return { delete: before.filter((row) => !now.has(row[0])).map((row) => row[0]), insert, update, place };
}

test("only changed cells wash, and new rows whole", () => {
  const { washes } = applyDelta([["a", 1, 2, null]], { update: [["a", 1, 3, null]], insert: [["b", 1, 1, 1]] }, false);
  assert.deepEqual(washes, new Map([["a", new Set([2])], ["b", true]]));
  assert.deepEqual(compareRows(rows("a:1 b:2"), rows("b:3 a:1 c:1")), new Map([["b", new Set([1])], ["c", true]]));
});

test("rows in chunks become one result when done", () => {
  const result = new Result();
  const chunk = { revision: 5, tag: "t", columns: ["v"], ordered: false };
  assert.equal(result.takeRows({ ...chunk, rows: rows("a:1"), done: false }, "h"), null);
  assert.equal(words(result.shown.rows), "a:1");
  assert.equal(result.complete, false);
  assert.equal(result.since(), undefined);
  result.takeRows({ ...chunk, rows: rows("b:2"), done: true }, "h");
  assert.equal(words(result.rows), "a:1 b:2");
  assert.deepEqual(result.since(), { history: "h", revision: 5, tag: "t" });
});

test("rows read again wash what differs, and show the old ones until done", () => {
  const result = new Result();
  const chunk = { revision: 5, tag: "t", columns: ["v"], ordered: false };
  result.takeRows({ ...chunk, rows: rows("a:1 b:2"), done: true }, "h");
  result.forget();
  result.takeRows({ ...chunk, revision: 6, rows: rows("a:1"), done: false }, "h");
  assert.equal(words(result.shown.rows), "a:1 b:2");
  const washes = result.takeRows({ ...chunk, revision: 6, rows: rows("c:3"), done: true }, "h");
  assert.deepEqual(washes, new Map([["c", true]]));
});

test("chunks of two revisions, or with one key twice, are refused", () => {
  const chunk = { revision: 5, tag: "t", columns: ["v"], ordered: false };
  const result = new Result();
  result.takeRows({ ...chunk, rows: rows("a:1"), done: false }, "h");
  assert.throws(() => result.takeRows({ ...chunk, revision: 6, rows: [], done: true }, "h"), Fault);
  assert.throws(() => new Result().takeRows({ ...chunk, rows: rows("a:1 a:2"), done: true }, "h"), Fault);
});
