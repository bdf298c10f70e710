// SQL over HTTP: values as they are, errors in the server's words, nothing carried out twice.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { createClient, TidebaseError } from "tidebase";
import { client, QUICK, Server, TOKEN, until, world } from "./world/index.js";

test("values come back as they went, digit for digit and byte for byte", async (context) => {
  const { db } = await world(context);
  const sent = [9007199254740993n, -9223372036854775808n, 42, 0.1234567890123456789, "né \"q\" 12345678901234567890", null];
  const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256);
  const [row] = await db.sql<Record<string, unknown>>`select ${sent[0]} as a, ${sent[1]} as b, ${sent[2]} as c, ${sent[3]} as d,
    ${sent[4]} as e, ${sent[5]} as f, ${true} as g, ${bytes} as h, 1 as "__proto__"`;
  assert.deepEqual(Object.values(row!).slice(0, 7), [...sent, 1]);
  assert.deepEqual(row!.h, bytes);
  assert.equal(Object.getPrototypeOf(row), Object.prototype);
  assert.ok(Object.hasOwn(row!, "__proto__"));
});

test("what looks like our mark or a large number inside of a text stays a text", async (context) => {
  const { db } = await world(context);
  const odd = '{"$blob":"AA=="} "9007199254740993" \\ 9007199254740993';
  const [row] = await db.sql<{ odd: string; n: bigint }>`select ${odd} as odd, 9007199254740993 as n`;
  assert.deepEqual(row, { odd, n: 9007199254740993n });
});

test("what SQLite cannot hold is refused before it is sent", () => {
  const db = createClient("http://127.0.0.1:1");
  for (const value of [undefined, NaN, Infinity, new Date(), {}, [1], () => 1, Symbol.iterator]) {
    assert.throws(() => db.sql`select ${value}`, (error: TidebaseError) => error.code === "invalid" && /Parameter 1/.test(error.message));
  }
});

test("a template goes into another with its values", async (context) => {
  const { db } = await world(context);
  const condition = db.sql`where n > ${1} and n < ${4}`;
  const rows = await db.sql`select n, ${"x"} as x from (values (1)) cross join (select value as n from json_each('[1,2,3,4]')) ${condition} and n <> ${3}`;
  assert.deepEqual(rows, [{ n: 2, x: "x" }]);
});

test("errors are of one class, with the server's words and what it tells besides", async (context) => {
  const { db } = await world(context);
  await db.sql`create table t (id integer primary key, n integer not null)`;
  await assert.rejects(db.sql`selec 1`.run(), (error: TidebaseError) => {
    assert.ok(error instanceof TidebaseError);
    assert.deepEqual([error.code, error.status, error.message], ["invalid", 400, 'near "selec": syntax error']);
    return true;
  });
  await assert.rejects(
    db.transaction([db.sql`insert into t (n) values (1)`, db.sql`insert into t (n) values (${null})`]),
    (error: TidebaseError) => error.code === "conflict" && error.statement === 1 && error.column === "n",
  );
  assert.deepEqual(await db.sql`select * from t`, []);
});

test("a transaction gives the rows of each statement", async (context) => {
  const { db } = await world(context);
  const [, inserted, [count]] = await db.transaction([
    db.sql`create table t (id integer primary key, b blob)`,
    db.sql<{ id: number }>`insert into t (b) values (${new Uint8Array([1, 2])}), (null) returning id`,
    db.sql<{ n: number; b: Uint8Array }>`select count(*) as n, max(b) as b from t`,
  ]);
  assert.deepEqual(inserted, [{ id: 1 }, { id: 2 }]);
  assert.deepEqual(count, { n: 2, b: new Uint8Array([1, 2]) });
});

test("a write whose answer is lost is sent again and carried out once", async (context) => {
  const { db, proxy } = await world(context);
  await db.sql`create table t (id integer primary key)`;
  for (let round = 1; round <= 10; round++) {
    proxy.cut();
    proxy.cutAfter(round * 30);
    assert.deepEqual(await db.sql`insert into t default values returning id`, [{ id: round }]);
  }
});

test("awaiting a query twice runs it once", async (context) => {
  const { db } = await world(context);
  await db.sql`create table t (id integer primary key)`;
  const insert = db.sql`insert into t default values`;
  await Promise.all([insert, insert]);
  await insert;
  assert.deepEqual(await db.sql`select count(*) as n from t`, [{ n: 1 }]);
});

test("a call is given up by its signal, with the signal's reason", async (context) => {
  const { db, proxy } = await world(context);
  proxy.isStalled = true;
  const aborting = new AbortController();
  const call = db.sql`select 1`.run({ signal: aborting.signal });
  await until("the request is under way", () => proxy.bytes.up > 0);
  const reason = new Error("enough");
  aborting.abort(reason);
  await assert.rejects(call, reason);
  await assert.rejects(db.sql`select 1`.run({ signal: aborting.signal }), reason);
});

test("a server that is silent, or not there, is told of", async (context) => {
  const { proxy } = await world(context);
  proxy.isStalled = true;
  const db = client(context, proxy.url, { limits: { requestTime: 50 } });
  await assert.rejects(db.sql`select 1`.run(), (error: TidebaseError) => error.code === "timeout");
  proxy.isClosed = true;
  await assert.rejects(db.sql`select 1`.run(), (error: TidebaseError) => error.code === "unavailable" && /127.0.0.1/.test(error.message));
});

test("a busy server is asked again when it says; what is refused is not", async (context) => {
  const asked: (string | undefined)[] = [];
  const fake = createServer((request, response) => {
    asked.push(request.headers["idempotency-key"] as string | undefined);
    const isBusy = asked.length % 2 === 1;
    const answer = isBusy ? { error: "The queue is full.", code: "unavailable" } : { result: [{ a: 1 }] };
    response.writeHead(isBusy ? 503 : 200, isBusy ? { "Retry-After": "0" } : {}).end(JSON.stringify(answer));
  }).listen(0);
  context.after(() => fake.close());
  const db = createClient(`http://127.0.0.1:${(fake.address() as AddressInfo).port}`, { token: TOKEN, limits: QUICK });
  assert.deepEqual(await db.sql`select 1 as a`, [{ a: 1 }]);
  assert.deepEqual(await db.sql`insert into t default values`, [{ a: 1 }]);
  assert.deepEqual(asked.map(Boolean), [false, false, true, true], "a write has a key");
  assert.equal(asked[2], asked[3], "and the same in each attempt");
});

test("a function is asked for a token once, and again when it is refused", async (context) => {
  const server = await Server.start(context);
  const refusals: (string | undefined)[] = [];
  const token = async (refused?: string) => (refusals.push(refused), refused === undefined ? "stale" : TOKEN);
  const db = client(context, server.url, { token });
  const rows = await Promise.all([db.sql`select 1 as a`, db.sql`select 1 as a`, db.sql`select 1 as a`]);
  assert.deepEqual(rows.flat(), [{ a: 1 }, { a: 1 }, { a: 1 }]);
  assert.deepEqual(refusals, [undefined, "stale"]);
});

test("what is no address is refused", () => {
  for (const url of ["", "127.0.0.1:8080", "ws://127.0.0.1", "ftp://x"]) {
    assert.throws(() => createClient(url), (error: TidebaseError) => error.code === "invalid");
  }
});
