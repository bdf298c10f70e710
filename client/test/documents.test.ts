// Documents, as an application uses them: written, read, found, live, and several at once.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { TidebaseError, type Code, type Held } from "tidebase";
import {
  arrayRemove,
  arrayUnion,
  changes,
  deleteField,
  documents,
  fieldPath,
  increment,
  serverTimestamp,
  type Doc,
  type Found,
} from "tidebase/documents";
import { client, TOKEN, until, world } from "./world/index.js";

interface Room {
  name: string;
  n?: number;
  open?: { from: number; to: number };
  tags?: string[];
  seen?: string;
}

async function harbour(context: TestContext, ...words: string[]) {
  const made = await world(context, {}, ...words);
  const docs = documents(made.db);
  return { ...made, docs, rooms: docs.collection<Room>("rooms") };
}

const refused = (code: Code, words = /./) => (error: unknown) =>
  error instanceof TidebaseError && error.code === code && (words.test(error.message) || words.test(error.hint ?? ""))
    ? true
    : assert.fail(`${error instanceof TidebaseError ? error.code : ""} ${error}`);

const names = (found: Found<Room> | undefined) => found?.docs.map(({ data }) => data.name).join();

test("a document is set, read, changed and taken away", async (context) => {
  const { docs, rooms } = await harbour(context);
  const room = rooms.doc("harbour");
  assert.deepEqual([room.id, room.path, await room.get()], ["harbour", "rooms/harbour", undefined]);
  const set = await room.set({ name: "Harbour", open: { from: 8, to: 18 } });
  assert.deepEqual(set, { id: "harbour", path: "rooms/harbour", data: { name: "Harbour", open: { from: 8, to: 18 } }, revision: set.revision });
  assert.deepEqual(await docs.doc<Room>("rooms/harbour").get(), set);
  const changed = await room.update({ "open.to": 20, n: increment(1), tags: arrayUnion("sea", "wind"), seen: serverTimestamp() });
  assert.ok(Math.abs(Date.parse(changed.data.seen!) - Date.now()) < 600_000);
  assert.deepEqual({ ...changed.data, seen: "" }, { name: "Harbour", open: { from: 8, to: 20 }, n: 1, tags: ["sea", "wind"], seen: "" });
  await room.update({ tags: arrayRemove("sea"), seen: deleteField() });
  // As in Firestore objects are merged, and a name with a dot in it is a name.
  const merged = await room.set({ open: { to: 22 }, n: increment(4) }, { merge: true });
  assert.deepEqual(merged.data, { name: "Harbour", open: { from: 8, to: 22 }, n: 5, tags: ["wind"] });
  const odd = await docs.doc("rooms/odd").set({ "a.b": { c: {}, __proto__x: 1 }, d: { "e.f": [1] } }, { merge: true });
  assert.deepEqual(odd.data, { "a.b": { c: {}, __proto__x: 1 }, d: { "e.f": [1] } });
  assert.equal(fieldPath("a.b", "c"), "`a.b`.c");
  assert.equal((await docs.doc("rooms/odd").update({ [fieldPath("a.b", "c")]: 1 })).data["a.b"].c, 1);
  const proto = JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}');
  assert.deepEqual(JSON.stringify((await docs.doc("rooms/proto").set(proto, { merge: true })).data), '{"__proto__":{"x":1},"constructor":2}');
  assert.equal(await room.delete(), true);
  assert.equal(await room.delete(), false);
  assert.equal(await room.get(), undefined);
  await assert.rejects(room.update({ n: 1 }), refused("not_found", /There is no document rooms\/harbour/));
});

test("documents get ids that sort as they were made, of the server and of the client", async (context) => {
  const { docs, rooms } = await harbour(context);
  const first = await rooms.add({ name: "first" });
  const second = rooms.doc();
  assert.match(second.id, /^0[0-9a-f]{27}$/);
  await second.set({ name: "second" });
  assert.equal((await first.get())!.data.name, "first");
  const message = await first.collection<{ text: string }>("messages").add({ text: "The tide is in" });
  assert.match(message.path, new RegExp(`^rooms/${first.id}/messages/[0-9a-f]{28}$`));
  assert.deepEqual((await docs.collection(`rooms/${first.id}/messages`).get()).docs.map(({ data }) => data), [{ text: "The tide is in" }]);
  assert.equal(new Set(Array.from({ length: 1000 }, () => rooms.doc().id)).size, 1000);
});

test("integers are exact, and dates are texts", async (context) => {
  const { docs, server } = await harbour(context);
  const numbers = docs.doc("numbers/one");
  const data = { largest: 2n ** 63n - 1n, least: -(2n ** 63n), deep: [{ odd: 9007199254740993n }], plain: 1.5 };
  assert.deepEqual((await numbers.set(data)).data, data);
  assert.deepEqual((await numbers.get())!.data, data);
  assert.equal((await numbers.update({ least: increment(1n) })).data.least, -(2n ** 63n) + 1n);
  const live = numbers.live();
  await until("it is live", () => live.value);
  assert.deepEqual(live.value!.doc!.data.deep, data.deep);
  live.close();
  await assert.rejects(numbers.update({ largest: increment(1) }), refused("conflict"));
  const at = new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
  assert.deepEqual((await docs.doc("numbers/at").set({ at })).data, { at: "2026-01-02T03:04:05.678Z" });
  assert.deepEqual(await server.query(`SELECT data ->> '$.largest' = 9223372036854775807 AS ok FROM numbers WHERE id = 'one'`), [{ ok: 1 }]);
  assert.equal(await docs.collection("numbers").where("deep", "array-contains", { odd: 9007199254740993n }).count(), 1);
});

test("a condition holds, or nothing is written", async (context) => {
  const { rooms } = await harbour(context);
  const room = rooms.doc("r1");
  const first = await room.set({ name: "a" }, { ifRevision: 0 });
  await assert.rejects(room.set({ name: "b" }, { ifRevision: 0 }), refused("conflict", /stands at revision/));
  await assert.rejects(room.set({ name: "b" }, { exists: false }), refused("conflict", /exists/));
  await assert.rejects(rooms.doc("r2").set({ name: "b" }, { exists: true }), refused("not_found"));
  const second = await room.update({ n: 1 }, { ifRevision: first.revision });
  await assert.rejects(room.update({ n: 2 }, { ifRevision: first.revision }), refused("conflict"));
  await assert.rejects(room.delete({ ifRevision: first.revision }), refused("conflict"));
  await assert.rejects(room.set({ n: 9 }, { merge: true, ifRevision: NaN }), refused("invalid"));
  await assert.rejects(room.set({ name: "b" }, { ifRevision: "1&exists=true" as never }), refused("invalid"));
  assert.deepEqual(await room.get(), second);
  assert.equal(await room.delete({ ifRevision: second.revision }), true);
});

test("documents are found by their fields, in an order, in pages", async (context) => {
  const { docs, rooms } = await harbour(context);
  const sales = docs.collection<{ n: number; by: string; tags: number[] }>("shops/s0/sales");
  const batch = docs.batch();
  for (let n = 0; n < 30; n++) {
    batch.set(docs.doc(`shops/s${n % 2}/sales/${String(n).padStart(2, "0")}`), { n, by: n % 3 ? "bob" : "ann", tags: [n % 5] });
  }
  await batch.commit();
  const ids = async (query: { get(): Promise<Found> }) => (await query.get()).docs.map(({ id }) => id).join();
  assert.equal(await ids(sales.where("by", "==", "ann").where("n", ">", 5)), "06,12,18,24");
  assert.equal(await ids(sales.where({ or: [["tags", "array-contains", 3], ["n", "in", [0, 2]]] }).orderBy("n", "desc")), "28,18,08,02,00");
  assert.equal(await ids(sales.where({ and: [["n", "<", 9], { or: [["n", ">=", 6], ["n", "==", 0]] }] })), "00,06,08");
  assert.equal(await ids(sales.where("n", "not-in", [0, 2, 4]).where("n", "<=", 8).where("n", "!=", 6)), "08");
  assert.equal(await ids(sales.where("tags", "array-contains-any", [3, 4]).limit(2)), "04,08");
  const all = docs.collection("shops/*/sales");
  assert.equal(await ids(all.orderBy("by").orderBy("n").limit(3)), "00,03,06");
  assert.equal((await all.where("n", "==", 3).get()).docs[0]!.path, "shops/s1/sales/03");
  assert.deepEqual([await all.count(), await all.sum("n"), await all.average("n")], [30, 435, 14.5]);
  assert.deepEqual([await sales.where("n", ">", 99).average("n"), await rooms.count(), await rooms.sum("n")], [null, 0, 0]);

  const ordered = all.orderBy("by", "desc").limit(7);
  const paths: string[] = [];
  let page = await ordered.get();
  for (;;) {
    paths.push(...page.docs.map(({ path }) => path));
    if (page.after === undefined) break;
    page = await ordered.startAfter(page.after).get();
  }
  const whole = await all.orderBy("by", "desc").get();
  assert.deepEqual([paths, whole.after], [whole.docs.map(({ path }) => path), undefined]);
  assert.equal(paths.length, 30);
  assert.ok(whole.revision >= whole.docs[0]!.revision);

  await sales.makeIndex(["n desc", "by"]);
  assert.equal(await ids(sales.where("n", ">", 24).orderBy("n", "desc")), "28,26");
  await assert.rejects(rooms.makeIndex(["n"]), refused("not_found", /no collection rooms/));
  await rooms.make();
  await rooms.makeIndex(["n"]);
});

test("more than a hundred are found without asking for more", async (context) => {
  const { docs } = await harbour(context);
  for (let hundred = 0; hundred < 3; hundred++) {
    const batch = docs.batch();
    for (let n = 0; n < 100; n++) batch.set(docs.collection("many").doc(), { n });
    await batch.commit();
  }
  const { docs: found, after } = await docs.collection("many").get();
  assert.deepEqual([found.length, after], [300, undefined]);
});

test("a live query is told now, and after each commit that changed it, and unchanged documents are the same objects", async (context) => {
  const { rooms, server, docs } = await harbour(context);
  await docs.batch().set(rooms.doc("a"), { name: "a", n: 1 }).set(rooms.doc("b"), { name: "b", n: 5 }).commit();
  const told: Found<Room>[] = [];
  const stop = rooms.where("n", "<", 9).orderBy("n", "desc").limit(2).onSnapshot((found) => told.push(found));
  await until("the documents", () => told.length === 1);
  assert.equal(names(told[0]), "b,a");
  const set = await rooms.doc("c").set({ name: "c", n: 7 });
  await until("another one", () => told.length === 2);
  assert.deepEqual([names(told[1]), told[1]!.revision], ["c,b", set.revision]);
  assert.deepEqual(told[1]!.docs[0], set);
  assert.equal(told[1]!.docs[1], told[0]!.docs[0]);
  const { added, changed, removed } = changes(told[1]!, told[0]);
  assert.deepEqual([added, changed, removed], [[set], [], [told[0]!.docs[1]]]);
  await server.write("UPDATE rooms SET data = json_set(data, '$.name', 'by SQL') WHERE id = 'b'");
  await until("what SQL did", () => told.length === 3);
  assert.equal(names(told[2]), "c,by SQL");
  assert.deepEqual(changes(told[2]!, told[1]).changed, [told[2]!.docs[1]]);
  assert.deepEqual(changes(told[2]!), { added: told[2]!.docs, changed: [], removed: [] });
  await rooms.doc("c").update({ n: 100 });
  await until("it is out of sight", () => told.length === 4);
  assert.equal(names(told[3]), "by SQL,a");
  stop();
  await rooms.doc("b").delete();
  assert.equal((await rooms.get()).docs.length, 2);
  assert.equal(told.length, 4, "nothing after the end");
});

test("a live document comes and goes", async (context) => {
  const { rooms } = await harbour(context);
  await rooms.make();
  const told: (Doc<Room> | undefined)[] = [];
  const revisions: number[] = [];
  context.after(rooms.doc("r1").onSnapshot((doc, revision) => (told.push(doc), revisions.push(revision))));
  await until("that it is not there", () => told.length === 1);
  const set = await rooms.doc("r1").set({ name: "Harbour" });
  await until("it", () => told.length === 2);
  await rooms.doc("r2").set({ name: "another" });
  await rooms.doc("r1").delete();
  await until("its end", () => told.length === 3);
  assert.deepEqual(told, [undefined, set, undefined]);
  assert.ok(revisions[0]! < revisions[1]! && revisions[1] === set.revision && revisions[2]! > set.revision);
});

test("the same live query is one subscription, held or looped over", async (context) => {
  const { rooms, server } = await harbour(context);
  await rooms.doc("a").set({ name: "a", n: 1 });
  const query = () => rooms.where("n", "==", 1);
  const held = [query().live(), query().live()];
  let late: Found<Room> | undefined;
  const stop = query().onSnapshot((found) => (late = found));
  await until("all", () => held.every((one) => one.value) && late);
  assert.equal(held[0]!.value, held[1]!.value);
  assert.equal(held[0]!.value, late);
  const room = [rooms.doc("a").live(), rooms.doc("a").live()];
  await until("the document, twice", () => room.every((one) => one.value));
  assert.equal(room[0]!.value!.doc, room[1]!.value!.doc);
  assert.equal((await server.call("status/database")).subscriptions, 2);
  [...held, ...room].forEach((one) => one.close());
  stop();
  const heard: string[] = [];
  for await (const found of query()) {
    heard.push(names(found)!);
    if (heard.length === 2) break;
    await rooms.doc("b").set({ name: "b", n: 1 });
  }
  assert.deepEqual(heard, ["a", "a,b"]);
  for await (const { doc } of rooms.doc("b")) {
    assert.equal(doc!.data.name, "b");
    break;
  }
  await until("the server holds none", async () => (await server.call("status/database")).subscriptions === 0);
  assert.equal((await rooms.get()).docs.length, 2);
});

test("all that is held is of one commit", async (context) => {
  const { rooms, docs } = await harbour(context);
  await docs.batch().set(rooms.doc("a"), { name: "a", n: 0 }).set(rooms.doc("b"), { name: "b", n: 0 }).commit();
  const [a, b, all] = [rooms.doc("a").live(), rooms.doc("b").live(), rooms.live()] as const;
  context.after(() => [a, b, all].forEach((one: Held<any>) => one.close()));
  await until("all are there", () => a.value && b.value && all.value);
  const torn: unknown[] = [];
  const check = () => {
    const numbers = [a.value!.doc!.data.n, b.value!.doc!.data.n, ...all.value!.docs.map(({ data }) => data.n)];
    if (new Set(numbers).size > 1) torn.push(numbers);
  };
  [a, b, all].forEach((one: Held<any>) => one.subscribe(check));
  for (let n = 1; n <= 20; n++) {
    await docs.batch().update(rooms.doc("a"), { n: increment(1) }).update(rooms.doc("b"), { n: increment(1) }).commit();
  }
  await until("the last", () => all.value!.docs[0]!.data.n === 20);
  assert.deepEqual(torn, []);
});

test("a live group tells where each document is", async (context) => {
  const { docs } = await harbour(context);
  await docs.doc("rooms/a$&/messages/m1/likes/l1").set({ by: "ann" });
  await docs.doc("rooms/*x/messages/m2/likes/l1").set({ by: "bob" });
  const likes = docs.collection("rooms/*/messages/*/likes").live();
  context.after(() => likes.close());
  await until("both", () => likes.value?.docs.length === 2);
  assert.deepEqual(likes.value!.docs.map(({ path }) => path).sort(), ["rooms/*x/messages/m2/likes/l1", "rooms/a$&/messages/m1/likes/l1"]);
  for (const { path } of likes.value!.docs) assert.equal((await docs.doc(path).get())!.path, path);
});

test("what is live survives cuts, a killed server and another one", async (context) => {
  const { rooms, proxy, server, docs } = await harbour(context);
  await rooms.make();
  const found = rooms.orderBy("n").live();
  context.after(() => found.close());
  const told: number[] = [];
  context.after(rooms.doc("r7").onSnapshot((doc) => told.push(doc?.data.n ?? -1)));
  const other = documents(client(context, server.url)).collection<Room>("rooms");
  for (let n = 0; n < 25; n++) {
    proxy.cutAfter(37 * n);
    proxy.pieceBytes = n % 3 ? Infinity : 5;
    await other.doc(`r${n % 10}`).set({ name: `${n}`, n });
    if (n === 12) {
      await server.kill();
      await server.start();
    }
    await until("it is told", () => found.value?.docs.some(({ data }) => data.n === n));
  }
  proxy.cutAfter(Infinity);
  await until("the last", () => told.at(-1) === 17);
  assert.deepEqual(found.value!.docs, (await docs.collection<Room>("rooms").orderBy("n").get()).docs);
  assert.deepEqual([...told].sort((a, b) => a - b), told, "in order");
  assert.equal(new Set(told).size, told.length, "and once");
});

test("writes are carried out once, through a cable that cuts", async (context) => {
  const { rooms, proxy } = await harbour(context);
  await rooms.doc("r1").set({ name: "a", n: 0 });
  let done = 0;
  for (let n = 0; n < 30; n++) {
    proxy.cutAfter(n * 11);
    await rooms.doc("r1").update({ n: increment(1) });
    done++;
  }
  proxy.cutAfter(Infinity);
  assert.equal((await rooms.doc("r1").get())!.data.n, done);
});

test("all of a batch is written, in order, or nothing", async (context) => {
  const { rooms, docs } = await harbour(context);
  const batch = docs
    .batch()
    .set(rooms.doc("a"), { name: "a", n: 3 })
    .set(rooms.doc("a"), { n: increment(2) }, { merge: true })
    .update(rooms.doc("a"), { n: increment(4), "open.to": 9 })
    .delete(rooms.doc("b"))
    .set(rooms.doc("a").collection("messages").doc("m1"), { text: "hello" });
  const results = await batch.commit();
  assert.deepEqual((results[2] as Doc).data, { name: "a", n: 9, open: { to: 9 } });
  assert.deepEqual([results[3], (results[4] as Doc).path], [false, "rooms/a/messages/m1"]);
  await assert.rejects(batch.commit(), refused("invalid", /committed/));
  assert.throws(() => batch.delete(rooms.doc("a")), refused("invalid", /committed/));
  const half = docs.batch().delete(rooms.doc("a")).update(rooms.doc("missing"), { n: 1 });
  await assert.rejects(half.commit(), (error: TidebaseError) => error.code === "not_found" && error.statement === 1);
  assert.equal((await rooms.doc("a").get())!.data.n, 9);
  await assert.rejects(docs.batch().delete(rooms.doc("a"), { ifRevision: 1 }).commit(), refused("conflict"));
  assert.deepEqual(await docs.batch().commit(), []);
  // What becomes of an object afterwards does not matter, and a revision that is none is no missing condition.
  const reused = { name: "x", n: 0 };
  const loop = docs.batch();
  for (let n = 0; n < 3; n++) loop.set(rooms.doc(`n${n}`), Object.assign(reused, { n }));
  assert.deepEqual((await loop.commit()).map((doc) => (doc as Doc<Room>).data.n), [0, 1, 2]);
  for (const ifRevision of [NaN, null, "5", 1.5]) {
    assert.throws(() => docs.batch().delete(rooms.doc("a"), { ifRevision: ifRevision as number }), refused("invalid", /ifRevision/));
    await assert.rejects(rooms.doc("a").delete({ ifRevision: ifRevision as number }), refused("invalid", /ifRevision/));
  }
  const large = docs.batch();
  for (let n = 0; n <= 500; n++) large.delete(rooms.doc(`${n}`));
  await assert.rejects(large.commit(), refused("too_large", /500 writes/));
});

test("twenty transactions of two clients at once count to twenty", async (context) => {
  const { rooms, server } = await harbour(context);
  const clients = [0, 1].map(() => documents(client(context, server.url, { limits: { pauseMin: 40 } })));
  let runs = 0;
  const counted = await Promise.all(
    Array.from({ length: 20 }, (_, index) => {
      const docs = clients[index % 2]!;
      const place = docs.doc<Room>("rooms/counter");
      return docs.transaction(async (transaction) => {
        runs++;
        const doc = await transaction.get(place);
        const n = (doc?.data.n ?? 0) + 1;
        transaction.set(place, { name: "counter", n });
        return n;
      });
    }),
  );
  assert.equal((await rooms.doc("counter").get())!.data.n, 20);
  assert.deepEqual(counted.sort((a, b) => a - b), Array.from({ length: 20 }, (_, index) => index + 1));
  context.diagnostic(`${runs} runs`);
});

test("a transaction that was begun as one caller writes nothing as the next", async (context) => {
  const { rooms, docs, db } = await harbour(context);
  await rooms.doc("a").set({ name: "a", n: 1 });
  let runs = 0;
  const moving = docs.transaction(async (transaction) => {
    runs++;
    const { n } = (await transaction.get(rooms.doc("a")))!.data;
    transaction.update(rooms.doc("a"), { n: n! + 1 });
    // Somebody else, though the server takes theirs for the same.
    db.setToken(TOKEN);
  });
  await assert.rejects(moving, refused("unauthorized", /Somebody else/));
  assert.deepEqual([runs, (await rooms.doc("a").get())!.data.n], [1, 1]);
});

test("a transaction writes what follows from what it read, or nothing", async (context) => {
  const { rooms, docs } = await harbour(context);
  await rooms.doc("a").set({ name: "a", n: 10 });
  const moved = await docs.transaction(async (transaction) => {
    const [from, to] = [await transaction.get(rooms.doc("a")), await transaction.get(rooms.doc("b"))];
    assert.equal(to, undefined);
    transaction.update(rooms.doc("a"), { n: increment(-4) }).set(rooms.doc("b"), { name: "b", n: 4 });
    return from!.data.n;
  });
  assert.deepEqual([moved, (await rooms.doc("a").get())!.data.n, (await rooms.doc("b").get())!.data.n], [10, 6, 4]);
  await assert.rejects(
    docs.transaction(async (transaction) => {
      transaction.delete(rooms.doc("a"));
      throw new Error("enough");
    }),
    /enough/,
  );
  await assert.rejects(
    docs.transaction(async (transaction) => {
      transaction.delete(rooms.doc("a"));
      await transaction.get(rooms.doc("b"));
    }),
    refused("invalid", /reads first/),
  );
  assert.ok(await rooms.doc("a").get());

  // Somebody is always faster.
  let runs = 0;
  const hopeless = docs.transaction(
    async (transaction) => {
      runs++;
      await transaction.get(rooms.doc("a"));
      await rooms.doc("a").update({ n: increment(1) });
      transaction.delete(rooms.doc("b"));
    },
    { attempts: 3 },
  );
  await assert.rejects(hopeless, (error: TidebaseError) => error.code === "conflict" && /stands at revision/.test(String(error.cause)));
  assert.equal(runs, 3);
  assert.ok(await rooms.doc("b").get());

  // A condition of a write is no reason to run it again.
  runs = 0;
  const conditional = docs.transaction(async (transaction) => {
    runs++;
    transaction.set(rooms.doc("a"), { name: "a" }, { exists: false });
  });
  await assert.rejects(conditional, (error: TidebaseError) => error.code === "conflict" && error.statement === 0);
  assert.equal(runs, 1);
  let escaped: { delete(place: object): unknown } | undefined;
  await docs.transaction(async (transaction) => void (escaped = transaction as never));
  assert.throws(() => escaped!.delete(rooms.doc("a")), refused("invalid", /committed/));
});

test("the compiler knows the fields of a collection", async (context) => {
  const { rooms, docs } = await harbour(context);
  const room = rooms.doc("a");
  await room.set({ name: "a", n: increment(1), open: { from: increment(8), to: 18 } });
  // @ts-expect-error: without a name it is no Room
  await room.set({ n: 1 });
  await room.set({ open: { to: 19 } }, { merge: true });
  // @ts-expect-error: a number
  await room.set({ open: { to: "late" } }, { merge: true });
  await room.update({ "open.to": 20, n: deleteField() });
  // @ts-expect-error: a text
  await room.update({ name: 5 });
  // @ts-expect-error: there is no such operator
  rooms.where("n", "=", 1);
  // @ts-expect-error: the same holds in a batch
  docs.batch().set(room, { n: "one" });
  const n: number | undefined = (await room.get())!.data.n;
  assert.equal(n, undefined);
});

test("calls are given up by their signal", async (context) => {
  const { rooms, docs, proxy } = await harbour(context);
  await rooms.doc("a").set({ name: "a" });
  const gone = AbortSignal.abort(new Error("enough"));
  const place = rooms.doc("a");
  for (const call of [
    () => place.get({ signal: gone }),
    () => place.set({ name: "b" }, { signal: gone }),
    () => place.update({ n: 1 }, { signal: gone }),
    () => place.delete({ signal: gone }),
    () => rooms.add({ name: "b" }, { signal: gone }),
    () => rooms.get({ signal: gone }),
    () => rooms.count({ signal: gone }),
    () => docs.batch().delete(place).commit({ signal: gone }),
    () => docs.transaction(async (transaction) => void transaction.delete(place), { signal: gone }),
  ]) {
    await assert.rejects(call, /enough/);
  }
  assert.equal(rooms.live({ signal: gone }).error, gone.reason);
  rooms.onSnapshot(() => assert.fail("told"), { signal: gone });
  const aborting = new AbortController();
  proxy.isStalled = true;
  const waiting = docs.transaction(async (transaction) => void (await transaction.get(place)), { signal: aborting.signal });
  aborting.abort(new Error("later"));
  await assert.rejects(waiting, /later/);
  proxy.resume();
  assert.equal((await place.get())!.data.name, "a");
});

test("no path leads elsewhere", async (context) => {
  const { rooms, docs, proxy } = await harbour(context);
  await docs.doc("rooms/r1/messages/secret").set({ name: "secret" });
  const sent = proxy.bytes.up;
  const wrong = ["", ".", "..", "a/b", "a/messages/b", "/", "../..", "a\0b", "a\nb", "a\u007f", "\ud800", "a\udfff", "x".repeat(513), "ü".repeat(257), undefined, null, 5, 5n, {}, ["a"]];
  for (const id of wrong) {
    assert.throws(() => rooms.doc(id as string), refused("invalid", /no path of a document/), String(id).slice(0, 20));
    assert.throws(() => rooms.doc("r1").collection(id as string), refused("invalid", /no path of a collection/));
  }
  for (const path of ["", "rooms", "rooms/", "/rooms/a", "rooms//a", "rooms/../x", "rooms/a/..", "rooms/a/b", "1rooms/a", "ro oms/a", "rooms?x/a", "rooms%2fa/b", undefined, Symbol.iterator]) {
    assert.throws(() => docs.doc(path as string), refused("invalid"));
  }
  for (const path of ["", "/", "rooms/a", "rooms/../rooms", "rooms/./x", "docs:batch", "../query", "rooms/a/mess ages", "rooms#", "x".repeat(65), null]) {
    assert.throws(() => docs.collection(path as string), refused("invalid"));
  }
  assert.equal(proxy.bytes.up, sent, "nothing was sent");
  const right = ["...", " ", "%2e%2e", "%2F", "a b", "a?b=c&d", "a#b", "ü", "日本/".slice(0, 2), "🌊", "a\\..\\b", "a:b", ";x", "'\"`", "a+b", "constructor", "__proto__", "x".repeat(512), "{id}", "$&", "*a"];
  for (const [n, id] of right.entries()) {
    const set = await rooms.doc(id).set({ name: id, n });
    assert.deepEqual([set.id, set.path, (await rooms.doc(id).get())?.data.n], [id, `rooms/${id}`, n]);
    await rooms.doc(id).collection("notes").doc(id).set({ n });
    assert.equal(await docs.collection(`rooms/${id}/notes`).count(), 1);
    const live = rooms.doc(id).collection("notes").live();
    await until("it is live", () => live.value);
    assert.deepEqual(live.value!.docs.map(({ path }) => path), [`rooms/${id}/notes/${id}`]);
    live.close();
  }
  assert.equal(await rooms.count(), right.length);
  await assert.rejects(rooms.doc("*").get(), refused("invalid", /stands for all ids/));
  await assert.rejects(docs.collection("rooms/*/notes").add({}), refused("invalid", /stands for all ids/));
  await assert.rejects(docs.doc("_tide_tokens/x").set({}), refused("forbidden", /reserved/));
  await assert.rejects(docs.collection("sqlite_x").get(), refused("forbidden", /reserved/));
  await assert.rejects(docs.doc(Array(9).fill("a/b").join("/")).get(), refused("invalid", /8 collections/));
});

test("what cannot be kept is refused by name, before anything is sent", async (context) => {
  const { docs, rooms, proxy } = await harbour(context);
  const room = docs.doc("rooms/r1");
  const cyclic: any = {};
  cyclic.self = cyclic;
  const sent = proxy.bytes.up;
  for (const [data, words] of [
    [{ a: undefined }, /^a cannot be sent: it is undefined/],
    [{ a: { b: [1, undefined] } }, /^a\.b\[1\]/],
    [{ a: NaN }, /NaN/],
    [{ a: [, 1] }, /^a\[0\]/],
    [{ a: -Infinity }, /-Infinity/],
    [{ a: 2n ** 63n }, /9223372036854775808/],
    [{ a: new Map() }, /^a /],
    [{ a: new Uint8Array(2) }, /^a /],
    [{ a: () => 1 }, /^a /],
    [{ a: Symbol("x") }, /Symbol/],
    [{ a: new Date(NaN) }, /^a /],
    [{ a: [increment(1)] }, /^a\[0\]/],
    [{ a: { $increment: 1 } }, /^a /],
    [{ a: { b: { $delete: true } } }, /^a\.b/],
    [cyclic, /too deep/],
    [null, /object of fields/],
    [undefined, /object of fields/],
    [[1], /object of fields/],
    ["x", /object of fields/],
    [increment(1), /object of fields/],
    [new Date(), /object of fields/],
  ] as [any, RegExp][]) {
    await assert.rejects(room.set(data), refused("invalid", words));
    await assert.rejects(room.set(data, { merge: true }), refused("invalid", words));
    await assert.rejects(room.update(data), refused("invalid", words));
    await assert.rejects(docs.collection("rooms").add(data), refused("invalid", words));
    assert.throws(() => docs.batch().set(room, data), refused("invalid", words));
  }
  assert.throws(() => increment(undefined as never), refused("invalid"));
  assert.throws(() => increment(Infinity), refused("invalid"));
  assert.throws(() => arrayUnion(1, undefined), refused("invalid", /arrayUnion\[1\]/));
  assert.throws(() => rooms.where("n", "==", undefined), refused("invalid", /^where\(n\)/));
  assert.throws(() => rooms.where("n", "in", [1, undefined]), refused("invalid"));
  assert.throws(() => rooms.where({ or: [["n", "==", undefined]] }), refused("invalid", /^where\(\)\.or\[0\]\[2\]/));
  assert.throws(() => rooms.where({ and: [cyclic] }), refused("invalid"));
  assert.throws(() => rooms.where("n", "==", increment(1)), refused("invalid"));
  for (const limit of [0, -1, 1.5, NaN, "5", undefined]) assert.throws(() => rooms.limit(limit as number), refused("invalid"));
  for (const after of ["", undefined, null]) assert.throws(() => rooms.startAfter(after as string), refused("invalid"));
  assert.throws(() => rooms.orderBy("n", "DESC; --" as never), refused("invalid", /asc or desc/));
  for (const field of ["a,b", "", undefined, null, 5]) {
    assert.throws(() => rooms.orderBy(field as string), refused("invalid", /not one field/));
    assert.throws(() => rooms.sum(field as string), refused("invalid", /not one field/));
  }
  assert.throws(() => rooms.startAfter("x").onSnapshot(() => {}), refused("unsupported", /where/));
  assert.equal(proxy.bytes.up, sent, "nothing was sent");

  await assert.rejects(rooms.where("n", "=" as never, 1).get(), refused("invalid", /There are == != < <= > >= in not-in/));
  let error: TidebaseError | undefined;
  await rooms.make();
  rooms.where("n", "=" as never, 1).onSnapshot(() => {}, { onError: (told) => (error = told) });
  await until("it is refused live", () => error);
  assert.match(error!.message, /There are == != < <= > >= in not-in/);
  await assert.rejects((rooms as any).where("n", "==").get(), refused("invalid", /three parts/));
  await assert.rejects(rooms.where("n" as never).get(), refused("invalid", /three parts/));
  await assert.rejects(rooms.startAfter("nonsense").get(), refused("invalid", /startAfter/));
  await assert.rejects(rooms.limit(10_001).get(), refused("invalid", /10000/));
  await assert.rejects(rooms.where("n", "==", "x".repeat(70_000)).get(), refused("too_large"));
  await room.set({});
  await assert.rejects(room.update({ "a..b": 1 }), refused("invalid", /no field/));
  await assert.rejects(room.update({ a: increment("5" as never) }), refused("invalid", /takes a number/));
  assert.equal(await rooms.orderBy(fieldPath("n desc") as never).count(), 0, "a field of that name");
  await assert.rejects(rooms.orderBy("n desc" as never).count(), refused("invalid", /between backticks/));
});

test("a document of a megabyte is kept and told, a larger one is refused", async (context) => {
  const { docs, server } = await harbour(context);
  const text = "ü\u2028\"\\🌊".repeat(80_000).slice(0, 400_000);
  const large = docs.doc("large/one");
  await docs.collection("large").make();
  const live = docs.collection("large").live();
  context.after(() => live.close());
  const set = await large.set({ text });
  assert.equal(set.data.text, text);
  await until("it is told", () => live.value?.docs.length === 1);
  assert.equal(live.value!.docs[0]!.data.text, text);
  await docs.doc("large/two").set({ text: "x".repeat(1_000_000) });
  await until("the second", () => live.value!.docs.length === 2);
  assert.equal((await docs.collection("large").get()).docs[1]!.data.text.length, 1_000_000);
  await assert.rejects(large.set({ text: "x".repeat(1 << 20) }), refused("too_large"));
  assert.equal((await server.query("SELECT count(*) AS n FROM large"))[0].n, 2);
});

test("callers see and write their own documents alone, live too", async (context) => {
  const { docs, server } = await harbour(context);
  const notes = docs.collection<{ owner: string; text: string }>("notes");
  await notes.make();
  const own = { name: "own notes", table: "notes", action: "all", using: "data ->> '$.owner' = auth.claim('name')" };
  await server.call("policies", own);
  const [ann, bob] = await Promise.all(
    ["ann", "bob"].map(async (name) => {
      const { token } = await server.call("auth/tokens", { name, role: "client", claims: { name } });
      return documents(client(context, server.url, { token })).collection<{ owner: string; text: string }>("notes");
    }),
  );
  const live = bob!.live();
  context.after(() => live.close());
  await until("bob listens", () => live.value);
  await ann!.doc("a").set({ owner: "ann", text: "hers" });
  await bob!.doc("b").set({ owner: "bob", text: "his" });
  await until("his own", () => live.value!.docs.length === 1);
  assert.equal(await bob!.doc("a").get(), undefined);
  assert.deepEqual([await bob!.count(), await notes.count()], [1, 2]);
  await assert.rejects(bob!.doc("a").set({ owner: "bob", text: "stolen" }), refused("forbidden", /No policy lets you write/));
  await assert.rejects(bob!.doc("b").update({ owner: "ann" }), refused("forbidden"));
  await assert.rejects(bob!.doc("a").update({ text: "stolen" }), refused("not_found"));
  assert.equal(await bob!.doc("a").delete(), false);
  await assert.rejects(bob!.make(), refused("forbidden"));
  await notes.doc("a").update({ owner: "bob" });
  await until("a gift", () => live.value!.docs.length === 2);
  await notes.doc("b").update({ owner: "ann" });
  await until("what is his no more", () => live.value!.docs.map(({ id }) => id).join() === "a");
  const given = await documents(client(context, server.url, { token: "tide_client_wrong" })).doc("notes/a").get().catch((error) => error.code);
  assert.equal(given, "unauthorized");
  await server.call("policies/own%20notes", undefined, undefined, "DELETE");
  await until("nothing of his", () => live.value!.docs.length === 0);
});

test("a collection that is not there is empty, and fills when it comes", async (context) => {
  const { rooms, db, server } = await harbour(context);
  assert.deepEqual((await rooms.get()).docs, []);
  const [live, one] = [rooms.live(), rooms.doc("first").live()];
  context.after(() => (live.close(), one.close()));
  await until("empty ones", () => live.value && one.value);
  assert.deepEqual([live.value!.docs, one.value!.doc], [[], undefined]);
  await rooms.doc("first").set({ name: "first" });
  await until("the first", () => live.value!.docs.length === 1 && one.value!.doc);
  await server.query("CREATE TABLE plain (id INTEGER PRIMARY KEY, data TEXT)");
  await assert.rejects(documents(db).doc("plain/1").set({}), refused("conflict", /no collection/));
  db.close();
  assert.throws(() => rooms.onSnapshot(() => {}), refused("closed"));
});

test("a JSON Schema is held to, and the place is named", async (context) => {
  const { rooms, server } = await harbour(context);
  await rooms.make();
  await server.call("schemas/rooms/data", { required: ["name"], properties: { n: { type: "integer" } } }, undefined, "PUT");
  await rooms.doc("a").set({ name: "a", n: 1 });
  await assert.rejects(rooms.doc("a").update({ n: "large" as never }), (error: TidebaseError) => error.code === "invalid" && error.pointer === "/n");
});

test("Blaze's sketch: one document, and everybody who looks at it sees what anybody does", async (context) => {
  const { server, proxy } = await harbour(context);
  const people = [0, 1, 2].map((n) => documents(client(context, n ? server.url : proxy.url)));
  const rooms = people.map((docs) => docs.collection<{ name?: string; guests?: string[]; at?: string }>("rooms"));
  await rooms[0]!.doc("lobby").set({ name: "Lobby" });
  const screens: string[] = ["", "", ""];
  rooms.forEach((room, n) => {
    context.after(room.doc("lobby").onSnapshot((doc) => (screens[n] = JSON.stringify(doc?.data ?? {}))));
  });
  const all = (text: string) => until(text, () => screens.every((screen) => screen === text));
  await all('{"name":"Lobby"}');
  await rooms[1]!.doc("lobby").update({ name: "The lobby" });
  await all('{"name":"The lobby"}');
  proxy.cut();
  await Promise.all(rooms.map((room, n) => room.doc("lobby").update({ guests: arrayUnion(`guest ${n}`) })));
  await until("all guests, everywhere", () => screens.every((screen) => (JSON.parse(screen).guests ?? []).length === 3));
  assert.equal(new Set(screens).size, 1);
  // What it lists as not working: asking on the server, and more than one document at a time.
  assert.equal(await rooms[2]!.where("guests", "array-contains", "guest 1").count(), 1);
  await people[2]!.batch().delete(rooms[2]!.doc("lobby")).set(rooms[2]!.doc("hall"), { name: "Hall" }).commit();
  await all("{}");
  assert.deepEqual((await rooms[0]!.get()).docs.map(({ id }) => id), ["hall"]);
});
