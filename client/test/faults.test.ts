// The real server through a cable with faults: nothing is lost, nothing comes twice, whatever is cut and when.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Snapshot } from "tidebase";
import { client, Server, until, world } from "./world/index.js";

interface Row {
  id: number;
  n: number;
}

test("killed in the middle of frames and started again on the same file, the server goes on where it was", async (context) => {
  const { db, server, proxy } = await world(context);
  await server.query("create table t (id integer primary key, n integer)");
  const live = db.sql<Row>`select * from t order by id`.live();
  context.after(() => live.close());
  await until("the rows", () => live.value);
  for (let round = 1; round <= 3; round++) {
    proxy.pieceBytes = 7;
    proxy.cutAfter(40 * round);
    await server.query("insert into t (n) values (?), (?)", [round, -round]);
    await server.kill();
    assert.notEqual(live.error, live.value);
    await server.start();
    await server.query("update t set n = n + 1 where id = 1");
    await until(`round ${round}`, () => live.value!.rows.length === 2 * round && live.value!.rows[0]!.n === round + 1);
  }
  assert.deepEqual(live.value!.rows, await db.sql`select * from t order by id`);
});

test("a server that stops in good order is waited for", async (context) => {
  const { db, server } = await world(context);
  const states: string[] = [];
  await server.query("create table t (id integer primary key)");
  const live = db.sql<{ n: number }>`select count(*) as n from t`.live();
  await until("the row", () => live.value);
  db.connection.subscribe((state) => states.push(state));
  await server.stop();
  await server.start();
  await server.query("insert into t default values");
  await until("the change", () => live.value!.rows[0]!.n === 1);
  assert.equal(states.at(-1), "open");
});

test("cut at any byte, a client misses nothing and is told nothing twice", async (context) => {
  const { db, server, proxy } = await world(context, { limits: { pauseMin: 1, pauseMax: 2 } });
  await server.query("create table t (id integer primary key, n integer)");
  const told: Snapshot<Row>[] = [];
  const stop = db.sql<Row>`select * from t order by n desc, id`.subscribe((snapshot) => told.push(snapshot));
  context.after(stop);
  await until("the rows", () => told.length === 1);
  let [n, cuts] = [0, 0];
  // Past the greeting, the answer and some deltas of each connection.
  for (let byte = 1; byte < 620; byte += 1 + (byte % 3)) {
    const before = proxy.connections;
    proxy.cutAfter(byte);
    while (proxy.connections === before) {
      await server.query("insert into t (n) values (?)", [++n]);
      await until("the row, or the cut", () => told.at(-1)!.rows.length === n || proxy.connections > before);
    }
    cuts++;
    await until("the last row", () => told.at(-1)!.rows.length === n);
  }
  assert.ok(cuts > 200, `${cuts}`);
  const expected = await server.query("select * from t order by n desc, id");
  assert.deepEqual(told.at(-1)!.rows, expected);
  for (const [index, { rows }] of told.entries()) {
    assert.ok(index === 0 || rows.length > told[index - 1]!.rows.length, "each row once");
    assert.deepEqual(rows, expected.slice(expected.length - rows.length), "as it was at that revision");
  }
});

test("in pieces of one byte everything arrives as it was sent", async (context) => {
  const { db, server, proxy } = await world(context);
  proxy.pieceBytes = 1;
  await server.query("create table t (id integer primary key, word text)");
  const live = db.sql<{ word: string }>`select * from t`.live();
  await until("the rows", () => live.value);
  await server.query("insert into t (word) values ('naïve ⛵ 𝛑')");
  await until("the row", () => live.value!.rows.length === 1);
  assert.equal(live.value!.rows[0]!.word, "naïve ⛵ 𝛑");
});

test("a cable that carries nothing and is not cut is noticed and left", async (context) => {
  const { db, server, proxy } = await world(context, { limits: { silenceTime: 40, answerTime: 40 } });
  await server.query("create table t (id integer primary key)");
  const live = db.sql`select * from t`.live();
  await until("the rows", () => live.value);
  proxy.isStalled = true;
  await server.query("insert into t default values");
  await until("it is noticed", () => db.connection.error);
  proxy.cut();
  proxy.resume();
  await until("the row", () => live.value!.rows.length === 1);
});

test("what was subscribed to without a server comes when there is one", async (context) => {
  const server = await Server.start(context);
  await server.kill();
  const db = client(context, server.url);
  const live = db.sql<{ one: number }>`select 1 as one`.live();
  await until("a failure", () => db.connection.error);
  await server.start();
  assert.deepEqual((await until("the row", () => live.value)).rows, [{ one: 1 }]);
});

test("fifty live queries of which nothing has changed come back without rows", async (context) => {
  const { db, server, proxy } = await world(context);
  await server.query("create table t (id integer primary key, n integer)");
  await server.query("insert into t (n) values (1), (2), (3)");
  let told = 0;
  const lives = Array.from({ length: 50 }, (_, n) => db.sql`select * from t where n = ${n}`.live());
  lives.forEach((live) => live.subscribe(() => told++));
  await until("all rows", () => lives.every((live) => live.value));
  const before = told;
  const bytes = proxy.bytes.down;
  proxy.cut();
  await server.query("insert into t (n) values (4)");
  await until("the one that changed", () => lives[4]!.value!.rows.length === 1);
  await until("all are live", async () => (await server.call("status/database")).subscriptions === 50);
  assert.equal(told - before, 1, "only that one is told");
  assert.ok(proxy.bytes.down - bytes < 4096);
});
