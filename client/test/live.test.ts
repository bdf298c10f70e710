// Live queries as an application uses them: rows, then every change, as one consistent whole.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Snapshot, TidebaseError } from "tidebase";
import { client, text, until, world, type World } from "./world/index.js";

interface Todo {
  id: number;
  title: string;
  done: number;
}

async function todos(context: import("node:test").TestContext): Promise<World> {
  const made = await world(context);
  await made.server.query("create table todo (id integer primary key, title text, done integer default 0)");
  await made.server.query("insert into todo (title) values ('buy rope'), ('paint hull')");
  return made;
}

test("a query is told now, and after each commit that changed it", async (context) => {
  const { db, server } = await todos(context);
  const told: Snapshot<Todo>[] = [];
  const stop = db.sql<Todo>`select * from todo where done = ${0} order by title`.subscribe((snapshot) => told.push(snapshot));
  await until("the rows", () => told.length === 1);
  assert.deepEqual(told[0]!.rows.map(({ title }) => title), ["buy rope", "paint hull"]);
  await server.query("insert into todo (title) values ('coil lines')");
  await until("the insert", () => told.length === 2);
  assert.deepEqual(told[1]!.rows.map(({ title }) => title), ["buy rope", "coil lines", "paint hull"]);
  assert.ok(told[1]!.revision > told[0]!.revision);
  assert.equal(told[1]!.rows[0], told[0]!.rows[0], "a row that has not changed is the same object");
  await server.query("update todo set title = 'a new hull' where id = 2");
  await until("the update", () => told.length === 3);
  assert.deepEqual(told[2]!.rows.map(({ title }) => title), ["a new hull", "buy rope", "coil lines"]);
  stop();
  await server.query("delete from todo");
  assert.deepEqual(await db.sql`select * from todo`, []);
  assert.equal(told.length, 3, "nothing after the end");
});

test("the same query is one subscription, and who comes late is told what is known", async (context) => {
  const { db, server } = await todos(context);
  const counts = [0, 0, 0];
  const stops = counts.map((_, index) => db.sql`select * from todo where done = ${0}`.subscribe(() => counts[index]!++));
  await until("all have the rows", () => counts.every((count) => count === 1));
  let late: readonly unknown[] = [];
  stops.push(db.sql`select * from todo where done = ${0}`.subscribe(({ rows }) => (late = rows)));
  assert.equal(late.length, 0, "not before its caller has got its stop");
  await until("the late one", () => late.length === 2);
  assert.equal((await server.call("status/database")).subscriptions, 1);
  stops.forEach((stop) => stop());
  await until("the server holds none", async () => (await server.call("status/database")).subscriptions === 0);
  await until("and no socket", async () => (await server.call("status/database")).sockets === 0);
  assert.equal(db.connection.state, "idle");
});

test("the server is told of the end of one while others go on", async (context) => {
  const { db, server } = await todos(context);
  const [one, other] = [db.sql`select * from todo`.live(), db.sql`select 1 as one`.live()];
  await until("both", () => one.value && other.value);
  other.close();
  await until("the server holds one", async () => (await server.call("status/database")).subscriptions === 1);
  await server.query("delete from todo");
  await until("it goes on", () => one.value!.rows.length === 0);
  assert.equal(db.connection.state, "open");
  one.close();
});

test("a commit reaches all queries before any callback", async (context) => {
  const { db, server } = await todos(context);
  const all = db.sql<Todo>`select * from todo`.live();
  const open = db.sql<{ n: number }>`select count(*) as n from todo where done = 0`.live();
  const done = db.sql<{ n: number }>`select count(*) as n from todo where done = 1`.live();
  context.after(() => [all, open, done].forEach((live) => live.close()));
  await until("all are there", () => all.value && open.value && done.value);
  let checks = 0;
  const torn: unknown[] = [];
  const check = () => {
    checks++;
    const [rows, isOpen, isDone] = [all.value!.rows, open.value!.rows[0]!.n, done.value!.rows[0]!.n];
    const expected = rows.filter((todo) => todo.done === 0).length;
    if (isOpen !== expected || isOpen + isDone !== rows.length) torn.push([rows.length, isOpen, isDone]);
  };
  [all, open, done].forEach((live) => live.subscribe(check));
  for (let round = 0; round < 30; round++) {
    await server.query("insert into todo (title, done) values (?, ?)", [`t${round}`, round % 2]);
    await server.query("update todo set done = 1 - done where id % 3 = ?", [round % 3]);
  }
  await until("the last", () => all.value!.rows.length === 32);
  assert.deepEqual(torn, []);
  assert.ok(checks > 30);
});

test("for await gives the latest result, and leaving the loop ends it", async (context) => {
  const { db, server } = await todos(context);
  const lengths: number[] = [];
  for await (const { rows } of db.sql<Todo>`select * from todo`) {
    lengths.push(rows.length);
    if (rows.length === 5) break;
    // While this loop is busy there are two more commits; it is told of the second.
    if (rows.length === 2) {
      await server.query("insert into todo (title) values ('x')");
      await server.query("insert into todo (title) values ('y'), ('z')");
      await until("the last is here", async () => (await db.sql`select 1`) && true);
    }
  }
  assert.equal(lengths[0], 2);
  assert.equal(lengths.at(-1), 5);
  await until("the server holds none", async () => (await server.call("status/database")).subscriptions === 0);
});

test("an abort ends a subscription, and a held query with its reason", async (context) => {
  const { db, server } = await todos(context);
  const aborting = new AbortController();
  const live = db.sql`select * from todo`.live({ signal: aborting.signal });
  db.sql`select 1 as one`.subscribe(() => {}, { signal: aborting.signal });
  await until("the rows", () => live.value);
  const reason = new Error("the view is gone");
  aborting.abort(reason);
  assert.equal(live.error, reason);
  await assert.rejects(async () => {
    for await (const _ of live);
  }, reason);
  await until("the server holds none", async () => (await server.call("status/database")).subscriptions === 0);
});

test("values are as exact live as they are over HTTP", async (context) => {
  const { db } = await todos(context);
  const live = db.sql`select 9007199254740993 as n, x'0001ff' as b, 1 as "__proto__", ${2n ** 62n} as p, ${new Uint8Array([7])} as q`.live();
  context.after(() => live.close());
  const { rows } = await until("the row", () => live.value);
  const row = rows[0] as any;
  assert.deepEqual([row.n, row.b, row.p, row.q], [9007199254740993n, new Uint8Array([0, 1, 255]), 2n ** 62n, new Uint8Array([7])]);
  assert.equal(Object.getPrototypeOf(row), Object.prototype);
});

test("a query that cannot be live ends with the server's words; others go on", async (context) => {
  const { db, server } = await todos(context);
  const other = db.sql<Todo>`select * from todo`.live();
  const errors: TidebaseError[] = [];
  for (const sql of ["select random()", "insert into todo default values", "selec"]) {
    db.sql(text(sql)).subscribe(() => assert.fail("it has no rows"), { onError: (error) => errors.push(error) });
  }
  await until("the errors", () => errors.length === 3);
  assert.deepEqual(errors.map(({ code }) => code).sort(), ["invalid", "invalid", "unsupported"]);
  await server.query("insert into todo default values");
  await until("the other goes on", () => other.value?.rows.length === 3);
  await server.query("drop table todo");
  await until("it ends", () => other.error);
  assert.match((other.error as Error).message, /no such table: todo/);
});

test("a callback that throws disturbs nobody", async (context) => {
  const { db, server } = await todos(context);
  const thrown: unknown[] = [];
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException").on("uncaughtException", (error) => thrown.push(error));
  context.after(() => {
    process.removeAllListeners("uncaughtException");
    listeners.forEach((listener) => process.on("uncaughtException", listener));
  });
  let told = 0;
  db.sql`select * from todo`.subscribe(() => {
    throw new Error("mine");
  });
  const stop = db.sql`select * from todo`.subscribe(() => told++);
  await until("the rows", () => told === 1);
  await server.query("delete from todo");
  await until("the change", () => told === 2);
  await until("it is not lost", () => thrown.length === 2);
  stop();
});

test("a frame too large for the server is refused here", async (context) => {
  const { db } = await todos(context);
  const live = db.sql`select ${"x".repeat(1 << 20)} as x`.live();
  assert.equal((await until("the refusal", () => live.error as TidebaseError)).code, "too_large");
  assert.equal((await until("an open socket", () => db.connection.state === "open")) && db.connection.error, undefined);
});

test("a closed client says so", async (context) => {
  const { db } = await todos(context);
  const live = db.sql`select * from todo`.live();
  await until("the rows", () => live.value);
  db.close();
  assert.equal((live.error as TidebaseError).code, "closed");
  assert.equal(db.connection.state, "closed");
  assert.throws(() => db.sql`select 1`.live(), (error: TidebaseError) => error.code === "closed");
});

test("100,000 rows come whole, in order, and go on", async (context) => {
  const { proxy, server } = await todos(context);
  const db = client(context, proxy.url);
  await server.query("create table big (id integer primary key, name text, x real)");
  await server.query("insert into big select value, 'row ' || value, value / 3.0 from generate_series(1, 100000)").catch(() =>
    server.query(
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) insert into big select i, 'row ' || i, i / 3.0 from n",
    ),
  );
  const live = db.sql<{ id: number; name: string; x: number }>`select * from big order by id desc`.live();
  context.after(() => live.close());
  const first = await until("the rows", () => live.value);
  assert.equal(first.rows.length, 100_000);
  assert.deepEqual(first.rows[0], { id: 100_000, name: "row 100000", x: 100_000 / 3 });
  await server.query("delete from big where id % 10 = 0");
  const second = await until("the change", () => (live.value!.rows.length === 90_000 ? live.value : undefined));
  assert.equal(second.rows[0], first.rows[1]);
  assert.deepEqual(second.rows.map(({ id }) => id), first.rows.map(({ id }) => id).filter((id) => id % 10 !== 0));
});
