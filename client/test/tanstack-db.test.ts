// A collection of TanStack DB over a live query: what others write comes, what is written here shows at once and stays.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createCollection, createTransaction } from "@tanstack/db";
import type { TidebaseError } from "tidebase";
import { tidebaseCollectionOptions } from "tidebase/tanstack-db";
import { text, until, world, type World } from "./world/index.js";

interface Todo {
  id: number;
  title: string | null;
  done: number;
}

async function todos(context: TestContext, sql = "select * from todo"): Promise<World & { todo: ReturnType<typeof collect> }> {
  const made = await world(context);
  await made.server.query("create table todo (id integer primary key, title text, done integer not null default 0 check (done in (0, 1)))");
  await made.server.query("insert into todo (title) values ('buy rope'), ('paint hull')");
  return { ...made, todo: collect(context, made, sql) };
}

function collect(context: TestContext, { db }: World, sql: string) {
  const query = db.sql<Todo>(text(sql));
  const todo = createCollection(tidebaseCollectionOptions({ db, query, key: "id", table: "todo" }));
  context.after(() => todo.cleanup());
  return todo;
}

const titles = ({ todo }: { todo: ReturnType<typeof collect> }) => todo.toArray.map(({ title }) => title).sort();
const live = async ({ server }: World) => (await server.call("status/database")).subscriptions;

test("a collection has the rows of its query, and every change of them", async (context) => {
  const made = await todos(context);
  await made.todo.preload();
  assert.deepEqual(titles(made), ["buy rope", "paint hull"]);
  const told: unknown[] = [];
  const tell = (changes: { type: string; key: unknown }[]) => told.push(...changes.map(({ type, key }) => `${type} ${key}`));
  made.todo.subscribeChanges(tell, { includeInitialState: true });
  await made.server.query("insert into todo (title) values ('coil lines')");
  await made.server.query("update todo set title = 'a new hull' where id = 2");
  await made.server.query("delete from todo where id = 1");
  await until("the last", () => told.length === 5);
  assert.deepEqual(told, ["insert 1", "insert 2", "insert 3", "update 2", "delete 1"]);
  await made.todo.cleanup();
  await until("nothing is live", async () => (await live(made)) === 0);
});

test("what is written shows at once, and is never gone in between", async (context) => {
  const made = await todos(context);
  const { todo, server } = made;
  await todo.preload();
  const seen: (readonly unknown[])[] = [];
  todo.subscribeChanges(() => seen.push(titles(made)));
  for (let id = 10; id < 40; id++) {
    const written = todo.insert({ id, title: `t${id}`, done: 0 });
    assert.equal(todo.get(id)?.title, `t${id}`, "at once");
    await written.isPersisted.promise;
    assert.equal(todo.get(id)?.title, `t${id}`, "and when it is the server's");
    const changed = todo.update(id, (draft) => void (draft.title = `u${id}`));
    await changed.isPersisted.promise;
    assert.equal(todo.get(id)?.title, `u${id}`);
  }
  const counts = seen.map((titles) => titles.length);
  assert.deepEqual(counts, [...counts].sort((a, b) => a - b), "no row came, went and came again");
  await todo.delete(10).isPersisted.promise;
  assert.equal(todo.has(10), false);
  assert.deepEqual((await server.query("select count(*) as n from todo"))[0], { n: 31 });
});

test("a write that the query does not show is done as soon as the query has come to it", async (context) => {
  const made = await todos(context, "select * from todo where done = 0");
  const { todo } = made;
  await todo.preload();
  await todo.insert({ id: 7, title: "done before", done: 1 }).isPersisted.promise;
  assert.equal(todo.has(7), false, "the server's view of it");
  await todo.update(1, (draft) => void (draft.done = 1)).isPersisted.promise;
  assert.deepEqual(titles(made), ["paint hull"]);
});

test("several inserts are one request, all or none; a refusal takes back what was shown", async (context) => {
  const made = await todos(context);
  const { todo, server } = made;
  await todo.preload();
  await todo.insert([{ id: 5, title: "five", done: 0 }, { id: 6, title: "six", done: 0 }]).isPersisted.promise;
  const refused = todo.insert([{ id: 8, title: "eight", done: 0 }, { id: 9, title: "nine", done: 7 }]);
  assert.equal(todo.size, 6);
  await assert.rejects(refused.isPersisted.promise, (error: TidebaseError) => error.code === "conflict" || error.code === "invalid");
  assert.equal(todo.size, 4);
  assert.deepEqual(await server.query("select id from todo where id > 7"), []);
  const wrong = todo.update(5, (draft) => void (draft.done = 3));
  assert.equal(todo.get(5)?.done, 3);
  await assert.rejects(wrong.isPersisted.promise);
  assert.equal(todo.get(5)?.done, 0);
});

test("a column that is set to nothing is NULL", async (context) => {
  const { todo, server } = await todos(context);
  await todo.preload();
  await todo.update([1, 2], (drafts) => {
    drafts[0]!.title = null;
    drafts[1]!.title = undefined as never;
  }).isPersisted.promise;
  assert.deepEqual(await server.query("select title from todo"), [{ title: null }, { title: null }]);
  assert.equal(todo.get(2)?.title, null);
});

test("a write that is made while the socket is away is there when it is back", async (context) => {
  const { todo, proxy, server } = await todos(context);
  await todo.preload();
  for (let round = 0; round < 5; round++) {
    const written = todo.insert({ id: 100 + round, title: "away", done: 0 });
    proxy.cut();
    await written.isPersisted.promise;
    assert.equal(todo.get(100 + round)?.title, "away");
  }
  assert.equal((await server.query("select count(*) as n from todo"))[0].n, 7);
});

test("a transaction of one's own waits with utils.reached", async (context) => {
  const { todo, server } = await todos(context);
  await todo.preload();
  const transaction = createTransaction({
    mutationFn: async () => {
      await todo.utils.reached(await server.write("update todo set title = upper(title) where id = 1"));
    },
  });
  transaction.mutate(() => todo.update(1, (draft) => void (draft.title = "BUY ROPE")));
  await transaction.isPersisted.promise;
  assert.equal(todo.get(1)?.title, "BUY ROPE");
});

test("a query that cannot be live, and rows without a key of their own, are errors of the collection", async (context) => {
  const made = await todos(context);
  for (const [sql, message] of [
    ["select random() as id", /random/],
    ["select 1 as id from todo", /^Two rows have the id 1\.$/],
    ["select title from todo", /^A row has no id that is a string or a number\.$/],
    ["select 9007199254740993 as id", /^A row has no id/],
  ] as const) {
    const todo = collect(context, made, sql);
    await assert.rejects(todo.preload(), (error: Error) => message.test(error.message) || message.test(String(error.cause)));
    assert.equal(todo.status, "error");
  }
  await until("nothing is live", async () => (await live(made)) === 0);
});

test("a collection whose query ends says so, and keeps nobody waiting", async (context) => {
  const { todo, server } = await todos(context);
  await todo.preload();
  await server.query("drop table todo");
  await until("its end", () => todo.status === "error");
  await todo.utils.reached(1e9);
});

test("a client that is closed is an error of the collection", async (context) => {
  const made = await todos(context);
  await made.todo.preload();
  made.db.close();
  await until("its end", () => made.todo.status === "error");
  await assert.rejects(collect(context, made, "select * from todo").preload(), /closed/);
});

test("a collection begins again after it was cleaned up", async (context) => {
  const made = await todos(context);
  await made.todo.preload();
  await made.todo.cleanup();
  await made.server.query("insert into todo (title) values ('coil lines')");
  await made.todo.preload();
  assert.deepEqual(titles(made), ["buy rope", "coil lines", "paint hull"]);
});
