// Three devices write whatever they like, on and off the network, through cables that are cut, to a server that is killed. In the
// end all of them, and the server, have the same rows; each write was carried out once or refused once, and was told of.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { offline, type Offline, type Written } from "tidebase/offline";
import { client, dice, Proxy, Server, text, until } from "./world/index.js";

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const ROUNDS = Number(process.env.ROUNDS ?? 60);
const KEYS = ["a", "b", "c", "d", "e", "f"];

interface Row {
  id: string;
  title: string;
  n: number;
}

/** What is to be shown, worked out plainly: the server's rows with what waits on top. */
function expected(rows: readonly Row[], local: Offline): Row[] {
  const byId = new Map(rows.map((row) => [row.id, { ...row }]));
  for (const { change } of local.pending) {
    if (!("table" in change)) continue;
    const { op, key, values } = change as { op: string; key?: { id: string }; values?: Partial<Row> };
    const id = (key?.id ?? values?.id)!;
    const there = byId.get(id);
    if (op === "delete") byId.delete(id);
    else if (there) Object.assign(there, values);
    else if (op !== "update") byId.set(id, { id, title: values!.title!, n: values!.n ?? 0 });
  }
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

test(`three devices that write on and off the network come to the same rows (SEED=${SEED})`, async (context) => {
  const roll = dice(SEED);
  const server = await Server.start(context);
  await server.query("create table t (id text primary key, title text not null check (title <> 'bad'), n integer not null default 0)");
  await server.query("create table ledger (stamp text not null)");
  const devices = await Promise.all(
    [0, 1, 2].map(async () => {
      const proxy = await Proxy.start(context, server.port);
      const db = client(context, proxy.url);
      const local = offline(db, randomUUID());
      context.after(() => local.close());
      const live = db.sql<Row>(text("select id, title, n from t order by id")).live();
      return { proxy, db, local, live, refusals: new Map<number, number>() };
    }),
  );
  for (const { live } of devices) await until("the rows", () => live.value);
  const made: { device: number; stamp: string; written: Written }[] = [];
  let told = { applied: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const index = roll(3);
    const { proxy, local, live } = devices[index]!;
    const id = KEYS[roll(KEYS.length)]!;
    const title = roll(6) === 0 ? "bad" : `${index}.${round}`;
    switch (roll(10)) {
      case 0:
        proxy.isClosed = true;
        proxy.cut();
        break;
      case 1:
        proxy.isClosed = false;
        break;
      case 2:
        proxy.cutAfter(roll(400));
        break;
      case 3:
        if (roll(6) === 0) {
          await server.kill();
          await server.start();
        }
        break;
      default: {
        const table = local.table("t");
        const stamp = `${index}.${round}`;
        const ways = [
          () => table.insert({ id, title, n: round }),
          () => table.upsert({ id, title, n: round }),
          () => table.update({ id }, roll(2) ? { title } : { n: round }),
          () => table.delete({ id }),
          () => local.sql`insert into ledger values (${stamp})`,
        ];
        const way = roll(ways.length);
        const written = await ways[way]!();
        written.settled.then(
          () => told.applied++,
          () => told.refused++,
        );
        made.push({ device: index, stamp: way === 4 ? stamp : "", written });
        // Between frames what is shown is what was told with what waits on top.
        if (proxy.isClosed && local.pending.every(({ applied }) => applied === undefined)) {
          assert.equal(live.value!.pendingWrites, true);
        }
      }
    }
  }
  for (const { proxy } of devices) proxy.isClosed = false;
  await until("all is sent", () => devices.every(({ local }) => local.pending.length === 0));
  const rows = (await server.query("select id, title, n from t order by id")) as Row[];
  for (const { live, local } of devices) {
    await until("the same rows", () => JSON.stringify(live.value!.rows) === JSON.stringify(rows) && !live.value!.pendingWrites);
    assert.deepEqual(expected(live.value!.rows, local), rows);
  }
  assert.equal(told.applied + told.refused, made.length, "each was told of once");
  assert.equal(devices.reduce((sum, { local }) => sum + local.refused.length, 0), told.refused);
  const ledger = await server.query("select stamp, count(*) as n from ledger group by stamp order by stamp");
  const stamps = made.flatMap(({ stamp }) => (stamp ? [stamp] : [])).sort();
  assert.deepEqual(ledger, stamps.map((stamp) => ({ stamp, n: 1 })), "each was carried out once");
});
