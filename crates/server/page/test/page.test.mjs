// The small pure parts: addresses, names in SQL, what the palette finds, what was typed, and when to try again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { readAddress, sqlAddress, topicAddress } from "../address.js";
import { find } from "../palette.js";
import { hinted_milliseconds, pause_milliseconds } from "../socket.js";
import { TABLES_SQL, selectFrom, sortTables } from "../tables.js";
import { readMessage } from "../topics.js";
import { Failure, explain } from "../words.js";

test("addresses come back as they were written", () => {
  const sql = "SELECT 'a&b #1 + 50%' FROM \"t\"\nWHERE x = ?";
  assert.deepEqual(readAddress(sqlAddress(sql)), { view: "sql", sql });
  assert.deepEqual(readAddress(topicAddress("rooms/1 ?#%")), { view: "topics", topic: "rooms/1 ?#%" });
  assert.deepEqual(readAddress("#/topics"), { view: "topics", topic: undefined });
  assert.deepEqual(readAddress(""), { view: "sql", sql: undefined });
  assert.deepEqual(readAddress("#/topics/%zz"), { view: "topics", topic: "%zz" });
  assert.equal(sqlAddress("x".repeat(9000)), "#/sql");
});

test("any table name can be selected from", () => {
  assert.equal(selectFrom('odd "name"'), 'SELECT * FROM "odd ""name""" LIMIT 100');
  assert.ok(TABLES_SQL.endsWith(String.raw`name NOT LIKE 'sqlite\_%' ESCAPE '\'`));
});

test("the server's own tables come last", () => {
  const names = sortTables([{ name: "_tide_log" }, { name: "b" }, { name: "a" }]).map(({ name }) => name);
  assert.deepEqual(names, ["a", "b", "_tide_log"]);
});

test("the palette finds by words, beginnings first", () => {
  const items = [{ kind: "recent query", name: "SELECT * FROM todos" }, { kind: "table", name: "todos" }, { kind: "table", name: "users" }];
  assert.deepEqual(find(items, "todos").map(({ kind }) => kind), ["table", "recent query"]);
  assert.deepEqual(find(items, "tab us").map(({ name }) => name), ["users"]);
  assert.equal(find(items, "").length, 3);
  assert.equal(find(items, "nothing like it").length, 0);
});

test("a message is JSON, or text, but not half of either", () => {
  assert.deepEqual(readMessage(' {"a":1} '), { a: 1 });
  assert.equal(readMessage("hello there"), "hello there");
  assert.equal(readMessage("9007199254740993"), 9007199254740993n);
  assert.throws(() => readMessage('{"a":'), Failure);
  assert.throws(() => readMessage("  "), Failure);
});

test("pauses double, vary by half, and have an end", () => {
  assert.equal(pause_milliseconds(0, 0), 125);
  assert.equal(pause_milliseconds(0, 1), 250);
  assert.equal(pause_milliseconds(3, 1), 2000);
  assert.equal(pause_milliseconds(50, 1), 15_000);
});

test("a restarting server's hint is understood", () => {
  assert.equal(hinted_milliseconds("restarting, retry in 2 s"), 2000);
  assert.equal(hinted_milliseconds("retry in 500 ms"), 500);
  assert.equal(hinted_milliseconds("retry after 3600"), 15_000);
  assert.equal(hinted_milliseconds(""), 0);
});

test("a failure keeps the server's words and names the next step", () => {
  const { what, next } = explain(new Failure("invalid", 'near "SELEC": syntax error', { statement: 1 }));
  assert.equal(what, 'Statement 2: near "SELEC": syntax error');
  assert.equal(next, "Correct it and try again.");
});
