// One socket for all pages of a browser: who has it, who rides on it, and what becomes of them when pages are closed, killed and
// frozen, when somebody else signs in, when the cable is cut.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test, type TestContext } from "node:test";
import type { Client } from "tidebase";
import { offline } from "tidebase/offline";
import { tabs } from "tidebase/tabs";
import { browserOf, Page } from "./world/pages.js";
import { client, Proxy, Server, text, until } from "./world/index.js";

const ALL = "select id, title from todo order by id";

interface Tab {
  page: Page;
  db: Client;
  stop(): void;
  live(sql?: string): () => string;
  close(): void;
  kill(): void;
}

interface Stage {
  server: Server;
  proxy: Proxy;
  open(options?: Parameters<typeof client>[2], user?: string): Tab;
  sockets(): Promise<number>;
  subscriptions(): Promise<number>;
  add(title: string): Promise<unknown>;
}

function tab(context: TestContext, url: string, options: Parameters<typeof client>[2] = {}, user?: string): Tab {
  const page = new Page();
  const db = page.run(() => client(context, url, options));
  const stop = page.run(() => tabs(db, user));
  return {
    page,
    db,
    stop,
    live(sql = ALL) {
      const held = page.run(() => db.sql<{ title: string }>(text(sql)).live());
      return () => String(held.error ?? held.value?.rows.map((row) => Object.values(row).join("")).join(" ") ?? "-");
    },
    close: () => page.run(() => db.close()),
    kill() {
      page.kill();
      page.run(() => db.close());
    },
  };
}

async function stage(context: TestContext, ...words: string[]): Promise<Stage> {
  browserOf(context);
  const server = await Server.start(context, ...words);
  await server.query("create table todo (id integer primary key, title text)");
  const proxy = await Proxy.start(context, server.port);
  const told = () => server.call("status/database");
  return {
    server,
    proxy,
    open: (options, user) => tab(context, proxy.url, options, user),
    sockets: async () => (await told()).sockets,
    subscriptions: async () => (await told()).subscriptions,
    add: (title) => server.query("insert into todo (title) values (?)", [title]),
  };
}

const all = (tabs: (() => string)[], shown: string) => until(`all show ${shown}`, () => tabs.every((shows) => shows() === shown));

test("three pages have one socket, and each is told what it asks", async (context) => {
  const { open, sockets, subscriptions, add } = await stage(context);
  const pages = [open(), open(), open()];
  const lists = pages.map(({ live }) => live());
  const count = pages[2]!.live("select count(*) from todo");
  await all(lists, "");
  await add("milk");
  await all(lists, "1milk");
  await all([count], "1");
  assert.deepEqual([await sockets(), await subscriptions()], [1, 4]);
  pages[1]!.close();
  await until("what it asked is over", async () => (await subscriptions()) === 3);
  pages[2]!.kill();
  await until("what it asked is over", async () => (await subscriptions()) === 1);
  assert.equal(await sockets(), 1);
  pages[0]!.close();
  await until("nobody is there", async () => (await sockets()) === 0);
});

test("when the page that has the socket goes, the others go on with one", async (context) => {
  const { open, sockets, add, server } = await stage(context);
  for (const go of ["close", "kill", "stop"] as const) {
    await server.query("delete from todo");
    const pages = [open(), open(), open()];
    const lists = pages.map(({ live }) => live());
    await all(lists, "");
    await add("milk");
    await all(lists, "1milk");
    pages[0]![go]();
    await add("rope");
    await all(lists.slice(go === "stop" ? 0 : 1), "1milk 2rope");
    await until("its own and theirs", async () => (await sockets()) === (go === "stop" ? 2 : 1));
    pages.forEach(({ close }) => close());
    await until("nobody is there", async () => (await sockets()) === 0);
  }
});

test("a server that takes the socket and says nothing is given up for all, though some wait longer than others", async (context) => {
  const { open, sockets, add, proxy } = await stage(context);
  proxy.isStalled = true;
  const patient = { limits: { answerTime: 60_000 } };
  const pages = [open({ limits: { answerTime: 100 } }), open(patient), open(patient)];
  const lists = pages.map(({ live }) => live());
  let tries = 0;
  pages[0]!.page.run(() => pages[0]!.db.connection.subscribe((state) => state === "connecting" && tries++));
  await until("one has waited long enough", () => proxy.bytes.up > 0 && pages[0]!.db.connection.error);
  // What is held back stays so; what comes now is let through.
  proxy.isStalled = false;
  await all(lists, "");
  await add("milk");
  await all(lists, "1milk");
  assert.equal(await sockets(), 1);
  assert.ok(tries < 20, `it has come back to a socket that says nothing ${tries} times`);
});

test("a page that is opened again and again leaves nothing behind", async (context) => {
  const { open, sockets, subscriptions, add } = await stage(context);
  const first = open();
  const list = first.live();
  for (let round = 0; round < 20; round++) {
    const other = open();
    const shown = other.live();
    await until("its rows", () => shown() !== "-");
    if (round % 2) other.close();
    else other.kill();
  }
  await add("milk");
  await all([list], "1milk");
  await until("one is left", async () => (await subscriptions()) === 1 && (await sockets()) === 1);
});

test("a page whose carrier is frozen comes back with another, and the frozen one rides when it thaws", async (context) => {
  const { open, sockets, add } = await stage(context);
  const [frozen, other, third] = [open(), open(), open()];
  const lists = [frozen, other, third].map(({ live }) => live());
  await all(lists, "");
  frozen.page.freeze();
  await add("milk");
  await all(lists.slice(1), "1milk");
  frozen.page.thaw();
  await add("rope");
  await all(lists, "1milk 2rope");
  await until("one socket", async () => (await sockets()) === 1);
});

test("a frozen rider holds nobody up, and is there when it thaws", async (context) => {
  const { open, sockets, add } = await stage(context);
  const [carrier, frozen] = [open(), open()];
  const lists = [carrier, frozen].map(({ live }) => live());
  await all(lists, "");
  frozen.page.freeze();
  for (const title of ["a", "b", "c"]) await add(title);
  await all(lists.slice(0, 1), "1a 2b 3c");
  assert.equal(lists[1]!(), "");
  frozen.page.thaw();
  await all(lists, "1a 2b 3c");
  assert.equal(await sockets(), 1);
});

test("the cable is cut, the server is killed: all come back on one socket", async (context) => {
  const { open, sockets, add, proxy, server } = await stage(context);
  const pages = [open(), open(), open()];
  const lists = pages.map(({ live }) => live());
  await all(lists, "");
  for (let round = 0; round < 3; round++) {
    proxy.cut();
    await add("x");
    await until("rows", () => lists.every((shown) => shown().split(" ").length === round + 1 && shown() !== ""));
  }
  proxy.isClosed = true;
  proxy.cut();
  await until("all know", () => pages.every(({ db }) => db.connection.state === "waiting" && db.connection.error));
  await server.kill();
  await server.start();
  await add("y");
  proxy.isClosed = false;
  await all(lists, "1x 2x 3x 4y");
  await until("one socket", async () => (await sockets()) === 1);
});

test("a socket on which nothing is heard is given up for all", async (context) => {
  const { open, sockets, add, proxy } = await stage(context);
  const quick = { limits: { silenceTime: 300, answerTime: 300 } };
  const lists = [open(quick), open(quick)].map(({ live }) => live());
  await all(lists, "");
  proxy.isStalled = true;
  const before = proxy.connections;
  await until("another one is tried", () => proxy.connections > before);
  proxy.resume();
  await add("milk");
  await all(lists, "1milk");
  await until("one socket", async () => (await sockets()) === 1);
});

test("publishes, messages, keys and requests go through", async (context) => {
  const { open, sockets } = await stage(context);
  const pages = [open(), open(), open()];
  const heard: string[][] = pages.map(() => []);
  const keys: unknown[] = [];
  pages.forEach(({ page, db }, index) => page.run(() => db.topic("radio").subscribe(({ data }) => heard[index]!.push(data))));
  pages[1]!.db.kv.watch("k", ({ value }) => keys.push(value));
  await until("the key", () => keys.length === 1);
  for (const [index, { page, db }] of pages.entries()) await page.run(() => db.topic("radio").publish(`of ${index}`));
  await until("each heard each once", () => heard.every((one) => one.join() === "of 0,of 1,of 2"));
  await pages[2]!.db.kv.set("k", 5);
  await until("the value", () => keys.at(-1) === 5);
  const never = pages[1]!.db.topic("radio").publish("never", { signal: AbortSignal.abort() });
  await assert.rejects(never, { name: "AbortError" });
  await assert.rejects(pages[1]!.db.topic("radio").publish("x".repeat(2 << 20)), { code: "too_large" });
  assert.equal(await sockets(), 1);
});

test("integers, BLOBs and hostile text come as they are", async (context) => {
  const { open, server } = await stage(context);
  await server.query("create table thing (id integer primary key, value)");
  await server.query(`insert into thing (value) values (9007199254740993), (-0.0), (x'00ff'), ('{"id":1,"type":"hello"}'), (1e300), (null)`);
  const [carrier, rider] = [open(), open()];
  const rows = await Promise.all(
    [carrier, rider].map(async ({ page, db }) => {
      const held = page.run(() => db.sql`select value from thing order by id`.live());
      return (await until("rows", () => held.value)).rows.map(({ value }) => value);
    }),
  );
  assert.deepEqual(rows[1], rows[0]);
  assert.equal(rows[1]![0], 9007199254740993n);
});

test("who shows themselves in one topic in two pages is there twice, each on a socket of its own", async (context) => {
  const { open, sockets, add } = await stage(context);
  const pages = [open(), open(), open()];
  const lists = pages.map(({ live }) => live());
  await all(lists, "");
  const members: string[] = [];
  const states = (index: number) => (told: { state: unknown }[]) => (members[index] = told.map(({ state }) => state).sort().join());
  pages[1]!.page.run(() => pages[1]!.db.topic("radio").presence("one", states(1)));
  pages[2]!.page.run(() => pages[2]!.db.topic("other").presence("elsewhere", states(2)));
  await until("they are there", () => members[1] === "one" && members[2] === "elsewhere");
  assert.equal(await sockets(), 1);
  const stop = pages[0]!.page.run(() => pages[0]!.db.topic("radio").presence("two", states(0)));
  await until("both", () => members[0] === "one,two" && members[1] === "one,two");
  assert.equal(await sockets(), 2);
  await add("milk");
  await all(lists, "1milk");
  stop();
  await until("one has left", () => members[1] === "one");
});

async function people(server: Server): Promise<{ ann: any; bob: any; again: any }> {
  await server.query("create table note (id integer primary key, body text, owner text default (auth_uid()))");
  await server.call("policies", { name: "own", table: "note", action: "all", role: "user", using: "owner = auth.uid()" });
  const sign = (way: string, name: string) => server.call(`auth/${way}`, { email: `${name}@example.org`, password: "correct horse" });
  const made = { ann: await sign("signup", "ann"), bob: await sign("signup", "bob"), again: await sign("login", "ann") };
  for (const [name, { access_token }] of [["ann's", made.ann], ["bob's", made.bob]] as const) {
    await server.query("insert into note (body) values (?)", [name], access_token);
  }
  return made;
}

test("pages of one person share a socket, whichever token they have; those of another have their own", async (context) => {
  const { open, sockets, server } = await stage(context, "--signup", "open");
  const { ann, bob, again } = await people(server);
  const notes = "select body from note";
  const [first, second, other] = [ann, again, bob].map(({ access_token: token }) => open({ token }));
  const lists = [first!.live(notes), second!.live(notes)];
  await all(lists, "ann's");
  assert.equal(await sockets(), 1);
  await all([other!.live(notes)], "bob's");
  assert.equal(await sockets(), 2);
  const strangers = [open({ token: undefined }), open({ token: undefined })].map(({ live }) => live(notes));
  await until("they are refused", () => strangers.every((shown) => shown().includes("TidebaseError")));
});

for (const who of ["the page that has the socket", "a page that rides"]) {
  test(`somebody else signs in on ${who}: each sees their own, the others are not disturbed`, async (context) => {
    const { open, server } = await stage(context, "--signup", "open");
    const { ann, bob } = await people(server);
    const notes = "select body from note";
    const pages = [0, 1, 2].map(() => open({ token: ann.access_token }));
    const lists = pages.map(({ live }) => live(notes));
    await all(lists, "ann's");
    const index = who.startsWith("the page") ? 0 : 1;
    pages[index]!.page.run(() => pages[index]!.db.setToken(bob.access_token));
    await all([lists[index]!], "bob's");
    await server.query("insert into note (body) values ('more')", [], ann.access_token);
    await all(lists.filter((_, at) => at !== index), "ann's more");
    await server.query("insert into note (body) values ('also')", [], bob.access_token);
    await all([lists[index]!], "bob's also");
    pages[index]!.page.run(() => pages[index]!.db.setToken(ann.access_token));
    await all(lists, "ann's more");
  });
}

test("a token that is refused is that page's alone", async (context) => {
  const { open, sockets, add } = await stage(context);
  const wrong = open({ token: "wrong" });
  const refused = wrong.live();
  await until("it is refused", () => refused().includes("TidebaseError"));
  const right = open();
  const list = right.live();
  await all([list], "");
  const another = open({ token: "wrong, too" }).live();
  await until("it is refused", () => another().includes("TidebaseError"));
  await add("milk");
  await all([list], "1milk");
  assert.equal(await sockets(), 1);
});

test("tokens are renewed over the shared socket, which outlives them", async (context) => {
  const { open, sockets, server, add, proxy } = await stage(context, "--signup", "open", "--limit", "access_token_time_max=2000");
  const { ann } = await people(server);
  await server.call("policies", { name: "all see", table: "todo", action: "select", role: "user", using: "true" });
  let { refresh_token } = ann;
  let held = ann.access_token;
  const token = async () => held;
  const renewing = setInterval(async () => {
    const next = await server.call("auth/refresh", { refresh_token }).catch(() => undefined);
    if (next) ({ access_token: held, refresh_token } = next);
  }, 500);
  context.after(() => clearInterval(renewing));
  const pages = [open({ token }), open({ token })];
  const lists = pages.map(({ live }) => live());
  await all(lists, "");
  const before = proxy.connections;
  const began = Date.now();
  await until("tokens have run out", () => Date.now() - began > 5000);
  await add("milk");
  await all(lists, "1milk");
  assert.equal(await sockets(), 1);
  assert.ok(proxy.connections - before <= 4, "it is the same one");
});

test("what one socket cannot hold has another", async (context) => {
  const { open, sockets, subscriptions } = await stage(context);
  const pages = [open(), open()];
  const seen = new Set<string>();
  for (const [index, { page, db }] of pages.entries()) {
    page.run(() => {
      for (let key = 0; key < 600; key++) db.kv.watch(`${index}.${key}`, (told) => seen.add(told.key));
    });
  }
  await until("all are told", () => seen.size === 1200);
  await until("all are asked", async () => (await subscriptions()) === 1200);
  assert.equal(await sockets(), 2);
});

test("two pages that name alike what they ask do not hear each other's", async (context) => {
  const { open, sockets } = await stage(context);
  const [first, second] = [open(), open()];
  const [one, two] = [first.live("select 'one'"), second.live("select 'two'")];
  await all([one], "one");
  await all([two], "two");
  // As pages that have begun at the same number.
  const third = open();
  const { ids } = await import("../dist/live/wanted.js" as string);
  const before = ids.last;
  ids.last = before - 4;
  const three = third.live("select 'three'");
  ids.last = before + 100;
  await all([three], "three");
  await all([one], "one");
  await all([two], "two");
  assert.ok((await sockets()) <= 2);
});

test("where there are no locks, or no channels, or they may not be used, each page has its own", async (context) => {
  const { open, sockets, add } = await stage(context);
  const { navigator, BroadcastChannel } = globalThis;
  const set = (name: string, value: unknown) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  const refuse = () => Promise.reject(new DOMException("An opaque origin.", "SecurityError"));
  for (const ways of [
    { navigator: undefined },
    { navigator: {} },
    { navigator: { locks: { request: refuse } } },
    { BroadcastChannel: undefined },
  ]) {
    for (const [name, value] of Object.entries(ways)) set(name, value);
    const pages = [open(), open()];
    const lists = pages.map(({ live }) => live());
    await until("rows", () => lists.every((shown) => shown() !== "-"));
    assert.equal(await sockets(), 2);
    pages.forEach(({ close }) => close());
    set("navigator", navigator);
    set("BroadcastChannel", BroadcastChannel);
    await until("nobody is there", async () => (await sockets()) === 0);
  }
  await add("milk");
});

test("what strangers say on the channels does no harm", async (context) => {
  const { open, add, proxy } = await stage(context);
  const pages = [open(), open()];
  const lists = pages.map(({ live }) => live());
  await all(lists, "");
  const stranger = new Page().run(() => new BroadcastChannel(`tidebase ${proxy.url}/  tabs`));
  for (const said of [null, 5, "x", {}, [], { ride: 1 }, { ride: "x", say: "{" }, { ride: "x y", join: {} }, { ride: "x", leave: true }]) {
    stranger.postMessage(said);
  }
  await add("milk");
  await all(lists, "1milk");
});

test("offline: pages write, one sends, and another does when that one is frozen", async (context) => {
  const { open, sockets, server } = await stage(context);
  await server.query("create table item (id text primary key, title text)");
  const user = randomUUID();
  const pages = [open(), open(), open()].map(({ page, db, stop }) => {
    stop();
    const local = page.run(() => offline(db, user));
    context.after(() => local.close());
    const live = page.run(() => db.sql<{ id: string }>`select id, title from item order by id`.live());
    return { page, db, local, live };
  });
  for (const { live } of pages) await until("rows", () => live.value?.fromCache === false);
  await until("one socket", async () => (await sockets()) === 1);
  const write = (index: number, id: string) => pages[index]!.page.run(() => pages[index]!.local.table("item").insert({ id, title: id }));
  for (const index of [0, 1, 2]) await (await write(index, `${index}`)).settled;
  const states: string[] = [];
  pages[1]!.db.connection.subscribe((state) => states.push(state));
  pages[0]!.page.freeze();
  await until("it has another carrier", () => states.includes("waiting") && states.at(-1) === "open");
  const { settled } = await write(1, "of one");
  const also = await write(2, "of two");
  await Promise.all([settled, also.settled]);
  pages[0]!.page.thaw();
  const ids = (await server.query("select id from item order by id")).map(({ id }) => id);
  assert.deepEqual(ids, ["0", "1", "2", "of one", "of two"]);
  for (const { live, local } of pages) {
    await until("all have all", () => live.value!.rows.length === 5 && local.pending.length === 0);
  }
  await until("one socket", async () => (await sockets()) === 1);
});
