// The real server through a cable with faults: nothing is lost, nothing comes twice, whatever is cut and when.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Snapshot } from "tidebase";
import { client, Server, text, unmasked, until, world, type World } from "./world/index.js";

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

/** Fifty different queries, each with a text of its own. */
const fifty = (db: World["db"]) =>
  Array.from({ length: 50 }, (_, n) => db.sql<Row>(text(`select id, n, ${n} as "of" from t where n > ${n} order by n desc, id`)).live());

test("fifty live queries of which nothing has changed come back in one round trip, with 2 KB of frames", async (context) => {
  const { db, server, proxy } = await world(context);
  await server.query("create table t (id integer primary key, n integer)");
  await server.query("insert into t (n) values (1), (2), (3)");
  let told = 0;
  const lives = fifty(db);
  lives.forEach((live) => live.subscribe(() => told++));
  await until("all rows", () => lives.every((live) => live.value));
  const before = told;
  const { up, down } = (proxy.passed = { up: [] as Buffer[], down: [] as Buffer[] });
  proxy.cut();
  await until("the answer", () => Buffer.concat(down).includes('"unchanged"') && Buffer.concat(down).includes('"result"'));
  const [sent, heard] = [up, down].map((chunks) => Buffer.concat(chunks)).map((bytes) => bytes.subarray(bytes.indexOf("\r\n\r\n") + 4));
  const { text: frame, rest } = unmasked(sent!)!;
  assert.deepEqual([JSON.parse(frame).action, JSON.parse(frame).queries.length, rest.length], ["resume", 50, 0]);
  const bytes = sent!.length + heard!.length;
  console.log(`50 live queries came back with ${bytes} bytes of frames`);
  assert.ok(bytes <= 2048, `${bytes}`);
  await server.query("insert into t (n) values (1)");
  await until("they go on", () => lives[0]!.value!.rows.length === 4);
  assert.equal(told - before, 1, "nobody was told what they knew");
  lives.forEach((live) => live.close());
});

test("a server that has forgotten the tags is told the SQL, and what has changed meanwhile comes all the same", async (context) => {
  const { db, server, proxy } = await world(context, {}, "--limit", "live_tags_bytes_max=5000");
  await server.query("create table t (id integer primary key, n integer)");
  const lives = fifty(db);
  context.after(() => lives.forEach((live) => live.close()));
  await until("all rows", () => lives.every((live) => live.value));
  for (let round = 1; round <= 5; round++) {
    if (round === 3) await server.stop().then(() => server.start());
    proxy.cut();
    await server.query("insert into t (n) values (?)", [7 * round]);
    await until(`round ${round}`, () => lives.every((live, n) => live.value!.rows.length === Array.from({ length: round }, (_, at) => 7 * (at + 1)).filter((n_) => n_ > n).length));
  }
});
