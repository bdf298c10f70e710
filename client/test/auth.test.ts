// People who sign in, as an application and its tabs use them, against the real server.
//
// A tab is a client with its own `auth` on a place that several share. Node 20 has no Web Locks, so where tabs must wait for
// each other as in a browser a small lock of the same shape stands in; without it those of one process wait all the same.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test, type TestContext } from "node:test";
import { inspect } from "node:util";
import type { TidebaseError } from "tidebase";
import { auth, type Auth, type AuthEvent, type Place } from "tidebase/auth";
import { client, Proxy, Server, turn, until } from "./world/index.js";

const ANN = { email: "ann@example.org", password: "correct horse" };
const BOB = { email: "bob@example.org", password: "battery staple" };
const SHORT = ["--limit", "access_token_time_max=4000"];

async function notes(context: TestContext, ...words: string[]): Promise<Server> {
  const server = await Server.start(context, "--signup", "open", "--anonymous", "open", ...words);
  await server.query("create table note (id integer primary key, owner text default (auth_uid()), body text)");
  for (const role of ["user", "anonymous"]) {
    await server.call("policies", { name: `own ${role}`, table: "note", action: "all", role, using: "owner = auth.uid()" });
  }
  return server;
}

/** A place that tabs share. It remembers how often it was written. */
class Shelf extends Map<string, string> implements Place {
  writes = 0;
  getItem = (key: string) => this.get(key) ?? null;
  setItem(key: string, text: string) {
    this.writes++;
    this.set(key, text);
  }
  removeItem = (key: string) => this.delete(key);
  /** The one session that is kept. */
  get kept(): any {
    const [text] = this.values();
    return text && JSON.parse(text);
  }
}

function tab(context: TestContext, url: string, storage?: Place) {
  const db = client(context, url, { token: undefined });
  const me = auth(db, storage && { storage });
  const events: AuthEvent[] = [];
  me.subscribe((_user, event) => events.push(event));
  return { db, me, events, notes: () => db.sql<{ body: string }>`select body from note order by id` };
}

const codeIs = (code: string, words?: RegExp) => (error: TidebaseError) => {
  assert.equal(error.code, code, error.message);
  if (words) assert.match(error.message, words);
  return true;
};
const sessionsOf = (server: Server, email: string) =>
  server.query("select s.id from _tide_sessions s join _tide_users u on u.id = s.user where u.email = ?", [email]);

test("sign up, write, sign out, sign in: each sees their own", async (context) => {
  const server = await notes(context);
  const { db, me, events, notes: query } = tab(context, server.url);
  assert.equal(me.user, undefined);
  await assert.rejects(query().run(), codeIs("unauthorized"));
  const ann = await me.signUp(ANN);
  assert.deepEqual([ann.email, ann.isAnonymous, me.user], [ANN.email, false, ann]);
  assert.ok(Math.abs(ann.madeAt.getTime() - Date.now()) < 60_000);
  await db.sql`insert into note (body) values ('of Ann')`;
  const live = query().live();
  await until("her row", () => live.value?.rows.length === 1);
  assert.equal(await me.signOut(), true);
  assert.equal(me.user, undefined);
  assert.equal(((await until("the end", () => live.error)) as TidebaseError).code, "unauthorized");
  assert.deepEqual(await sessionsOf(server, ANN.email), [], "the server knows");
  await me.signUp(BOB);
  assert.deepEqual(await query().run(), []);
  const bobs = query().live();
  await until("his rows", () => bobs.value);
  await me.signIn(ANN);
  await until("her row again", () => bobs.value!.rows.length === 1);
  await until("who is replaced is signed out", async () => (await sessionsOf(server, BOB.email)).length === 0);
  assert.equal(me.user!.id, ann.id);
  assert.deepEqual(events, ["current", "signed_in", "signed_out", "signed_in", "signed_in"]);
});

test("a live query goes on across refreshes, on one socket", async (context) => {
  const server = await notes(context, ...SHORT);
  const shelf = new Shelf();
  const { db, me, events, notes: query } = tab(context, server.url, shelf);
  const user = await me.signUp(ANN);
  const live = query().live();
  await until("the rows", () => live.value);
  const states: string[] = [];
  db.connection.subscribe((state) => states.push(`${state} ${db.connection.error ?? ""}`));
  await until("three refreshes", () => events.filter((event) => event === "refreshed").length >= 3);
  await db.sql`insert into note (body) values ('late')`;
  await until("the row", () => live.value!.rows.length === 1);
  assert.deepEqual(states, [], "on the same socket");
  assert.equal(me.user, user, "the same object");
  assert.ok(shelf.writes >= 4);
});

test("a session that was kept is there at once, and needs no network", async (context) => {
  const server = await notes(context);
  const shelf = new Shelf();
  const first = tab(context, server.url, shelf);
  const ann = await first.me.signUp(ANN);
  await first.db.sql`insert into note (body) values ('kept')`;
  first.db.close();
  await server.kill();
  const { me, events, notes: query } = tab(context, server.url, shelf);
  assert.deepEqual([me.user, events], [ann, ["current"]]);
  const live = query().live();
  await server.start();
  await until("her row", () => live.value?.rows.length === 1);
  assert.equal(shelf.writes, 1, "the token was still good");
});

test("a token that ran out while nobody was here is renewed first", async (context) => {
  const server = await notes(context, ...SHORT);
  const shelf = new Shelf();
  const first = tab(context, server.url, shelf);
  await first.me.signUp(ANN);
  first.db.close();
  await until("it is over", () => shelf.kept.until < Date.now());
  const { events, notes: query } = tab(context, server.url, shelf);
  assert.deepEqual(await query(), []);
  assert.deepEqual(events, ["current", "refreshed"]);
});

/** A lock for all tabs, of the shape of `navigator.locks`. */
function webLocks(context: TestContext) {
  const tails = new Map<string, Promise<unknown>>();
  const seen = { requests: 0, most: 0, held: 0 };
  const request = (name: string, { signal }: { signal: AbortSignal }, work: () => Promise<unknown>) => {
    seen.requests++;
    const hold = async () => {
      signal.throwIfAborted();
      seen.most = Math.max(seen.most, ++seen.held);
      return work().finally(() => seen.held--);
    };
    const done = (tails.get(name) ?? Promise.resolve()).then(hold, hold);
    tails.set(name, done.catch(() => {}));
    return Promise.race([done, new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))]);
  };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks: { request } }, configurable: true, writable: true });
  context.after(() => {
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else delete (globalThis as any).navigator;
  });
  return seen;
}

for (const locks of ["Web Locks", "no Web Locks"]) {
  test(`tabs with one session do not use its refresh token twice, with ${locks}`, async (context) => {
    const seen = locks === "Web Locks" ? webLocks(context) : undefined;
    const server = await notes(context, ...SHORT);
    const shelf = new Shelf();
    const tabs = [1, 2, 3].map(() => tab(context, server.url, shelf));
    await tabs[0]!.me.signUp(ANN);
    await until("all hear of it", () => tabs.every(({ me }) => me.user));
    const lives = tabs.map(({ notes: query }) => query().live());
    await until("all have rows", () => lives.every(({ value }) => value));
    await until("many refreshes", () => shelf.writes >= 5);
    // Each asks for a new one at the same time.
    await Promise.all(tabs.map(({ me }) => me.refresh()));
    await tabs[1]!.db.sql`insert into note (body) values ('still here')`;
    await until("all are told", () => lives.every(({ value }) => value!.rows.length === 1));
    for (const { events } of tabs) assert.deepEqual([...new Set(events)], ["current", "signed_in", "refreshed"]);
    assert.equal((await sessionsOf(server, ANN.email)).length, 1);
    if (seen) assert.deepEqual([seen.most, seen.requests > 3], [1, true]);
    await tabs[2]!.me.signOut();
    await until("all are out", () => tabs.every(({ me }) => !me.user));
    const ends = await until("the ends", () => lives.every(({ error }) => error) && lives.map(({ error }) => (error as TidebaseError).code));
    assert.deepEqual(ends, Array(3).fill("unauthorized"));
    for (const { events } of tabs) assert.equal(events.at(-1), "signed_out");
  });
}

test("a tab that sleeps with the lock holds up the others for a time only", async (context) => {
  webLocks(context);
  const server = await notes(context);
  void globalThis.navigator.locks.request(`tidebase ${server.url}/`, { signal: new AbortController().signal }, () => new Promise(() => {}));
  const db = client(context, server.url, { limits: { requestTime: 300 } });
  const me = auth(db, { storage: new Shelf() });
  await until("a sign-up in time", () => me.signUp(ANN).catch(() => me.signIn(ANN)).catch(() => undefined));
  assert.equal((await me.refresh())!.email, ANN.email);
});

test("another tab without a lock got the tokens: here they are the same", async (context) => {
  const server = await notes(context);
  const proxy = await Proxy.start(context, server.port);
  const shelf = new Shelf();
  const { me, events, notes: query } = tab(context, proxy.url, shelf);
  await me.signUp(ANN);
  const [[key]] = [...shelf] as [[string, string]];
  const old = shelf.kept;
  const next = await server.call("auth/refresh", { refresh_token: old.refresh_token });
  const before = proxy.bytes.up;
  const renewing = me.refresh();
  await until("it brings the old one", () => proxy.bytes.up > before);
  shelf.set(key, JSON.stringify({ ...old, ...next }));
  await renewing;
  assert.deepEqual(events, ["current", "signed_in", "refreshed"]);
  assert.deepEqual(await query(), []);
  assert.equal(shelf.kept.refresh_token, next.refresh_token);
  assert.equal((await me.refresh())!.email, ANN.email, "and the session goes on");
});

test("a refresh whose answer is lost is asked for again, and the session goes on", async (context) => {
  const server = await notes(context);
  const proxy = await Proxy.start(context, server.port);
  const { me, events, notes: query } = tab(context, proxy.url, new Shelf());
  await me.signUp(ANN);
  proxy.cut();
  proxy.cutAfter(20);
  assert.equal((await me.refresh())!.email, ANN.email);
  assert.deepEqual(await query(), []);
  assert.deepEqual(events, ["current", "signed_in", "refreshed"]);
  assert.equal((await me.refresh())!.email, ANN.email);
});

test("a refresh token that somebody else has used ends the session: expired", async (context) => {
  const server = await notes(context);
  const shelf = new Shelf();
  const { me, events, notes: query } = tab(context, server.url, shelf);
  await me.signUp(ANN);
  const live = query().live();
  await until("the rows", () => live.value);
  const stolen = await server.call("auth/refresh", { refresh_token: shelf.kept.refresh_token });
  await server.call("auth/refresh", { refresh_token: stolen.refresh_token });
  await assert.rejects(me.refresh(), codeIs("unauthorized", /used before/));
  assert.deepEqual([me.user, shelf.size], [undefined, 0]);
  assert.equal(((await until("the end", () => live.error)) as TidebaseError).code, "unauthorized");
  assert.deepEqual(events, ["current", "signed_in", "expired"]);
  assert.deepEqual(await sessionsOf(server, ANN.email), []);
  await me.signIn(ANN);
  assert.deepEqual(await query().run(), []);
});

test("a session that is ended elsewhere expires here, and what is live ends", async (context) => {
  const server = await notes(context);
  const [here, there] = [tab(context, server.url), tab(context, server.url)];
  await here.me.signUp(ANN);
  await there.me.signIn(ANN);
  const live = here.notes().live();
  await until("the rows", () => live.value);
  const sessions = await there.me.sessions();
  assert.deepEqual(sessions.map(({ isThis }) => isThis).sort(), [false, true]);
  assert.ok(sessions.every(({ madeAt, expiresAt }) => madeAt instanceof Date && expiresAt > madeAt));
  const { id } = sessions.find(({ isThis }) => !isThis)!;
  for (const no of ["", ".", "..", "ses_x", "a/b", `${id}?`, "%", "\u0000"]) assert.equal(await there.me.revoke(no), false, no);
  assert.equal((await there.me.sessions()).length, 2);
  assert.equal(await there.me.revoke(id), true);
  assert.equal(await there.me.revoke(id), false);
  assert.equal(((await until("the end", () => live.error)) as TidebaseError).code, "unauthorized");
  assert.deepEqual([here.me.user, here.events.at(-1)], [undefined, "expired"]);
  await here.me.signIn(ANN);
  await there.me.revokeOthers();
  await assert.rejects(here.notes().run(), codeIs("unauthorized"));
  assert.deepEqual([here.me.user, here.events.at(-1)], [undefined, "expired"]);
});

test("a server that is away during a refresh is no sign-out", async (context) => {
  const server = await notes(context, ...SHORT);
  const shelf = new Shelf();
  const { db, me, events, notes: query } = tab(context, server.url, shelf);
  await me.signUp(ANN);
  const live = query().live();
  await until("the rows", () => live.value);
  await server.kill();
  await until("the token is over", () => shelf.kept.until < Date.now());
  await assert.rejects(query().run(), codeIs("unavailable"));
  await assert.rejects(me.refresh(), codeIs("unavailable"));
  assert.equal(me.user!.email, ANN.email);
  assert.equal(live.error, undefined);
  await server.start();
  await until("it goes on", async () => db.connection.state === "open" && (await query().run()));
  await db.sql`insert into note (body) values ('after all')`;
  await until("the row", () => live.value!.rows.length === 1);
  assert.ok(!events.includes("expired") && !events.includes("signed_out"));
});

test("a restart of the server does not sign out", async (context) => {
  const server = await notes(context);
  const { db, me, notes: query } = tab(context, server.url);
  await me.signUp(ANN);
  const live = query().live();
  await until("the rows", () => live.value);
  await server.stop();
  await server.start();
  await db.sql`insert into note (body) values ('again')`;
  await until("the row", () => live.value!.rows.length === 1);
  assert.equal(me.user!.email, ANN.email);
});

test("signing out while a refresh is under way does not sign in again", async (context) => {
  const server = await notes(context);
  const proxy = await Proxy.start(context, server.port);
  const shelf = new Shelf();
  const { me, events } = tab(context, proxy.url, shelf);
  await me.signUp(ANN);
  const before = proxy.bytes.up;
  proxy.isStalled = true;
  const renewing = me.refresh();
  await until("it is asked", () => proxy.bytes.up > before);
  const leaving = me.signOut();
  assert.equal(me.user, undefined, "at once");
  proxy.resume();
  assert.equal(await renewing, undefined);
  assert.equal(await leaving, true);
  assert.deepEqual([me.user, shelf.size, events], [undefined, 0, ["current", "signed_in", "signed_out"]]);
  await until("the server has ended it", async () => (await sessionsOf(server, ANN.email)).length === 0);
});

test("signing out while the only token that is still good is under way ends the session all the same", async (context) => {
  const server = await notes(context, ...SHORT);
  const proxy = await Proxy.start(context, server.port);
  const shelf = new Shelf();
  const { me } = tab(context, proxy.url, shelf);
  await me.signUp(ANN);
  await until("the other is over", () => shelf.kept.until < Date.now() - 1000);
  const before = proxy.bytes.up;
  proxy.isStalled = true;
  const renewing = me.refresh();
  await until("it is asked", () => proxy.bytes.up > before);
  const leaving = me.signOut();
  proxy.resume();
  await Promise.all([renewing, leaving]);
  await until("the server has ended it", async () => (await sessionsOf(server, ANN.email)).length === 0);
  assert.deepEqual([me.user, shelf.size], [undefined, 0]);
});

test("signing out in another tab while a refresh is under way does not bring the session back", async (context) => {
  const server = await notes(context);
  const proxy = await Proxy.start(context, server.port);
  const shelf = new Shelf();
  const here = tab(context, proxy.url, shelf);
  await here.me.signUp(ANN);
  const there = tab(context, proxy.url, shelf);
  const before = proxy.bytes.up;
  proxy.isStalled = true;
  const renewing = here.me.refresh();
  await until("it is asked", () => proxy.bytes.up > before);
  const leaving = there.me.signOut();
  proxy.resume();
  await Promise.all([renewing, leaving]);
  await until("both are out", () => !here.me.user && !there.me.user);
  assert.equal(shelf.size, 0);
  await until("the server has ended it", async () => (await sessionsOf(server, ANN.email)).length === 0);
});

test("of two sign-ins the last called counts; the other leaves no session", async (context) => {
  const server = await notes(context);
  const proxy = await Proxy.start(context, server.port);
  const slow = tab(context, proxy.url);
  await slow.me.signUp(ANN);
  await slow.me.signUp(BOB);
  await slow.me.signOut();
  const requests = [slow.me.signIn(ANN), slow.me.signIn(BOB)];
  // Her answer may come first, and count until his comes.
  const hers = requests[0]!.catch((error) => codeIs("conflict")(error));
  assert.equal((await requests[1]!).email, BOB.email);
  await hers;
  assert.equal(slow.me.user!.email, BOB.email);
  await until("hers is ended", async () => (await sessionsOf(server, ANN.email)).length === 0);
  assert.equal((await sessionsOf(server, BOB.email)).length, 1);
  const late = assert.rejects(slow.me.signIn(ANN), codeIs("conflict", /no effect/));
  assert.equal(await slow.me.signOut(), true);
  await late;
  assert.equal(slow.me.user, undefined);
  await until("and again", async () => (await sessionsOf(server, ANN.email)).length === 0);
  // One that fails takes nothing from one that does not.
  const good = slow.me.signIn(ANN);
  await assert.rejects(slow.me.signIn({ ...BOB, password: "wrong" }), codeIs("unauthorized"));
  assert.equal((await good).email, slow.me.user!.email);
});

test("signing out ends it here though the server is away", async (context) => {
  const server = await notes(context);
  const shelf = new Shelf();
  const { me, notes: query } = tab(context, server.url, shelf);
  await me.signUp(ANN);
  await server.kill();
  const leaving = me.signOut();
  assert.equal(me.user, undefined);
  assert.equal(await leaving, false);
  assert.equal(shelf.size, 0);
  await server.start();
  await assert.rejects(query().run(), codeIs("unauthorized"));
  assert.equal(await me.signOut(), true, "nobody is signed in");
});

test("a sign-out with a token that is over reaches the server all the same", async (context) => {
  const server = await notes(context, ...SHORT);
  const shelf = new Shelf();
  const { me } = tab(context, server.url, shelf);
  await me.signUp(ANN);
  await until("it is over", () => shelf.kept.until < Date.now() - 1000);
  assert.equal(await me.signOut(), true);
  assert.deepEqual(await sessionsOf(server, ANN.email), []);
});

test("who came in without an account gets one: id and rows stay, and what is live sees as the user now", async (context) => {
  const server = await notes(context);
  await server.query("create table paper (id integer primary key, body text)");
  await server.query("insert into paper (body) values ('for members')");
  await server.call("policies", { name: "members", table: "paper", action: "select", role: "user", using: "1" });
  await server.call("policies", { name: "guests", table: "paper", action: "select", role: "anonymous", using: "id < 0" });
  const shelf = new Shelf();
  const { db, me, events, notes: query } = tab(context, server.url, shelf);
  const guest = await me.signInAnonymously();
  assert.deepEqual([guest.email, guest.isAnonymous], [null, true]);
  await db.sql`insert into note (body) values ('before')`;
  const [own, papers] = [query().live(), db.sql`select * from paper`.live()];
  await until("the rows", () => own.value?.rows.length === 1 && papers.value?.rows.length === 0);
  const ann = await me.upgrade(ANN);
  assert.deepEqual([ann.id, ann.email, ann.isAnonymous, me.user], [guest.id, ANN.email, false, ann]);
  await until("the paper", () => papers.value!.rows.length === 1);
  assert.equal(own.value!.rows.length, 1);
  assert.match(Buffer.from(shelf.kept.access_token.split(".")[1], "base64url").toString(), /"role":"user"/);
  assert.ok(events.includes("changed") && !events.includes("expired"));
  await assert.rejects(me.upgrade(BOB), codeIs("conflict"));
  await me.signOut();
  assert.equal((await me.signIn(ANN)).id, guest.id);
});

test("passwords are changed, and reset with the administrator's token", async (context) => {
  const server = await notes(context);
  const [here, there] = [tab(context, server.url), tab(context, server.url)];
  const { id } = await here.me.signUp(ANN);
  await there.me.signIn(ANN);
  const change = { oldPassword: ANN.password, password: "a longer horse" };
  await assert.rejects(here.me.changePassword({ ...change, oldPassword: "wrong" }), codeIs("forbidden", /old password is wrong/));
  assert.ok(here.me.user, "still signed in");
  await here.me.changePassword(change);
  assert.deepEqual(await here.notes().run(), []);
  await assert.rejects(there.notes().run(), codeIs("unauthorized"));
  assert.equal(there.events.at(-1), "expired");
  const { token } = await server.call(`auth/users/${id}/reset`, {});
  await assert.rejects(there.me.resetPassword({ token: "wrong", password: "mine again" }), codeIs("unauthorized"));
  await there.me.resetPassword({ token, password: "mine again" });
  await there.me.signIn({ email: ANN.email, password: "mine again" });
  await assert.rejects(here.me.refresh(), codeIs("unauthorized"));
  assert.equal(here.me.user, undefined);
});

test("a wrong password is told in the server's words, and after some there is a wait", async (context) => {
  const server = await notes(context);
  const { me, events } = tab(context, server.url);
  await me.signUp(ANN);
  await me.signOut();
  const wrong = () => me.signIn({ ...ANN, password: "wrong" });
  for (let attempt = 0; attempt < 5; attempt++) {
    await assert.rejects(wrong(), codeIs("unauthorized", /^The e-mail address or the password is wrong\.$/));
  }
  const error: TidebaseError = await wrong().then(() => assert.fail("it was let in"), (error) => error);
  assert.deepEqual([error.code, error.status, error.retryAfter! > 0], ["too_many", 429, true]);
  await assert.rejects(me.signUp(ANN), codeIs("conflict"));
  await assert.rejects(me.signUp({ ...BOB, password: "12345678" }), codeIs("invalid"));
  assert.deepEqual(events, ["current", "signed_in", "signed_out"]);
  const closed = await Server.start(context);
  const other = tab(context, closed.url);
  await assert.rejects(other.me.signUp(ANN), codeIs("forbidden", /Sign-up is closed/));
  await assert.rejects(other.me.signInAnonymously(), codeIs("forbidden"));
});

test("whatever is given in place of an address or a password is refused in words", async (context) => {
  const server = await notes(context);
  const { me } = tab(context, server.url);
  const ann = await me.signUp(ANN);
  const refused = (error: TidebaseError) => ["invalid", "unauthorized", "too_large", "too_many"].includes(error.code);
  const odd: unknown[] = [undefined, null, 1, {}, [], "", "x".repeat(2000), "\u0000", 10n ** 30n];
  for (const value of odd) {
    for (const given of [{ email: value, password: "correct horse" }, { email: "carl@example.org", password: value }]) {
      await assert.rejects(me.signUp(given as typeof ANN), refused, inspect(value));
      await assert.rejects(me.signIn(given as typeof ANN), refused, inspect(value));
    }
  }
  for (const email of ["a@b\r\nX: y", "' or 1=1 --", "\ud800@example.org"]) await assert.rejects(me.signIn({ ...ANN, email }), refused, email);
  assert.equal(me.user, ann, "still she");
  const over = AbortSignal.abort(new Error("never mind"));
  for (const call of [me.signIn(BOB, { signal: over }), me.sessions({ signal: over }), me.changePassword({ oldPassword: "", password: "" }, { signal: over })]) {
    await assert.rejects(call, /never mind/);
  }
  assert.equal(me.user, ann);
});

test("a clock that is wrong by a year does not matter", async (context) => {
  const server = await notes(context, ...SHORT);
  for (const years of [1, -1]) {
    const real = Date.now;
    const wrong = context.mock.method(Date, "now", () => real() + years * 365 * 86_400_000);
    const shelf = new Shelf();
    const { db, me, events, notes: query } = tab(context, server.url, shelf);
    await (years > 0 ? me.signUp(ANN) : me.signIn(ANN));
    const live = query().live();
    await until("the rows", () => live.value);
    await until("two refreshes", () => events.filter((event) => event === "refreshed").length >= 2);
    const before = live.value!.rows.length;
    await db.sql`insert into note (body) values ('when?')`;
    await until("the row", () => live.value!.rows.length === before + 1);
    const again = tab(context, server.url, shelf);
    assert.equal((await again.notes()).length, before + 1);
    await me.signOut();
    wrong.mock.restore();
  }
});

test("a place that cannot be used is none: the session is in memory", async (context) => {
  const server = await notes(context);
  const fail = (): never => {
    throw new Error("this place is not for you");
  };
  const reject = async () => fail();
  const places: Place[] = [
    { getItem: fail, setItem: fail, removeItem: fail },
    { getItem: reject, setItem: reject, removeItem: reject },
    { getItem: () => null, setItem: fail, removeItem: fail },
    { getItem: () => undefined, setItem: () => {}, removeItem: () => {} } as Place,
    {} as Place,
  ];
  await tab(context, server.url).me.signUp(ANN);
  for (const [index, place] of places.entries()) {
    const { me, notes: query } = tab(context, server.url, place);
    await me.signIn(ANN);
    assert.deepEqual(await query(), [], `place ${index}`);
    // The fourth forgets without a word: to it, the session has gone.
    if (index !== 3) assert.equal((await me.refresh())!.email, ANN.email, `place ${index}`);
    await me.signOut();
    assert.equal(me.user, undefined);
  }
  Object.defineProperty(globalThis, "localStorage", { get: fail, configurable: true });
  context.after(() => delete (globalThis as any).localStorage);
  const { me } = tab(context, server.url);
  assert.equal((await me.signIn(ANN)).email, ANN.email);
});

test("localStorage is the usual place, under a name for each server", async (context) => {
  const [server, other] = [await notes(context), await notes(context)];
  const shelf = new Shelf();
  Object.defineProperty(globalThis, "localStorage", { value: shelf, configurable: true });
  context.after(() => delete (globalThis as any).localStorage);
  await tab(context, server.url).me.signUp(ANN);
  assert.equal(tab(context, server.url).me.user!.email, ANN.email);
  assert.equal(tab(context, other.url).me.user, undefined);
  assert.deepEqual([...shelf.keys()], [`tidebase ${server.url}/`]);
});

test("what was kept and is no session is nobody's", async (context) => {
  const server = await notes(context);
  const user = { id: "usr_x" };
  const texts = ["", "{", "null", "1", '"x"', "[]", "{}", '{"user":{}}', "\u0000", "x".repeat(1 << 20), '{"__proto__":{"user":{"id":"x"}}}'];
  texts.push(JSON.stringify({ user, access_token: 1, refresh_token: "x" }), JSON.stringify({ user, access_token: "a\nb", refresh_token: "x" }));
  texts.push(JSON.stringify({ user, access_token: "", refresh_token: "" }), JSON.stringify({ user: [1], access_token: "a", refresh_token: "x" }));
  for (const text of texts) {
    const { me, notes: query } = tab(context, server.url, new Shelf([[`tidebase ${server.url}/`, text]]));
    assert.equal(me.user, undefined, text.slice(0, 50));
    await assert.rejects(query().run(), codeIs("unauthorized"));
  }
  // Of the right shape, and the server does not know it.
  const made = JSON.stringify({ user, access_token: "a.b.c", refresh_token: "x", until: "soon" });
  const { me, events, notes: query } = tab(context, server.url, new Shelf([[`tidebase ${server.url}/`, made]]));
  assert.equal(me.user!.id, "usr_x");
  await assert.rejects(query().run(), codeIs("unauthorized"));
  assert.deepEqual([me.user, events], [undefined, ["current", "expired"]]);
});

test("a place that takes its time: calls wait for what it has kept, and writes keep their order", async (context) => {
  const server = await notes(context);
  const shelf = new Shelf();
  await tab(context, server.url, shelf).me.signUp(ANN);
  const slowly = async <Value>(turns: number, value: () => Value) => {
    for (let count = 0; count < turns; count++) await turn();
    return value();
  };
  const slow: Place = {
    getItem: (key) => slowly(20, () => shelf.getItem(key)),
    setItem: (key, text) => slowly(20, () => shelf.setItem(key, text)),
    removeItem: (key) => slowly(1, () => shelf.removeItem(key)),
  };
  const { db, me, events, notes: query } = tab(context, server.url, slow);
  const live = query().live();
  assert.deepEqual([me.user, events], [undefined, []]);
  assert.deepEqual(await query(), []);
  await me.ready;
  assert.deepEqual([me.user!.email, events], [ANN.email, ["current"]]);
  await until("the rows", () => live.value);
  // The sign-out is written while the sign-in still is.
  let leaving: Promise<boolean> | undefined;
  me.subscribe((_user, event) => event === "signed_in" && (leaving = me.signOut()));
  await me.signIn(ANN);
  assert.equal(await leaving, true);
  assert.deepEqual([me.user, shelf.size], [undefined, 0]);
  db.close();
  // And whoever signs out before it has answered is out.
  const out = tab(context, server.url, slow);
  assert.equal(await out.me.signOut(), true);
  assert.deepEqual([out.me.user, shelf.size], [undefined, 0]);
});

test("what a place says late does not overrule what was done meanwhile", async (context) => {
  const server = await notes(context);
  const shelf = new Shelf();
  await tab(context, server.url, shelf).me.signUp(ANN);
  const [[key, anns]] = [...shelf] as [[string, string]];
  let say: ((text: string) => void) | undefined;
  const late: Place = { getItem: () => new Promise((resolve) => (say = resolve)), setItem: () => {}, removeItem: () => {} };
  const early = tab(context, server.url, late);
  await early.me.signUp(BOB);
  say!(anns);
  await early.me.ready;
  assert.equal(early.me.user!.email, BOB.email);
  say = undefined;
  const renewing = early.me.refresh();
  await until("it is read again", () => say);
  const leaving = early.me.signOut();
  say!(anns);
  assert.equal(await renewing, undefined);
  assert.equal(await leaving, true);
  assert.deepEqual([early.me.user, early.events.at(-1), shelf.get(key)], [undefined, "signed_out", anns]);
});

test("no token is in what can be printed, and none in an address", async (context) => {
  const server = await notes(context);
  const shelf = new Shelf();
  const addresses: string[] = [];
  const real = globalThis.fetch;
  context.mock.method(globalThis, "fetch", (address: URL, how: RequestInit) => (addresses.push(`${address}`), real(address, how)));
  const { db, me } = tab(context, server.url, shelf);
  await me.signUp(ANN);
  await me.refresh();
  const { access_token, refresh_token } = shelf.kept;
  const errors = [];
  errors.push(await me.upgrade(BOB).catch((error) => error), await me.signIn({ ...ANN, password: "wrong" }).catch((error) => error));
  await server.kill();
  errors.push(await me.refresh().catch((error) => error), await me.sessions().catch((error) => error));
  assert.equal(errors.filter((error) => error instanceof Error).length, 4);
  const printed = inspect([me, db, errors, addresses], { depth: 10, showHidden: true }) + JSON.stringify([me, errors]);
  for (const secret of [access_token, refresh_token, ANN.password]) assert.ok(!printed.includes(secret));
});

test("answers that are none sign nobody in or out", async (context) => {
  const server = await notes(context);
  const { me } = tab(context, server.url);
  await me.signUp(ANN);
  const real = globalThis.fetch;
  const odd = ["", "null", "{}", "[]", '{"result":null}', '{"result":{"user":{"id":"x"}}}', "<html>Log in to the Wi-Fi</html>"];
  for (const text of odd) {
    const said = context.mock.method(globalThis, "fetch", async () => new Response(text));
    await assert.rejects(me.refresh(), (error: TidebaseError) => ["internal", "unavailable"].includes(error.code), text);
    await assert.rejects(me.signIn(BOB), (error: TidebaseError) => ["internal", "unavailable"].includes(error.code), text);
    said.mock.restore();
  }
  assert.equal(globalThis.fetch, real);
  assert.equal((await me.refresh())!.email, ANN.email);
});

test("what was begun as one user is not carried out as another who has come in another tab", async (context) => {
  const server = await notes(context, ...SHORT);
  const shelf = new Shelf();
  const [here, there] = [tab(context, server.url, shelf), tab(context, server.url)];
  await here.me.signUp(ANN);
  await there.me.signUp(BOB);
  await until("hers is over", () => shelf.kept.until < Date.now());
  // As another tab would, but nobody has told this one.
  const bob = await server.call("auth/login", BOB);
  shelf.set(`tidebase ${server.url}/`, JSON.stringify({ ...bob, until: Date.now() + 2000 }));
  await assert.rejects(here.db.sql`insert into note (body) values ('of Ann')`.run(), codeIs("unauthorized", /no effect/));
  assert.equal(here.me.user!.email, BOB.email);
  assert.deepEqual(await server.query("select * from note"), []);
  await here.db.sql`insert into note (body) values ('of Bob')`;
});

test("listeners are told once each, come and go, and disturb nobody", async (context) => {
  const server = await notes(context);
  const { db, me } = tab(context, server.url);
  assert.equal(auth(db), me, "one for each client");
  const told: string[] = [];
  const listener = (_user: Auth["user"], event: AuthEvent) => told.push(event);
  const [one, other] = [me.subscribe(listener), me.subscribe(listener)];
  one();
  one();
  await me.signUp(ANN);
  other();
  await me.signOut();
  assert.deepEqual(told, ["current", "current", "signed_in"]);
});

test("a place that is shared keeps no process alive", async (context) => {
  const server = await notes(context);
  const script = `
    import { createClient } from "tidebase";
    import { auth } from "tidebase/auth";
    const shelf = new Map();
    const storage = { getItem: (key) => shelf.get(key), setItem: (key, text) => shelf.set(key, text), removeItem: (key) => shelf.delete(key) };
    const me = auth(createClient("${server.url}"), { storage });
    console.log((await me.signUp(${JSON.stringify(ANN)})).email);`;
  const words = ["--input-type=module", "--eval", script];
  assert.equal(execFileSync(process.execPath, words, { cwd: import.meta.dirname, encoding: "utf8", timeout: 20_000 }).trim(), ANN.email);
});
