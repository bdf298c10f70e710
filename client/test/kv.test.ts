// Keys and topics.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Member, Message, TidebaseError, Watched } from "tidebase";
import { client, until, world } from "./world/index.js";

test("a key is set, read, counted, listed and deleted", async (context) => {
  const { db } = await world(context);
  assert.equal(await db.kv.get("boat/1"), undefined);
  const set = await db.kv.set("boat/1", { name: "Ida", berth: 9007199254740993n, odd: { $blob: "AA==" } });
  assert.deepEqual((await db.kv.get("boat/1"))!.value, { name: "Ida", berth: 9007199254740993n, odd: { $blob: "AA==" } });
  await assert.rejects(db.kv.set("boat/1", 1, { ifRevision: set.revision - 1 }), (error: TidebaseError) => error.code === "conflict");
  assert.equal((await db.kv.set("boat/1", null, { ifRevision: set.revision })).value, null);
  assert.equal((await db.kv.increment("visits & more/ü?#%")).value, 1);
  assert.equal((await db.kv.increment("visits & more/ü?#%", 41)).value, 42);
  assert.deepEqual((await db.kv.list({ prefix: "v", limit: 1 })).keys.map(({ key, value }) => [key, value]), [["visits & more/ü?#%", 42]]);
  assert.equal(await db.kv.delete("boat/1"), true);
  assert.equal(await db.kv.delete("boat/1"), false);
});

test("a key is watched, over a lost connection too", async (context) => {
  const { db, proxy } = await world(context);
  const told: Watched[] = [];
  context.after(db.kv.watch("temperature", (watched) => told.push(watched)));
  await until("that it is not set", () => told.length === 1);
  assert.deepEqual([told[0]!.value, told[0]!.isSet], [null, false]);
  await db.kv.set("temperature", 22);
  await until("the value", () => told.length === 2);
  const before = proxy.connections;
  proxy.cut();
  await until("another socket", () => proxy.connections > before && db.connection.state === "open");
  await db.kv.set("temperature", null);
  await until("null", () => told.length === 3);
  await db.kv.delete("temperature");
  await until("its end", () => told.length === 4);
  assert.deepEqual(told.map(({ value, isSet }) => [value, isSet]), [[null, false], [22, true], [null, true], [null, false]]);
});

test("messages come once, in order, also those of a topic that keeps them while the connection was lost", async (context) => {
  const { db, proxy, server } = await world(context);
  await server.call("topics/radio", { keep: 100 }, undefined, "PUT");
  const heard: Message<number>[] = [];
  context.after(db.topic<number>("radio").subscribe((message) => heard.push(message)));
  assert.equal(typeof (await db.topic("radio").publish(1)), "number");
  await until("the first", () => heard.length === 1);
  for (let n = 2; n <= 20; n++) {
    proxy.cutAfter(n * 20);
    await server.call("topics/radio", { data: n });
    await until("it, or the cut", () => heard.length === n);
  }
  assert.deepEqual(heard.map(({ data }) => data), Array.from({ length: 20 }, (_, index) => index + 1));
});

test("everybody who asks for what was kept hears all of it, whoever has asked before", async (context) => {
  const { db, server } = await world(context);
  await server.call("topics/radio", { keep: 100 }, undefined, "PUT");
  for (let n = 1; n <= 3; n++) await server.call("topics/radio", { data: n });
  const [first, second]: [unknown[], unknown[]] = [[], []];
  context.after(db.topic("radio").subscribe(({ data }) => first.push(data), { after: 0 }));
  await until("all of them", () => first.length === 3);
  context.after(db.topic("radio").subscribe(({ data }) => second.push(data), { after: 0 }));
  await until("all of them again", () => second.length === 3);
  await db.topic("radio").publish(4);
  await until("the next", () => first.length === 4 && second.length === 4);
  assert.deepEqual([first, second], [[1, 2, 3, 4], [1, 2, 3, 4]]);
});

test("a listener is told that it may have missed something", async (context) => {
  const { db, proxy, server } = await world(context);
  const missed: unknown[] = [];
  const heard: unknown[] = [];
  context.after(db.topic("radio").subscribe(({ data }) => heard.push(data), { onMissed: (cursor) => missed.push(cursor) }));
  await until("it listens", async () => (await server.call("status/database")).subscriptions === 1);
  proxy.cut();
  await until("it is told", () => missed.length === 1);
  assert.deepEqual(missed, [undefined]);
  await db.topic("radio").publish("hello");
  await until("the message", () => heard.length === 1);
});

test("who is present is known to all who are", async (context) => {
  const { db, proxy, server } = await world(context);
  const other = client(context, server.url);
  let [here, there]: Member<{ name: string }>[][] = [[], []];
  const names = (members: Member<{ name: string }>[]) => members.map(({ state }) => state.name).sort().join();
  context.after(db.topic("room").presence({ name: "Ada" }, (members) => (here = members)));
  const leave = other.topic("room").presence({ name: "Bob" }, (members) => (there = members));
  await until("both", () => names(here!) === "Ada,Bob" && names(there!) === "Ada,Bob");
  assert.throws(() => db.topic("room").presence({ name: "Eve" }, () => {}), (error: TidebaseError) => error.code === "conflict");
  proxy.cut();
  await until("Ada is back", () => db.connection.state === "open" && names(here!) === "Ada,Bob" && names(there!) === "Ada,Bob");
  leave();
  await until("Bob has left", () => names(here!) === "Ada");
});

test("a publish waits for a connection, and one that is lost says so", async (context) => {
  const { db, proxy } = await world(context);
  proxy.isClosed = true;
  const waiting = db.topic("radio").publish("first");
  await until("it cannot", () => db.connection.state === "waiting");
  proxy.isClosed = false;
  assert.equal(typeof (await waiting), "number");
  proxy.isStalled = true;
  const lost = db.topic("radio").publish("second");
  proxy.cut();
  await assert.rejects(lost, (error: TidebaseError) => error.code === "unavailable" && /may have been carried out/.test(error.message));
  proxy.resume();
});

test("a publish is given up by its signal", async (context) => {
  const { db, proxy } = await world(context);
  proxy.isClosed = true;
  const aborting = new AbortController();
  const waiting = db.topic("radio").publish(1, { signal: aborting.signal });
  aborting.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});
