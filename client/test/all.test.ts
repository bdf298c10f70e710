// Everything in one client: who signs in brings the token and the store on the device, whoever was there before, also without
// a network, in several pages, and when a session ends while writes wait.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createClient, increment, newId, type AllOptions, type Everything, type Place, type TidebaseError } from "tidebase/all";
import { Proxy, QUICK, Server, TOKEN, until } from "./world/index.js";

const ANN = { email: "ann@example.org", password: "correct horse" };
const BOB = { email: "bob@example.org", password: "battery staple" };

interface Todo {
  id: string;
  title: string;
}

/** A place that the pages of a device share. */
class Shelf extends Map<string, string> implements Place {
  getItem = (key: string) => this.get(key) ?? null;
  setItem = (key: string, text: string) => this.set(key, text);
  removeItem = (key: string) => this.delete(key);
}

async function start(context: TestContext) {
  const server = await Server.start(context, "--signup", "open");
  await server.query("create table todo (id text primary key, title text not null, owner text default (auth_uid()))");
  await server.call("policies", { name: "own", table: "todo", action: "all", role: "user", using: "owner = auth.uid()" });
  const proxy = await Proxy.start(context, server.port);
  return { server, proxy };
}

function page(context: TestContext, url: string, storage?: Place, options: AllOptions = { offline: true }): Everything {
  const db = createClient(url, { ...options, ...(storage && { storage }), limits: QUICK });
  context.after(() => db.close());
  return db;
}

function list(db: Everything) {
  const live = db.sql<Todo>`select id, title from todo order by title`.live();
  return { live, titles: () => live.value?.rows.map(({ title }) => title).join(" ") };
}

/** A sign-in is sent once, and its answer may be lost. */
const enter = (db: Everything, who: typeof ANN) => until("signed in", () => db.auth.signIn(who).catch((error) => codeIs("unavailable")(error) && undefined));
const add = (db: Everything, title: string) => db.local.table("todo").insert({ id: newId(), title });
const owners = (server: Server) => server.query("select title, u.email as owner from todo left join _tide_users u on u.id = owner order by title");
const codeIs = (code: string, words?: RegExp) => (error: TidebaseError) => {
  assert.equal(error.code, code, error.message);
  if (words) assert.match(`${error.message} ${error.hint}`, words);
  return true;
};

function unplug(proxy: Proxy): void {
  proxy.isClosed = true;
  proxy.cut();
}

/** As another page of the device does it, which has a network. */
async function enterElsewhere(server: Server, proxy: Proxy, shelf: Shelf, who: typeof ANN): Promise<void> {
  const session = await server.call("auth/login", who);
  const name = `tidebase ${proxy.url}/`;
  shelf.set(name, JSON.stringify({ ...session, until: Date.now() + 60_000 }));
  const channel = new BroadcastChannel(name);
  channel.postMessage(0);
  channel.close();
}

test("all of it is in one object", async (context) => {
  const { server } = await start(context);
  const db = page(context, server.url, undefined, { token: TOKEN });
  await db.sql`insert into todo (id, title) values ('1', 'one')`;
  assert.equal((await db.table("todo").get("1"))!.title, "one");
  await db.kv.set("k", 1);
  const heard = new Promise((resolve) => db.topic("t").subscribe(({ data }) => resolve(data)));
  await db.topic("t").publish("hello");
  assert.equal(await heard, "hello");
  const room = db.collection<{ n: number }>("rooms").doc("r1");
  await room.set({ n: 1 });
  await db.batch().update(room, { n: increment(1) }).commit();
  const [[two]] = await db.transaction([db.sql<{ n: number }>`select 2 as n`]);
  const three = await db.transaction(async (transaction) => {
    const { n } = (await transaction.get(room))!.data;
    transaction.update(room, { n: n + 1 });
    return n + 1;
  });
  assert.deepEqual([two!.n, three, (await db.doc("rooms/r1").get())!.data], [2, 3, { n: 3 }]);
});

test("what does not go together is refused in words", async (context) => {
  const url = "http://127.0.0.1:9";
  const token = page(context, url, undefined, { token: TOKEN });
  assert.throws(() => token.auth, codeIs("invalid", /Leave token out/));
  assert.throws(() => token.local, codeIs("invalid", /offline: true/));
  await assert.rejects(token.signOut(), codeIs("invalid"));
  for (const offline of [true, { user: "" }, { user: 7 as any }, {} as any]) {
    assert.throws(() => createClient(url, { token: TOKEN, offline }), codeIs("invalid", /user/));
  }
  assert.throws(() => createClient(url, { offline: { user: "ann" } }), codeIs("invalid", /token/));
  const nobody = page(context, url, new Shelf());
  await assert.rejects(add(nobody, "lost"), codeIs("unauthorized", /db\.auth/));
  await assert.rejects(nobody.local.sql`select 1`, codeIs("unauthorized"));
  await assert.rejects(nobody.local.commit(nobody.batch()), codeIs("unauthorized"));
  assert.deepEqual([nobody.local.user, nobody.local.pending, nobody.local.refused, nobody.local.isDurable], [undefined, [], [], false]);
});

test("with a token it is kept for whom one says", async (context) => {
  const { server, proxy } = await start(context);
  const options = { token: TOKEN, offline: { user: newId() } };
  const first = page(context, proxy.url, undefined, options);
  unplug(proxy);
  await add(first, "bread");
  first.close();
  proxy.isClosed = false;
  const second = page(context, proxy.url, undefined, options);
  await second.local.ready;
  await until("it is sent", () => second.local.pending.length === 0);
  assert.equal((await owners(server)).length, 1);
});

test("a visit without a network begins as the last one ended: signed in, with rows, and writes are sent later", async (context) => {
  const { server, proxy } = await start(context);
  const shelf = new Shelf();
  const first = page(context, proxy.url, shelf);
  const ann = await first.auth.signUp(ANN);
  const seen = list(first);
  await (await add(first, "milk")).settled;
  await until("the row", () => seen.titles() === "milk" && seen.live.value!.pendingWrites === false);
  first.close();
  unplug(proxy);
  /** Some places answer with promises: what is asked before it is known who it is. */
  const late: Place = { getItem: async (key) => shelf.getItem(key), setItem: async () => {}, removeItem: async () => {} };
  for (const place of [shelf, late]) {
    const db = page(context, proxy.url, place);
    const shown = list(db);
    const todos = db.local.table("todo");
    await until("the rows that were kept", () => shown.live.value);
    assert.deepEqual([shown.titles()!.startsWith("milk"), shown.live.value!.fromCache, db.local.user, db.auth.user!.id], [true, true, ann.id, ann.id]);
    await db.local.ready;
    await todos.insert({ id: newId(), title: place === late ? "rye" : "nails" });
    db.close();
  }
  proxy.isClosed = false;
  const last = page(context, proxy.url, shelf);
  await last.local.ready;
  await until("all is sent", () => last.local.pending.length === 0);
  assert.deepEqual(await owners(server), ["milk", "nails", "rye"].map((title) => ({ title, owner: ANN.email })));
});

test("another signs in while writes wait: each has their own rows, their own writes, and nothing of the other's", async (context) => {
  const { server, proxy } = await start(context);
  const shelf = new Shelf();
  await server.call("auth/signup", BOB);
  const db = page(context, proxy.url, shelf);
  const ann = await db.auth.signUp(ANN);
  const { live, titles } = list(db);
  await (await add(db, "of Ann")).settled;
  await until("her row", () => titles() === "of Ann" && !live.value!.pendingWrites);
  const changes: (string | undefined)[] = [];
  db.local.subscribe(() => changes.push(db.local.user));
  unplug(proxy);
  await add(db, "a secret of Ann");
  assert.equal(titles(), "a secret of Ann of Ann");
  await enterElsewhere(server, proxy, shelf, BOB);
  await until("Bob's store", () => db.local.user !== ann.id);
  assert.deepEqual([db.auth.user!.email, db.local.pending, changes.at(-1)], [BOB.email, [], db.local.user]);
  const his = list(db);
  await add(db, "of Bob");
  await db.local.ready;
  proxy.isClosed = false;
  db.connection.tryNow();
  await until("his row, in what was live before, too", () => titles() === "of Bob" && his.titles() === "of Bob" && db.local.pending.length === 0);
  assert.deepEqual(await owners(server), [{ title: "of Ann", owner: ANN.email }, { title: "of Bob", owner: BOB.email }]);
  await until("told by the server", () => !live.value!.pendingWrites);
  // Whoever closes keeps first what is to be kept.
  db.close();
  unplug(proxy);
  const next = page(context, proxy.url, shelf);
  const kept = list(next);
  await until("what was kept for Bob", () => kept.live.value);
  assert.equal(kept.titles(), "of Bob");
  proxy.isClosed = false;
  await next.auth.signIn(ANN);
  assert.equal(next.local.user, ann.id, "at once");
  await until("hers is sent when she is back", async () => (await owners(server)).length === 3);
  await until("her rows", () => kept.titles() === "a secret of Ann of Ann");
  assert.deepEqual((await owners(server))[0], { title: "a secret of Ann", owner: ANN.email });
});

test("what is live goes on with whoever signs in: of who left it shows nothing, at once and also without a network", async (context) => {
  const { server, proxy } = await start(context);
  await server.call("auth/signup", BOB);
  for (const offline of [true, false]) {
    const db = page(context, proxy.url, new Shelf(), { offline });
    await (offline ? db.auth.signUp(ANN) : db.auth.signIn(ANN));
    if (offline) await db.sql`insert into todo (id, title) values ('a', 'of Ann')`;
    const { live, titles } = list(db);
    const heard: (string | undefined)[] = [];
    const errors: unknown[] = [];
    const stop = db.sql<Todo>`select title from todo`.subscribe(({ rows }) => heard.push(rows[0]?.title), { onError: (error) => errors.push(error) });
    const rooms = db.collection("rooms").live();
    await until("her rows", () => titles() === "of Ann" && heard.length > 0 && rooms.value);
    await db.auth.signOut();
    assert.deepEqual([live.value, rooms.value!.docs, heard.at(-1)], [{ rows: [], revision: 0, fromCache: true }, [], undefined], "nobody's");
    await until("the server has refused a stranger", () => db.connection.state === "idle");
    const early = list(db);
    await db.auth.signIn(BOB);
    await until("Bob has none", () => live.value!.revision > 0 && early.live.value && heard.at(-1) === undefined);
    await db.auth.signIn(ANN);
    await until("hers again, without being asked", () => titles() === "of Ann" && heard.at(-1) === "of Ann");
    await server.query("update todo set title = 'anew'");
    await until("and live", () => titles() === "anew" && early.titles() === "anew");
    // As it stands when another comes: signed in already, and not told by the server yet.
    const held: unknown[] = [];
    db.auth.subscribe((user) => user?.email === BOB.email && held.push(titles()));
    await db.auth.signIn(BOB);
    assert.deepEqual([held, live.error, early.live.error, errors], [[""], undefined, undefined, []]);
    stop();
    live.close();
    assert.equal(live.error, undefined);
    await server.query("update todo set title = 'of Ann'");
    db.close();
  }
});

test("people who take turns quickly, with writes under way, end with their own", async (context) => {
  const { server, proxy } = await start(context);
  const db = page(context, proxy.url, new Shelf());
  await db.auth.signUp(ANN);
  await db.auth.signUp(BOB);
  const { live } = list(db);
  const shown: string[][] = [];
  live.subscribe((snapshot) => shown.push([db.auth.user!.email!, ...new Set(snapshot?.rows.map(({ title }) => title.split(" ")[0]!))]));
  const kept: string[] = [];
  for (let round = 0; round < 8; round++) {
    const who = round % 2 ? BOB : ANN;
    const name = round % 2 ? "bob" : "ann";
    await enter(db, who);
    for (let count = 0; count < 3; count++) {
      const title = `${name} ${round}${count}`;
      // Not waited for: the next may have signed in before it is kept. Then it says so, and is not sent.
      add(db, title).then(() => kept.push(title), (error: TidebaseError) => assert.equal(error.code, "closed"));
    }
    if (round % 3 === 0) proxy.cut();
  }
  for (const who of [ANN, BOB]) {
    await enter(db, who);
    await db.local.ready;
    await until(`all of ${who.email} is sent`, () => db.local.pending.length === 0);
  }
  const all = await owners(server);
  assert.deepEqual(all.map(({ title }) => title), kept.sort());
  for (const { title, owner } of all) assert.equal(owner, `${title.split(" ")[0]}@example.org`);
  await until("Bob's alone", () => live.value!.rows.length > 0 && live.value!.rows.every(({ title }) => title.startsWith("bob")));
  db.close();
});

test("who signs out leaves nothing, and is told first what would be lost", async (context) => {
  const { server, proxy } = await start(context);
  const shelf = new Shelf();
  const db = page(context, proxy.url, shelf);
  await db.auth.signUp(ANN);
  const { live, titles } = list(db);
  await (await add(db, "milk")).settled;
  await until("her row", () => titles() === "milk" && !live.value!.pendingWrites);
  unplug(proxy);
  await add(db, "bread");
  await assert.rejects(db.signOut(), codeIs("conflict", /1 write.*discard/));
  await assert.rejects(db.signOut({ discard: true, signal: AbortSignal.abort(new Error("no")) }), /no/);
  assert.equal(db.local.pending.length, 1);
  assert.equal(await db.signOut({ discard: true }), false, "the server does not know");
  assert.deepEqual([db.local.user, db.local.pending, db.auth.user, [...shelf]], [undefined, [], undefined, []]);
  const told: unknown[] = [];
  db.sql`select id, title from todo order by title`.subscribe((snapshot) => told.push(snapshot), { onError: () => {} });
  proxy.isClosed = false;
  db.connection.tryNow();
  await until("the server has refused a stranger", () => (db.connection.error as TidebaseError | undefined)?.code === "unauthorized");
  assert.deepEqual([live.value!.rows, live.error, told], [[], undefined, []]);
  unplug(proxy);
  await enterElsewhere(server, proxy, shelf, ANN);
  await until("she is back", () => db.local.user);
  const { live: after } = list(db);
  await db.local.ready;
  assert.deepEqual([after.value, db.local.pending], [undefined, []], "nothing was kept");
});

test("a session that ends while writes wait loses none: they go when their owner is back", async (context) => {
  const { server, proxy } = await start(context);
  const shelf = new Shelf();
  const db = page(context, proxy.url, shelf);
  const ann = await db.auth.signUp(ANN);
  const { live, titles } = list(db);
  await until("no rows", () => titles() === "");
  unplug(proxy);
  await add(db, "milk");
  await server.call(`auth/users/${ann.id}/sessions`, undefined, undefined, "DELETE");
  proxy.isClosed = false;
  db.connection.tryNow();
  await until("it has ended", () => db.auth.user === undefined);
  assert.deepEqual([db.local.user, db.local.pending, await owners(server)], [undefined, [], []]);
  await until("what is live has no rows", () => live.value!.rows.length === 0 && live.value!.fromCache);
  await db.auth.signIn(ANN);
  await until("it is sent", async () => (await owners(server)).length === 1);
  await add(db, "bread");
  assert.equal(await db.auth.signOut(), true);
  await db.auth.signIn(ANN);
  await until("what a plain sign-out leaves, too", async () => (await owners(server)).length === 2);
});

test("what was never sent is its owner's all the same, whatever token the client is given", async (context) => {
  const { server, proxy } = await start(context);
  const bob = await server.call("auth/signup", BOB);
  const db = page(context, proxy.url, new Shelf());
  await db.auth.signUp(ANN);
  await db.local.ready;
  unplug(proxy);
  await add(db, "of Ann");
  db.setToken(bob.access_token);
  proxy.isClosed = false;
  db.connection.tryNow();
  for (let round = 0; round < 3; round++) await until("heard by the server", () => db.topic("any").publish(1).then(() => true, (error) => error.code !== "unavailable"));
  assert.deepEqual([await owners(server), db.local.pending.length, db.local.refused], [[], 1, []]);
  await db.auth.signIn(ANN);
  await until("sent as hers", () => db.local.pending.length === 0);
  assert.deepEqual(await owners(server), [{ title: "of Ann", owner: ANN.email }]);
});

test("pages of one device are of one user, with one store", async (context) => {
  const { server, proxy } = await start(context);
  const shelf = new Shelf();
  const [one, two] = [page(context, proxy.url, shelf), page(context, proxy.url, shelf)];
  const ann = await one.auth.signUp(ANN);
  await until("the other page hears of it", () => two.local.user === ann.id);
  const [left, right] = [list(one), list(two)];
  await until("the lists", () => left.live.value && right.live.value);
  unplug(proxy);
  await add(one, "milk");
  await until("seen by the other, without a server", () => right.titles() === "milk" && two.local.pending.length === 1);
  await assert.rejects(two.signOut(), codeIs("conflict"));
  await enterElsewhere(server, proxy, shelf, ANN);
  await until("the same person again changes nothing", () => one.auth.user && one.local.pending.length === 1);
  proxy.isClosed = false;
  for (const { connection } of [one, two]) connection.tryNow();
  await until("it is sent", () => one.local.pending.length + two.local.pending.length === 0);
  assert.equal((await owners(server)).length, 1);
  await two.signOut();
  await until("both are signed out", () => !one.local.user && !two.local.user);
  await assert.rejects(add(one, "late"), codeIs("unauthorized"));
  await until("both lists are empty", () => left.titles() === "" && right.titles() === "");
  await two.auth.signIn(ANN);
  await until("and hers again", () => left.titles() === "milk" && right.titles() === "milk");
});
