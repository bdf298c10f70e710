// Random writes and random faults: at each revision that a client is told of, its rows are the query run then.
//
// Seeded: TIDEBASE_SEED brings the same again, as far as timing lets it.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Snapshot } from "tidebase";
import { until, world, type World } from "./world/index.js";

interface Account {
  id: number;
  x: number;
}

type Accounts = ReadonlyMap<number, number>;

/** Each query, and what it should give. */
const QUERIES: [name: string, sql: (db: World["db"]) => ReturnType<World["db"]["sql"]>, expected: (accounts: Accounts) => object[]][] = [
  ["all", (db) => db.sql`select id, x from account`, (accounts) => rowsOf(accounts)],
  ["some", (db) => db.sql`select id, x from account where x > ${0}`, (accounts) => rowsOf(accounts).filter(({ x }) => x > 0)],
  ["first", (db) => db.sql`select id, x from account order by x desc, id limit 7`, (accounts) => sorted(accounts).slice(0, 7)],
  ["ordered", (db) => db.sql`select id, x from account order by x desc, id`, (accounts) => sorted(accounts)],
  ["sum", (db) => db.sql`select sum(x) as sum, count(*) as n from account`, (accounts) => [{ sum: accounts.size ? 0 : null, n: accounts.size }]],
];

const rowsOf = (accounts: Accounts): Account[] => [...accounts].map(([id, x]) => ({ id, x }));
const byId = (a: Account, b: Account) => a.id - b.id;
const sorted = (accounts: Accounts) => rowsOf(accounts).sort((a, b) => b.x - a.x || byId(a, b));

/** mulberry32: small numbers from a seed. */
function randomOf(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** One transaction, in which nothing is made or lost: the sum stays 0. */
function change(accounts: Accounts, random: (below: number) => number): { sql: string; after: Accounts } {
  const after = new Map(accounts);
  const ids = [...accounts.keys()];
  const kind = ids.length < 4 ? 0 : random(4);
  if (kind === 0) {
    const [a, b, x] = [Math.max(0, ...ids) + 1, Math.max(0, ...ids) + 2, random(20) - 10];
    after.set(a, x).set(b, 0 - x);
    return { sql: `insert into account values (${a}, ${x}); insert into account values (${b}, ${0 - x})`, after };
  }
  const [a, b, x] = [ids[random(ids.length)]!, ids[random(ids.length)]!, random(9) + 1];
  if (a === b) return change(accounts, random);
  if (kind === 1 && ids.length > 12) {
    const rest = accounts.get(a)!;
    after.delete(a);
    after.set(b, accounts.get(b)! + rest);
    return { sql: `update account set x = x + ${rest} where id = ${b}; delete from account where id = ${a}`, after };
  }
  after.set(a, accounts.get(a)! - x).set(b, accounts.get(b)! + x);
  return { sql: `update account set x = x - ${x} where id = ${a}; update account set x = x + ${x} where id = ${b}`, after };
}

function disturb({ proxy }: World, random: (below: number) => number): void {
  const kind = random(10);
  if (kind === 0) proxy.cut();
  else if (kind <= 3) proxy.cutAfter(1 + random(900));
  else if (kind === 4) proxy.pieceBytes = [1, 3, 100, Infinity][random(4)]!;
  else if (kind === 5) proxy.isStalled = true;
  else if (kind === 6) proxy.resume();
}

test("rows and deltas are the query run then, whatever is cut", async (context) => {
  const seed = Number(process.env.TIDEBASE_SEED ?? Date.now() % 1_000_000);
  console.log(`TIDEBASE_SEED=${seed}`);
  const random = randomOf(seed);
  const made = await world(context, { limits: { pauseMin: 1, pauseMax: 5 } });
  const { db, server, proxy } = made;
  let revision = await server.write("create table account (id integer primary key, x integer)");
  let accounts: Accounts = new Map();
  const states: [revision: number, accounts: Accounts][] = [[revision, accounts]];
  const told = QUERIES.map((): Snapshot<any>[] => []);
  QUERIES.forEach(([, sql], index) => context.after(sql(db).subscribe((snapshot) => told[index]!.push(snapshot))));
  for (let step = 1; step <= 600; step++) {
    const { sql, after } = change(accounts, random);
    revision = await server.write(sql);
    states.push([revision, (accounts = after)]);
    disturb(made, random);
    if (step % 150 === 0) await server.kill().then(() => server.start());
    if (step % 25 === 0) await settle();
  }
  await settle();
  let checked = 0;
  QUERIES.forEach(([name, , expected], index) => {
    let last = -1;
    for (const { rows, revision } of told[index]!) {
      // At the same one rows without ORDER BY may come in another order, when they come anew.
      assert.ok(revision >= last, `${name} goes on from ${last} to ${revision}`);
      last = revision;
      const state = states.findLast(([at]) => at <= revision)![1];
      assert.deepEqual(inOrder(name, rows), inOrder(name, expected(state)), `${name} at ${revision}`);
      checked++;
    }
  });
  console.log(`${checked} results of ${proxy.connections} connections`);
  assert.ok(proxy.connections > 50 && checked > 300);

  async function settle() {
    proxy.resume();
    for (const [index, [name, , expected]] of QUERIES.entries()) {
      const wanted = JSON.stringify(inOrder(name, expected(accounts)));
      await until(`${name} as it is now`, () => JSON.stringify(inOrder(name, told[index]!.at(-1)?.rows ?? [])) === wanted);
    }
  }
});

/** Without ORDER BY rows may stand in any order. */
function inOrder(name: string, rows: readonly any[]): any[] {
  return name === "all" || name === "some" ? [...rows].sort(byId) : [...rows];
}
