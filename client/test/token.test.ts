// Tokens on a socket: renewed before they run out, replaced when they were refused, and an end where there is no other.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { TidebaseError } from "tidebase";
import { life } from "../dist/token.js";
import { client, Proxy, Server, until } from "./world/index.js";

test("a token's life is what it says, and has no known end where the clock here is wrong", () => {
  const token = (claims: object) => `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
  const [now, year] = [1_790_000_000_000, 365 * 86_400_000];
  const signed = token({ exp: now / 1000 + 900, "ü": "?>~" });
  assert.equal(life(signed, now), 900_000);
  assert.equal(life(signed, now + year), Infinity);
  assert.equal(life(signed, now - year), 900_000 + year);
  for (const other of [undefined, "", "tide_client_x", "a.b.c", token({}), token({ exp: "soon" })]) assert.equal(life(other, now), Infinity);
});

async function serverWithTable(context: import("node:test").TestContext, ...words: string[]): Promise<Server> {
  const server = await Server.start(context, ...words);
  await server.query("create table t (id integer primary key)");
  return server;
}

const makeToken = (server: Server, more = {}) => server.call("auth/tokens", { name: "test", role: "admin", ...more });

test("a revoked token ends what is live, with an error that says so", async (context) => {
  const server = await serverWithTable(context);
  const { id, token } = await makeToken(server);
  const db = client(context, server.url, { token });
  const live = db.sql`select * from t`.live();
  await until("the rows", () => live.value);
  await server.call(`auth/tokens/${id}`, undefined, undefined, "DELETE");
  const error = (await until("the end", () => live.error)) as TidebaseError;
  assert.equal(error.code, "unauthorized");
  assert.equal(db.connection.state, "idle");
  await assert.rejects(db.sql`select 1`.run(), (error: TidebaseError) => error.code === "unauthorized" && error.status === 401);
});

test("where a function gives another token, everything goes on", async (context) => {
  const server = await serverWithTable(context);
  let current = await makeToken(server);
  const refused: (string | undefined)[] = [];
  const db = client(context, server.url, { token: (token) => (refused.push(token), current.token) });
  const live = db.sql`select * from t`.live();
  await until("the rows", () => live.value);
  for (let round = 0; round < 3; round++) {
    const old = current;
    current = await makeToken(server);
    await server.call(`auth/tokens/${old.id}`, undefined, undefined, "DELETE");
    await server.query("insert into t default values");
    await until("the row", () => live.value!.rows.length === round + 1);
    assert.equal(refused.at(-1), old.token);
  }
  assert.equal(refused.length, 4, "asked once, and once for each that was refused");
});

test("a token that has run out is replaced", async (context) => {
  const server = await serverWithTable(context);
  let asked = 0;
  const token = async () => (asked++, (await makeToken(server, { expires_in: 1 })).token);
  const db = client(context, server.url, { token });
  const live = db.sql`select * from t`.live();
  await until("the rows", () => live.value);
  await until("two more", () => asked >= 3);
  await server.query("insert into t default values");
  await until("the row", () => live.value!.rows.length === 1);
});

test("a function that gives nothing good ends it; it is not asked for ever", async (context) => {
  const server = await serverWithTable(context);
  let asked = 0;
  const db = client(context, server.url, { token: () => `wrong ${asked++}` });
  const live = db.sql`select * from t`.live();
  assert.equal(((await until("the end", () => live.error)) as TidebaseError).code, "unauthorized");
  assert.ok(asked <= 3);
});

test("a token that no header can hold is told of", async (context) => {
  const server = await serverWithTable(context);
  const db = client(context, server.url, { token: "a\nb" });
  db.sql`select 1 as one`.live();
  await until("the failure", () => db.connection.error);
});

test("a function that fails for a while is asked again", async (context) => {
  const server = await serverWithTable(context);
  const { token } = await makeToken(server);
  let asked = 0;
  const db = client(context, server.url, {
    token: () => {
      if (++asked < 3) throw new Error("the network is away");
      return token;
    },
  });
  const live = db.sql`select * from t`.live();
  await until("the rows", () => live.value);
  assert.equal(asked, 3);
});

test("a socket is given the next token before the one it has runs out", async (context) => {
  const server = await serverWithTable(context, "--signup", "open", "--limit", "access_token_time_max=2000");
  await server.call("policies", { name: "all", table: "t", action: "all", using: "1" });
  let session = await server.call("auth/signup", { email: "ann@example.org", password: "correct horse" });
  let asked = 0;
  const db = client(context, server.url, {
    token: async () => {
      if (asked++ > 0) session = await server.call("auth/refresh", { refresh_token: session.refresh_token });
      return session.access_token;
    },
  });
  const states: string[] = [];
  const live = db.sql`select * from t`.live();
  await until("the rows", () => live.value);
  db.connection.subscribe((state) => states.push(state));
  await until("three tokens", () => asked >= 3);
  await server.query("insert into t default values");
  await until("the row", () => live.value!.rows.length === 1);
  assert.deepEqual(states, [], "on the same socket");
});

/** Two people, with a note of their own each. */
async function annAndBob(context: import("node:test").TestContext) {
  const server = await serverWithTable(context, "--signup", "open");
  await server.query("create table note (id integer primary key, owner text default (auth_uid()), body text)");
  await server.call("policies", { name: "own", table: "note", action: "all", role: "user", using: "owner = auth.uid()" });
  const signUp = (name: string) => server.call("auth/signup", { email: `${name}@example.org`, password: "correct horse" });
  const [ann, bob] = [await signUp("ann"), await signUp("bob")];
  for (const { access_token, user } of [ann, bob]) await server.query("insert into note (body) values (?)", [user.email], access_token);
  return { server, ann, bob };
}

test("somebody else's token gets a socket and rows of its own", async (context) => {
  const { server, ann, bob } = await annAndBob(context);
  const db = client(context, server.url, { token: ann.access_token });
  const live = db.sql<{ body: string }>`select body from note`.live();
  await until("Ann's", () => live.value);
  assert.deepEqual(live.value!.rows, [{ body: "ann@example.org" }]);
  db.setToken(bob.access_token);
  await until("Bob's", () => live.value!.rows[0]!.body === "bob@example.org");
  db.setToken(undefined);
  assert.equal(((await until("nobody's", () => live.error)) as TidebaseError).code, "unauthorized");
});

test("a socket that is being opened for the former caller is not the next one's", async (context) => {
  const { server, ann, bob } = await annAndBob(context);
  const proxy = await Proxy.start(context, server.port);
  const db = client(context, proxy.url, { token: ann.access_token });
  proxy.isStalled = true;
  const [told, missed]: [string[], unknown[]] = [[], []];
  db.topic("radio").subscribe(() => {}, { onMissed: (cursor) => missed.push(cursor), onError: () => {} });
  db.sql<{ body: string }>`select body from note`.subscribe(({ rows }) => told.push(rows[0]!.body));
  await until("it asks for a socket", () => proxy.connections === 1);
  db.setToken(bob.access_token);
  proxy.resume();
  await until("the rows", () => told.length > 0);
  assert.deepEqual(told, ["bob@example.org"]);
  assert.deepEqual(missed, [], "nothing was missed: nothing had been heard");
});

test("what was begun as one caller is never made again as the next, by any way", async (context) => {
  const { server, ann, bob } = await annAndBob(context);
  const proxy = await Proxy.start(context, server.port);
  for (const whose of ["a token", "a function"]) {
    let asked = 0;
    const token = whose === "a token" ? ann.access_token : () => (asked++, ann.access_token);
    const db = client(context, proxy.url, { token });
    proxy.isStalled = true;
    const failed = Promise.allSettled([
      db.sql`insert into note (body) values ('begun by Ann')`.run(),
      db.transaction([db.sql`insert into note (body) values ('begun by Ann')`]),
      db.table("note").insert({ body: "begun by Ann" }),
    ]);
    await until("they are on their way", () => proxy.connections >= 3);
    db.setToken(bob.access_token);
    proxy.cut();
    proxy.resume();
    assert.deepEqual((await failed).map(({ status }) => status), ["fulfilled", "fulfilled", "fulfilled"], "made again, as hers");
    const owners = await server.query("select distinct owner from note where body = 'begun by Ann'");
    assert.deepEqual(owners, [{ owner: ann.user.id }]);
    assert.equal(asked <= 1, true);
    db.close();
  }
});

test("a refused token is not replaced by somebody else's", async (context) => {
  const { server, ann, bob } = await annAndBob(context);
  let given: (token: string) => void = () => {};
  const refused: unknown[] = [];
  const source = (token?: string) => {
    refused.push(token);
    return token === undefined ? "out of date" : new Promise<string>((resolve) => (given = resolve));
  };
  const db = client(context, server.url, { token: source });
  const writing = db.sql`insert into note (body) values ('begun by Ann')`.run();
  await until("a new token is asked for", () => refused.length === 2);
  db.setToken(bob.access_token);
  given(ann.access_token);
  await writing;
  assert.deepEqual(await server.query("select owner from note where body = 'begun by Ann'"), [{ owner: ann.user.id }]);
  await db.sql`insert into note (body) values ('begun by Bob')`;
  assert.deepEqual(await server.query("select owner from note where body = 'begun by Bob'"), [{ owner: bob.user.id }]);
});

test("what waits for a socket is not sent on the next caller's, and nothing of the next one's on the former's", async (context) => {
  const { server, ann, bob } = await annAndBob(context);
  const db = client(context, server.url, { token: ann.access_token });
  const told: string[] = [];
  const waiting = db.topic("radio").publish("of Ann");
  db.setToken(bob.access_token);
  await assert.rejects(waiting, (error: TidebaseError) => error.code === "unauthorized");
  db.sql<{ body: string }>`select body from note`.subscribe(({ rows }) => told.push(rows[0]!.body));
  await until("Bob's", () => told.length === 1);
  db.setToken(ann.access_token);
  db.sql<{ body: string; owner: string }>`select body, owner from note`.subscribe(({ rows }) => told.push(rows[0]!.body));
  await until("Ann's, twice", () => told.length === 3);
  assert.deepEqual(told, ["bob@example.org", "ann@example.org", "ann@example.org"], "not Bob's rows for what Ann asks");
});

test("a page that knows the network is back need not wait for the next try", async (context) => {
  const server = await serverWithTable(context);
  const proxy = await Proxy.start(context, server.port);
  const db = client(context, proxy.url, { limits: { pauseMin: 3_600_000, pauseMax: 3_600_000 } });
  db.connection.tryNow();
  assert.equal(db.connection.state, "idle", "nothing is wanted");
  const live = db.sql`select 1 as one`.live();
  await until("the row", () => live.value);
  proxy.isClosed = true;
  proxy.cut();
  await until("it waits for an hour", () => db.connection.state === "waiting");
  proxy.isClosed = false;
  db.connection.tryNow();
  await until("open", () => db.connection.state === "open");
  const { connections } = proxy;
  for (let again = 0; again < 3; again++) db.connection.tryNow();
  assert.equal(proxy.connections, connections, "an open one is left alone");
  db.close();
  db.connection.tryNow();
  assert.equal(db.connection.state, "closed");
});
