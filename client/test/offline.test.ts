// Writes without a network and rows before there is one: two devices, one server, a cable that is cut, and visits that end.
//
// IndexedDB is here an implementation for Node; test/browser has the browser's own.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { TidebaseError, type Client, type Snapshot } from "tidebase";
import { arrayRemove, arrayUnion, deleteField, documents, increment, type Batch } from "tidebase/documents";
import { newId, offline, type Offline } from "tidebase/offline";
import { client, Proxy, Server, text, turn, until, world, type World } from "./world/index.js";

interface Todo {
  id: string;
  title: string;
  done: number;
}

interface Room {
  name: string;
  n: number;
  tags: string[];
  deep: { on: boolean; off?: number };
}

const TABLE =
  "create table todo (id text primary key, title text not null check (length(title) < 100), done integer not null default 0, n integer default 0)";
const ALL = "select id, title, done from todo order by title";

interface Visit {
  db: Client;
  local: Offline;
  /** The last snapshot of a live query. */
  live(sql?: string): { readonly value: Snapshot<Todo> | undefined; titles(): string };
  end(): void;
}

/** Somebody opens the page on this device. */
function visit(context: TestContext, url: string, device = randomUUID() as string, token?: string): Visit {
  const db = client(context, url, token === undefined ? {} : { token });
  const local = offline(db, device);
  context.after(() => local.close());
  return {
    db,
    local,
    live(sql = ALL) {
      const held = db.sql<Todo>(text(sql)).live();
      return {
        get value() {
          return held.value;
        },
        titles: () => held.value?.rows.map(({ title, done }) => (done ? `(${title})` : title)).join(" ") ?? "-",
      };
    },
    end() {
      local.close();
      db.close();
    },
  };
}

async function start(context: TestContext): Promise<World> {
  const made = await world(context);
  await made.server.query(TABLE);
  return made;
}

function unplug(proxy: Proxy): void {
  proxy.isClosed = true;
  proxy.cut();
}

const todos = (server: Server) => server.query("select id, title, done from todo order by title");

test("a write is shown at once, carried out, and then the server's", async (context) => {
  const { server, proxy } = await start(context);
  const { local, live } = visit(context, proxy.url);
  const list = live();
  await until("the empty list", () => list.value);
  const { settled } = await local.table("todo").insert({ id: "a", title: "milk", done: false });
  assert.equal(list.titles(), "milk", "shown when it is kept");
  assert.equal(list.value!.pendingWrites, true);
  const revision = await settled;
  assert.deepEqual(await todos(server), [{ id: "a", title: "milk", done: 0 }]);
  await until("nothing is pending", () => list.value!.pendingWrites === false && list.value!.revision >= revision);
  assert.deepEqual([list.titles(), local.pending.length, list.value!.fromCache], ["milk", 0, false]);
});

test("a write is shown before the store has answered, and kept when its promise says so", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("insert into todo (id, title) values ('a', 'apples'), ('m', 'milk')");
  const device = randomUUID();
  const { db, local, live, end } = visit(context, proxy.url, device);
  const list = live();
  const docs = documents(db);
  const ida = docs.doc<{ n: number }>("boats/ida");
  await ida.set({ n: 1 });
  const boat = ida.live();
  await local.ready;
  await until("the rows", () => list.value && boat.value);
  unplug(proxy);
  const [apples, milk] = list.value!.rows;
  let told = 0;
  const stop = db.sql<Todo>(text(ALL)).live().subscribe(() => told++);
  await null;
  told = 0;
  const table = local.table("todo");
  const writes = [table.insert({ id: "b", title: "bread", done: 0 }), table.update({ id: "m" }, { done: 1 })];
  await null;
  assert.deepEqual([list.titles(), list.value!.pendingWrites, local.pending.map(({ number }) => number)], ["apples bread (milk)", true, [Infinity, Infinity]], "shown, and not kept yet");
  assert.equal(told, 1, "told once of both");
  const [, bread, done] = list.value!.rows;
  assert.ok(list.value!.rows[0] === apples && done !== milk);
  writes.push(local.commit(docs.batch().update(ida, { n: increment(1) })));
  await null;
  assert.equal(boat.value!.doc!.data.n, 2);
  writes.push(local.commit(docs.batch().update(ida, { n: increment(1) })));
  await null;
  assert.equal(boat.value!.doc!.data.n, 3, "worked out on what is shown");
  const kept = await Promise.all(writes);
  assert.deepEqual(kept.map(({ number }) => number), local.pending.map(({ number }) => number));
  await table.update({ id: "a" }, { title: "aioli" });
  assert.ok(list.value!.rows[1] === bread && list.value!.rows[2] === done, "what is not written again stays the same object");
  assert.equal(told, 2, "that it is kept changes no row");
  stop();
  end();
  const next = visit(context, proxy.url, device);
  await next.local.ready;
  assert.equal(next.local.pending.length, 5);
});

test("a write is what was given: a form that is emptied behind it, or a framework's proxy, is written as it was", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("create table file (id text primary key, bytes blob)");
  const { local } = visit(context, proxy.url);
  const form = { id: "a", title: "milk", done: 0 };
  const milk = local.table("todo").insert(form);
  Object.assign(form, { title: "", done: 1 });
  const shared = Buffer.from([1, 2, 3]);
  const file = local.table("file").insert({ id: "f", bytes: shared.subarray(1) });
  shared.fill(0);
  const key = { id: "a" };
  const reactive = <Given extends object>(given: Given) => new globalThis.Proxy(given, {});
  const update = local.table("todo").update(reactive(key), reactive({ title: "oat milk" }));
  key.id = "z";
  for (const one of await Promise.all([milk, file, update])) await one.settled;
  assert.deepEqual(await todos(server), [{ id: "a", title: "oat milk", done: 0 }]);
  assert.deepEqual(await server.query("select hex(bytes) as bytes from file"), [{ bytes: "0203" }]);
});

test("what cannot be kept is taken back, and its promise says why", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("insert into todo (id, title) values ('m', 'milk')");
  const { local, live } = visit(context, proxy.url);
  const list = live();
  await local.ready;
  await until("the rows", () => list.value);
  unplug(proxy);
  const before = list.value!.rows;
  const full = context.mock.method(IDBObjectStore.prototype, "add", () => {
    throw new DOMException("The disk is full.", "QuotaExceededError");
  });
  const writes = [local.table("todo").delete({ id: "m" }), local.table("todo").insert({ id: "b", title: "bread" })];
  await null;
  assert.equal(list.titles(), "bread");
  for (const one of writes) await assert.rejects(one, (error: TidebaseError) => error.code === "unavailable" && Boolean(error.hint));
  await until("taken back", () => list.value!.rows === before && list.value!.pendingWrites === false);
  assert.equal(local.pending.length, 0);
  full.mock.restore();
  await local.table("todo").insert({ id: "c", title: "cheese" });
  assert.deepEqual([list.titles(), local.pending.length], ["cheese milk", 1]);
  local.close();
  await assert.rejects(local.table("todo").insert({ id: "d", title: "dill" }), (error: TidebaseError) => error.code === "closed");
  assert.equal(list.titles(), "milk", "nothing is shown that could not be kept");
});

test("what a store of the first shape has kept is there in the one of today", async (context) => {
  const { server, proxy } = await start(context);
  const device = randomUUID();
  const opening = indexedDB.open(`tidebase ${proxy.url}/ ${device}`, 1);
  opening.onupgradeneeded = () => {
    const { result } = opening;
    result.createObjectStore("device").put("old", "client");
    result.createObjectStore("mutations", { keyPath: "number", autoIncrement: true });
    result.createObjectStore("results").put({ at: 1 }, "long ago");
    const change = { table: "todo", op: "insert", values: { id: "a", title: "milk", done: 0 } };
    opening.transaction!.objectStore("mutations").add({ change, madeAt: 1 });
  };
  await new Promise((resolve) => (opening.onsuccess = resolve));
  opening.result.close();
  const { local } = visit(context, proxy.url, device);
  await local.ready;
  assert.equal(local.isDurable, true);
  await until("it is sent", async () => (await todos(server)).length === 1);
  const again = indexedDB.open(`tidebase ${proxy.url}/ ${device}`);
  await new Promise((resolve) => (again.onsuccess = resolve));
  context.after(() => again.result.close());
  const asked = again.result.transaction("results").objectStore("results").count();
  await new Promise((resolve) => (asked.onsuccess = resolve));
  assert.equal(asked.result, 0, "what nobody has asked for so long was let go");
});

test("without a network writes are kept, shown in their places, and sent in their order when there is one", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("insert into todo (id, title) values ('a', 'apples'), ('m', 'milk'), ('z', 'zest')");
  const { db, local, live } = visit(context, proxy.url);
  const [list, open, done] = [live(), live("select * from todo where done = 0 order by title desc"), live("select * from todo where done = 1")];
  const counted = db.sql<{ n: number }>`select count(*) as n from todo`.live();
  await until("the lists", () => list.value && open.value && done.value && counted.value);
  unplug(proxy);
  const table = local.table("todo");
  await table.insert({ id: "b", title: "bread", done: 0 });
  await table.update({ id: "m" }, { done: 1 });
  await table.update({ id: "z" }, { title: "anise" });
  await table.delete({ id: "a" });
  await table.update({ id: "b" }, { title: "beer" });
  await local.sql`update todo set n = n + ${1}`;
  assert.equal(list.titles(), "anise beer (milk)");
  assert.equal(open.titles(), "beer anise");
  assert.equal(done.titles(), "(milk)", "of what is not known it shows what the write says");
  assert.deepEqual([counted.value!.rows[0]!.n, counted.value!.pendingWrites], [3, true], "what a client cannot tell waits");
  assert.equal(local.pending.length, 6);
  proxy.isClosed = false;
  await until("all is sent", () => local.pending.length === 0);
  assert.deepEqual(await server.query("select title, done, n from todo order by title"), [
    { title: "anise", done: 0, n: 1 },
    { title: "beer", done: 0, n: 1 },
    { title: "milk", done: 1, n: 1 },
  ]);
  await until("the server's", () => [list, open, done].every(({ value }) => value!.pendingWrites === false));
  assert.deepEqual([list.titles(), open.titles(), done.titles()], ["anise beer (milk)", "beer anise", "(milk)"]);
});

test("a visit without a network shows the last one's rows, and its writes outlive it", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("insert into todo (id, title) values ('m', 'milk')");
  const device = randomUUID();
  const first = visit(context, proxy.url, device);
  const seen = first.live();
  await until("the list", () => seen.value);
  first.end();
  unplug(proxy);
  const second = visit(context, proxy.url, device);
  const list = second.live();
  await until("the rows that were kept", () => list.value);
  assert.deepEqual([list.titles(), list.value!.fromCache], ["milk", true]);
  await second.local.table("todo").insert({ id: "b", title: "bread", done: 0 });
  assert.equal(list.titles(), "bread milk");
  second.end();
  const third = visit(context, proxy.url, device);
  await third.local.ready;
  const again = third.live();
  await until("both", () => again.titles() === "bread milk");
  assert.deepEqual([third.local.isDurable, third.local.pending.map(({ change }) => "table" in change && change.op)], [true, ["insert"]]);
  await server.query("insert into todo (id, title) values ('z', 'zest')");
  proxy.isClosed = false;
  await until("the server's", () => again.titles() === "bread milk zest" && again.value!.fromCache === false);
  await until("sent", () => third.local.pending.length === 0);
});

test("what was carried out just before the page is gone is there at the next visit without a network", async (context) => {
  const { proxy } = await start(context);
  const device = randomUUID();
  const window = new EventTarget();
  const names = ["addEventListener", "removeEventListener"] as const;
  for (const name of names) Object.defineProperty(globalThis, name, { value: window[name].bind(window), configurable: true });
  context.after(() => names.forEach((name) => Reflect.deleteProperty(globalThis, name)));
  for (const event of ["pagehide", "visibilitychange"]) {
    const before = visit(context, proxy.url, device);
    const list = before.live();
    await until("the list", () => list.value && !list.value.fromCache);
    await (await before.local.table("todo").upsert({ id: event, title: event })).settled;
    await until("told", () => list.value!.pendingWrites === false && list.titles().includes(event));
    window.dispatchEvent(new Event(event));
    unplug(proxy);
    // It is killed: what it would do later does not come to it. The next one is there before.
    const next = visit(context, proxy.url, device);
    const kept = next.live();
    await until("what was kept", () => kept.value);
    assert.deepEqual([kept.titles().includes(event), kept.value!.fromCache], [true, true]);
    proxy.isClosed = false;
    next.end();
    before.end();
  }
});

test("what is refused is taken back, told once, kept until it is dismissed, and holds up nothing", async (context) => {
  const { server, proxy } = await start(context);
  const device = randomUUID();
  const { local, live, end } = visit(context, proxy.url, device);
  const list = live();
  await until("the list", () => list.value);
  unplug(proxy);
  const written = [];
  for (const title of ["a", "x".repeat(100), "c", "d"]) {
    written.push(await local.table("todo").insert({ id: title[0]!, title, done: 0 }));
  }
  assert.equal(list.value!.rows.length, 4);
  proxy.isClosed = false;
  const error = (await written[1]!.settled.then(
    () => assert.fail(),
    (error) => error,
  )) as TidebaseError;
  assert.deepEqual([error instanceof TidebaseError, error.code, error.column], [true, "conflict", "title"]);
  await written[3]!.settled;
  await until("taken back", () => list.titles() === "a c d");
  const seen = local.refused;
  assert.equal(local.pending, local.pending);
  await (await local.table("todo").update({ id: "a" }, { done: 0 })).settled;
  assert.equal(local.refused, seen, "the same until it changes, as components need it");
  assert.deepEqual(local.refused.map(({ number, error }) => [number, error.code]), [[written[1]!.number, "conflict"]]);
  end();
  const again = visit(context, proxy.url, device);
  await again.local.ready;
  const [refused] = again.local.refused;
  assert.deepEqual((refused!.change as { values: unknown }).values, { id: "x", title: "x".repeat(100), done: 0 });
  await again.local.dismiss(refused!.number);
  assert.equal(again.local.refused.length, 0);
  assert.equal((await todos(server)).length, 3);
});

test("cut at any byte, by a server that is killed too, each write is carried out once", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("insert into todo (id, title) values ('n', 'n')");
  const { local } = visit(context, proxy.url);
  for (let round = 0; round < 40; round++) {
    await local.sql`update todo set n = n + 1 where id = 'n'`;
    if (round % 8 === 7) proxy.cut();
    if (round === 20) {
      await server.kill();
      await server.start();
    }
  }
  await until("all is sent", () => local.pending.length === 0);
  assert.deepEqual(await server.query("select n from todo"), [{ n: 40 }]);
});

test("documents are written without a network, and shown where they belong", async (context) => {
  const { server, proxy } = await start(context);
  const { db, local } = visit(context, proxy.url);
  const docs = documents(db);
  const rooms = docs.collection<Room>("rooms");
  await rooms.doc("a").set({ name: "Ada", n: 1, tags: ["x"], deep: { on: true, off: 1 } });
  const [room, all, large] = [rooms.doc("a").live(), rooms.orderBy("n", "desc").live(), rooms.where("n", ">", 5).live()];
  const messages = rooms.doc("a").collection("messages");
  await messages.doc("1").set({ text: "one" });
  const said = messages.live();
  await until("the documents", () => room.value && all.value && large.value && said.value);
  unplug(proxy);
  const commit = async (fill: (batch: Batch) => unknown) => {
    const batch = docs.batch();
    fill(batch);
    return local.commit(batch);
  };
  await commit((batch) => batch.update(rooms.doc("a"), { n: increment(3), tags: arrayUnion("y", "x", "y"), "deep.off": deleteField() }));
  await commit((batch) => batch.update(rooms.doc("a"), { n: increment(3) }).set(rooms.doc("b"), { name: "Bo", n: 9, tags: [], deep: {} as any }));
  await commit((batch) => batch.set(messages.doc("2"), { text: "two" }).delete(messages.doc("1")));
  const { settled } = await commit((batch) => batch.update(rooms.doc("none"), { n: 1 }));
  const here = { name: "Ada", n: 7, tags: ["x", "y"], deep: { on: true } };
  assert.deepEqual(room.value!.doc!.data, here);
  assert.deepEqual([all, large].map(({ value }) => value!.docs.map(({ id }) => id)), [["b", "a"], ["a", "b"]]);
  assert.deepEqual([said.value!.docs.map(({ data }) => data.text), said.value!.pendingWrites, room.value!.pendingWrites], [["two"], true, true]);
  const batch = docs.batch().delete(rooms.doc("b"));
  await local.commit(batch);
  await assert.rejects(local.commit(batch), (error: TidebaseError) => error.code === "invalid");
  assert.deepEqual(all.value!.docs.map(({ id }) => id), ["a"]);
  proxy.isClosed = false;
  await assert.rejects(settled, (error: TidebaseError) => error.code === "not_found");
  await until("all is sent", () => local.pending.length === 0 && !room.value!.pendingWrites && !said.value!.pendingWrites);
  assert.deepEqual((await rooms.doc("a").get())!.data, here);
  assert.deepEqual(room.value!.doc!.data, here);
  assert.deepEqual((await messages.get()).docs.map(({ id }) => id), ["2"]);
  assert.equal(server.port > 0, true);
});

test("what is live no more says nothing of rows and documents, which may have changed since", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("insert into todo (id, title) values ('m', 'milk')");
  const { db, local, live } = visit(context, proxy.url);
  const docs = documents(db);
  const ida = docs.doc<{ name: string; n: number }>("boats/ida");
  await ida.set({ name: "Ida", n: 1 });
  const open = db.sql<Todo>`select * from todo where done = 0`.live();
  const [boat, done] = [ida.live(), live("select * from todo where done = 1")];
  await until("the rows", () => open.value && boat.value && done.value);
  boat.close();
  open.close();
  await ida.update({ n: 5 });
  await server.query("update todo set title = 'oat milk'");
  unplug(proxy);
  await local.table("todo").update({ id: "m" }, { done: 1 });
  await local.commit(docs.batch().update(ida, { n: increment(1), name: "Old Ida" }));
  assert.deepEqual([done.titles(), done.value!.pendingWrites], ["", true], "its title is not known");
  const shown: unknown[] = [];
  const again = ida.live();
  again.subscribe((snapshot) => shown.push(snapshot?.doc?.data.n));
  const isLast = () => again.value?.doc?.data.n === 6 && again.value.doc.data.name === "Old Ida" && done.titles() === "(oat milk)";
  proxy.isClosed = false;
  await until("the server's", () => local.pending.length === 0 && isLast());
  assert.ok(!shown.includes(2), "worked out on what was there before");
});

test("what is shown of documents is what the server makes of them", async (context) => {
  const { proxy } = await start(context);
  const { db, local } = visit(context, proxy.url);
  const docs = documents(db);
  const found = docs.collection<any>("d");
  await found.make();
  let state = 12345;
  const roll = (sides: number) => (state = (Math.imul(state, 1103515245) + 12345) >>> 1) % sides;
  const values = [0, 1, 2.5, -3, 2n ** 60n, "a", "b", "", true, false, null, [1, "a"], { x: 1 }, []];
  const value = () => values[roll(values.length)];
  const changes = [() => increment(roll(5)), () => arrayUnion(value(), 1), () => arrayRemove("a", 1), () => deleteField(), value, value, value];
  const path = () => ["f", "g", "g.h", "g.h.i", "`a.b`"][roll(5)]!;
  const document = () => ({ f: value(), g: roll(2) ? { h: value() } : value(), "a.b": value() });
  const queries = [
    found,
    found.orderBy("f"),
    found.orderBy("f", "desc").orderBy("g"),
    found.where("f", "==", 1),
    found.where("f", ">", 0).orderBy("f"),
    found.where("g.h", "!=", "a").limit(3),
    found.where({ or: [["f", "in", ["a", null, true]], ["f", "array-contains", "a"]] }),
    found.where("f", "not-in", [0, "b"]).where("f", "<=", "z"),
    found.where("g", "array-contains-any", [1, "b"]),
    found.where("f", "==", [1, "a"]),
  ];
  const lives = queries.map((query) => query.live());
  await until("the results", () => lives.every(({ value }) => value));
  for (let round = 0; round < 25; round++) {
    unplug(proxy);
    await until("it is off", () => db.connection.state !== "open");
    for (let writes = 0; writes < 8; writes++) {
      const batch = docs.batch();
      for (let several = roll(3); several >= 0; several--) {
        const place = found.doc("abcdef"[roll(6)]!);
        const ways = [
          () => batch.set(place, document()),
          () => batch.set(place, { g: { h: changes[roll(7)]!() }, f: changes[roll(7)]!() }, { merge: true }),
          () => batch.delete(place),
          () => batch.set(place, document(), { merge: true }),
        ];
        ways[roll(4)]!();
        if (lives[0]!.value!.docs.some(({ id }) => id === place.id) && several === 0) {
          const update = docs.batch().update(place, { [path()]: changes[roll(7)]!() });
          await local.commit(update);
        }
      }
      await local.commit(batch);
    }
    const shown = lives.map(({ value }) => value!.docs.map(({ id, data }) => [id, data]));
    const refused = local.refused.length;
    proxy.isClosed = false;
    await until("all is sent", () => local.pending.length === 0);
    await until("the server's", () => lives.every(({ value }) => !value!.pendingWrites));
    if (local.refused.length > refused) continue; // an increment past 64 bits, with what it was committed with
    for (const [index, query] of queries.entries()) {
      const { docs: told } = await query.get();
      assert.deepEqual(shown[index], told.map(({ id, data }) => [id, data]), `round ${round}, query ${index}`);
    }
  }
});

test("two pages of a device share what is written, and each of it is sent once", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("insert into todo (id, title) values ('n', 'n')");
  const device = randomUUID();
  const [one, two] = [visit(context, proxy.url, device), visit(context, proxy.url, device)];
  const [left, right] = [one.live(), two.live()];
  await until("the lists", () => left.value && right.value);
  unplug(proxy);
  await one.local.table("todo").insert({ id: "a", title: "a", done: 0 });
  await until("seen by the other page, without a server", () => right.titles() === "a n");
  await two.local.table("todo").update({ id: "a" }, { done: 1 });
  await until("and back", () => left.titles() === "(a) n");
  for (let n = 0; n < 10; n++) await (n % 2 ? one : two).local.sql`update todo set n = n + 1 where id = 'n'`;
  one.end();
  proxy.isClosed = false;
  await until("all is sent", () => two.local.pending.length === 0);
  assert.deepEqual(await server.query("select id, done, n from todo order by id"), [
    { id: "a", done: 1, n: 0 },
    { id: "n", done: 0, n: 10 },
  ]);
});

test("what another page tells out of order leaves no phantom", async (context) => {
  const { proxy } = await start(context);
  const device = randomUUID();
  const { local, live } = visit(context, proxy.url, device);
  const list = live();
  await until("the list", () => list.value);
  await local.ready;
  const channel = new BroadcastChannel(`tidebase ${new URL(proxy.url).href} ${device}`);
  context.after(() => channel.close());
  const change = { table: "todo", op: "insert", values: { id: "p", title: "phantom", done: 0 } };
  const [applied, dismissed] = [9_000_001, 9_000_002];
  // Of another version, or of whoever has a script here.
  for (const strange of [null, 7, {}, { kind: "later" }]) channel.postMessage(strange);
  channel.postMessage({ kind: "settled", outcomes: [{ number: applied, applied: 1 }] });
  channel.postMessage({ kind: "dismissed", number: dismissed });
  for (const number of [applied, dismissed]) channel.postMessage({ kind: "added", mutation: { number, change, madeAt: 0 } });
  channel.postMessage({ kind: "added", mutation: { number: 9_000_003, change: { ...change, values: { id: "q", title: "last", done: 0 } }, madeAt: 0 } });
  await until("the last of them", () => local.pending.length === 1 && list.titles() === "last");
});

test("a store that is closed takes what waits out of all results, for the next may be another's", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("insert into todo (id, title) values ('m', 'milk')");
  const device = randomUUID();
  const { db, local, live } = visit(context, proxy.url, device);
  const list = live();
  await local.ready;
  await until("the list", () => list.value);
  unplug(proxy);
  const { settled } = await local.table("todo").insert({ id: "s", title: "secret" });
  const [late] = [local.table("todo").insert({ id: "t", title: "too late" })];
  assert.equal(list.titles(), "milk secret");
  let told = 0;
  local.subscribe(() => told++);
  local.close();
  assert.deepEqual([list.titles(), list.value!.pendingWrites, local.pending, told], ["milk", false, [], 1]);
  for (const never of [settled, late]) await assert.rejects(never, (error: TidebaseError) => error.code === "closed");
  const other = offline(db, randomUUID());
  context.after(() => other.close());
  await other.table("todo").insert({ id: "o", title: "other" });
  assert.deepEqual([list.titles(), other.pending.length], ["milk", 1]);
  other.close();
  proxy.isClosed = false;
  const back = visit(context, proxy.url, device);
  await until("it is sent when its owner is back", async () => (await todos(server)).some(({ title }: Todo) => title === "secret"));
  back.end();
});

test("a write that is being kept when its store is closed is kept, and says that nobody waits for the server", async (context) => {
  const { server, proxy } = await start(context);
  const device = randomUUID();
  const { local } = visit(context, proxy.url, device);
  await local.ready;
  unplug(proxy);
  const keeping = local.table("todo").insert({ id: "a", title: "milk" });
  await turn();
  local.close();
  await assert.rejects((await keeping).settled, (error: TidebaseError) => error.code === "closed");
  proxy.isClosed = false;
  const next = visit(context, proxy.url, device);
  await until("it is sent", async () => (await todos(server)).length === 1);
  next.end();
});

test("a store that is closed before it is open stays closed", async (context) => {
  const { proxy } = await start(context);
  const device = randomUUID();
  const first = visit(context, proxy.url, device);
  await first.local.ready;
  unplug(proxy);
  await first.local.table("todo").insert({ id: "a", title: "milk" });
  first.end();
  const closes = context.mock.method(IDBDatabase.prototype, "close");
  const { local, live } = visit(context, proxy.url, device);
  const list = live();
  local.close();
  await local.ready;
  await until("its database is closed", () => closes.mock.callCount() > 0);
  assert.deepEqual([local.pending, local.isDurable, list.value], [[], false, undefined]);
});

test("each user of a device has a store of their own, and one who signs out leaves nothing", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("insert into todo (id, title) values ('m', 'milk')");
  const [ann, bob] = [randomUUID(), randomUUID()];
  const first = visit(context, proxy.url, ann);
  const seen = first.live();
  await until("the list", () => seen.value);
  unplug(proxy);
  await first.local.table("todo").insert({ id: "s", title: "secret", done: 0 });
  first.end();
  const other = visit(context, proxy.url, bob);
  const none = other.live();
  await other.local.ready;
  assert.deepEqual([none.value, other.local.pending.length], [undefined, 0]);
  other.end();
  const back = visit(context, proxy.url, ann);
  await back.local.ready;
  assert.equal(back.local.pending.length, 1);
  await back.local.clear();
  assert.equal(back.local.pending.length, 0);
  back.end();
  const last = visit(context, proxy.url, ann);
  const gone = last.live();
  await last.local.ready;
  assert.deepEqual([gone.value, last.local.pending.length], [undefined, 0]);
});

test("after a clear nothing is kept again: not what was told just before or after, in no page, nor what is being written", async (context) => {
  const { server, proxy } = await start(context);
  const device = randomUUID();
  const [one, two] = [visit(context, proxy.url, device), visit(context, proxy.url, device)];
  const [left, right] = [one.live(), two.live()];
  await until("the lists", () => left.value && right.value);
  await server.query("insert into todo (id, title) values ('m', 'milk')");
  await until("told", () => left.titles() === "milk" && right.titles() === "milk");
  unplug(proxy);
  const writing = ["a", "b", "c"].map((title) => one.local.table("todo").insert({ id: title, title, done: 0 }));
  await one.local.clear();
  await Promise.all(writing);
  proxy.isClosed = false;
  await server.query("insert into todo (id, title) values ('z', 'zest')");
  await until("told again", () => left.titles() === "milk zest" && right.titles() === "milk zest");
  one.end();
  two.end();
  unplug(proxy);
  const next = visit(context, proxy.url, device);
  const nothing = next.live();
  await next.local.ready;
  assert.deepEqual([nothing.value, next.local.pending], [undefined, []]);
});

test("who signs out in one page and comes back there is kept for in the others, too", async (context) => {
  const { server, proxy } = await start(context);
  const device = randomUUID();
  const [one, two] = [visit(context, proxy.url, device), visit(context, proxy.url, device)];
  const list = two.live();
  await until("the list", () => list.value);
  await Promise.all([one.local.ready, two.local.ready]);
  await one.local.clear();
  one.end();
  const channel = new BroadcastChannel(`tidebase ${new URL(proxy.url).href} ${device}`);
  context.after(() => channel.close());
  const isBack = new Promise<void>((resolve) => (channel.onmessage = ({ data }: any) => data.kind === "begun" && resolve()));
  const back = visit(context, proxy.url, device);
  await isBack;
  await server.query("insert into todo (id, title) values ('m', 'milk')");
  await until("told", () => list.titles() === "milk");
  for (const { end } of [two, back]) end();
  unplug(proxy);
  const next = visit(context, proxy.url, device);
  const kept = next.live();
  await until("what was kept", () => kept.titles() === "milk");
});

test("among many rows, what waits does not make each further write slower", async (context) => {
  const { server, proxy } = await start(context);
  await server.query("with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000) insert into todo (id, title) select i, i from n");
  const { local, live } = visit(context, proxy.url);
  const [open, done] = [live("select * from todo where done = 0"), live("select * from todo where done = 1")];
  await until("the lists", () => open.value && done.value);
  unplug(proxy);
  const began = performance.now();
  for (let id = 10_000; id > 9900; id--) await local.table("todo").update({ id: `${id}` }, { done: 1 });
  const time = (performance.now() - began) / 100;
  console.log(`a write among 10,000 rows, with 50 that wait: ${time.toFixed(1)} ms`);
  assert.deepEqual([open.value!.rows.length, done.value!.rows.length], [9900, 100]);
  assert.ok(time < 100);
});

test("what somebody wrote is not sent as the next who signs in", async (context) => {
  const { server, proxy } = await world(context, {}, "--signup", "open");
  await server.query("create table todo (id text primary key, title text, done integer, owner text default (auth_uid()))");
  await server.call("policies", { name: "own", table: "todo", action: "all", role: "user", using: "owner = auth.uid()" });
  const signUp = (name: string) => server.call("auth/signup", { email: `${name}@example.org`, password: "correct horse" });
  const [ann, bob] = [await signUp("ann"), await signUp("bob")];
  const { db, local, live } = visit(context, proxy.url, ann.user.id, ann.access_token);
  const list = live();
  await until("the list", () => list.value);
  await (await local.table("todo").insert({ id: "1", title: "one", done: 0 })).settled;
  unplug(proxy);
  await local.table("todo").insert({ id: "2", title: "Ann's", done: 0 });
  db.setToken(bob.access_token);
  proxy.isClosed = false;
  await until("Bob's rows", () => list.titles() === "Ann's" && list.value!.fromCache === false);
  await db.topic("any").publish(1).catch(() => {});
  assert.deepEqual(await server.query("select id from todo"), [{ id: "1" }]);
  db.setToken(ann.access_token);
  await until("sent as Ann's", () => local.pending.length === 0);
  assert.deepEqual(await server.query("select id, owner from todo order by id"), [1, 2].map((id) => ({ id: `${id}`, owner: ann.user.id })));
});

test("a program that comes back with another token sends what it wrote", async (context) => {
  const { server, proxy } = await start(context);
  await server.call("policies", { name: "all", table: "todo", action: "all", role: "client", using: "true" });
  const makeToken = () => server.call("auth/tokens", { name: "till", role: "client" });
  const [first, second] = [await makeToken(), await makeToken()];
  const { db, local, live } = visit(context, proxy.url, randomUUID(), first.token);
  const list = live();
  await until("the list", () => list.value);
  await (await local.table("todo").insert({ id: "1", title: "one", done: 0 })).settled;
  unplug(proxy);
  await local.table("todo").insert({ id: "2", title: "two", done: 0 });
  db.setToken(second.token);
  proxy.isClosed = false;
  await until("sent", () => local.pending.length === 0);
  assert.equal((await todos(server)).length, 2);
});

test("what cannot be sent is refused before it is kept", async (context) => {
  const { local } = visit(context, "http://127.0.0.1:9");
  for (const value of [undefined, Number.NaN, new Date(), {}, () => 1]) {
    const values = { id: "a", title: value } as any;
    if (value === undefined) await local.table("todo").insert(values);
    else await assert.rejects(local.table("todo").insert(values), (error: TidebaseError) => error.code === "invalid" && /title/.test(error.message));
  }
  assert.equal(local.pending.length, 1);
});

test("a page that may keep nothing goes on in memory, and says so", async (context) => {
  const { server, proxy } = await start(context);
  context.mock.method(indexedDB, "open", () => {
    throw new DOMException("no", "SecurityError");
  });
  const { local, live } = visit(context, proxy.url);
  const list = live();
  await until("the list", () => list.value);
  const { settled } = await local.table("todo").insert({ id: "a", title: "milk", done: 0 });
  await settled;
  assert.deepEqual([local.isDurable, (await todos(server)).length], [false, 1]);
});

test("a browser that loses the store while it is read is no error that nobody catches", async (context) => {
  const reads = context.mock.method(IDBObjectStore.prototype, "getAll", () => {
    throw new DOMException("gone", "UnknownError");
  });
  const { local } = visit(context, "http://127.0.0.1:9");
  await until("it was read", () => reads.mock.callCount() > 0);
  await turn();
  await assert.rejects(local.ready, /gone/);
});

test("a program that closes its client ends, though a write waits for a server that is not there", async () => {
  for (const way of ["await local.ready; await new Promise((resolve) => setImmediate(resolve)); db.close()", "db.close(); await local.ready"]) {
    const script = `import { createClient } from "tidebase";
      import { offline } from "tidebase/offline";
      const db = createClient("http://127.0.0.1:9", { token: "t", limits: { pauseMin: 1, pauseMax: 60_000, attempts: 1 } });
      const local = offline(db, "ann");
      await local.table("todo").insert({ id: "a" });
      ${way}; console.log(local.pending.length);`;
    const program = spawn(process.execPath, ["--input-type=module", "--eval", script], { timeout: 20_000 });
    let said = "";
    program.stdout.on("data", (text) => (said += text));
    const [code] = await once(program, "exit");
    assert.deepEqual([code, said.trim()], [0, "1"], way);
  }
});

test("ids sort as they were made", () => {
  const ids = [1, 2 ** 32, Date.now(), Date.now() + 5].map((time) => newId(time));
  assert.deepEqual([...ids].sort(), ids);
  assert.match(ids[2]!, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
