// Pages of one browser come, go, freeze, thaw and are killed in any order; the cable is cut, the server is killed. In the end each
// shows what the server has, on one socket, and each write was carried out once.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test, type TestContext } from "node:test";
import type { Client, Stop } from "tidebase";
import { offline, type Offline } from "tidebase/offline";
import { browserOf, Page } from "./world/pages.js";
import { client, dice, Proxy, Server, text, turn, until } from "./world/index.js";

const SEED = Number(process.env.TIDEBASE_SEED ?? Date.now() % 1_000_000);
const ROUNDS = Number(process.env.ROUNDS ?? 150);
const PAGES = 4;
const QUERIES = ["select id, n from t order by id", "select count(*) as n from t", "select id from t where n % 2 = 0 order by n, id", "select stamp from ledger order by 1"];

interface Tab {
  page: Page;
  db: Client;
  local: Offline;
  isFrozen: boolean;
  shown: Map<string, { rows: readonly unknown[]; stop: Stop }>;
}

function open(context: TestContext, url: string, user: string): Tab {
  const page = new Page();
  return page.run(() => {
    const db = client(context, url);
    const local = offline(db, user);
    return { page, db, local, isFrozen: false, shown: new Map() };
  });
}

function show({ page, db, shown }: Tab, sql: string): void {
  if (shown.has(sql)) return;
  const told = { rows: [] as readonly unknown[], stop: () => {} };
  shown.set(sql, told);
  told.stop = page.run(() => db.sql(text(sql)).subscribe(({ rows }) => (told.rows = rows)));
}

test(`pages that come, go, freeze and die come to the same rows on one socket (TIDEBASE_SEED=${SEED})`, async (context) => {
  browserOf(context);
  const roll = dice(SEED);
  const server = await Server.start(context);
  await server.query("create table t (id integer primary key, n integer not null)");
  await server.query("create table ledger (stamp text not null)");
  const proxy = await Proxy.start(context, server.port);
  const user = randomUUID();
  const tabs: (Tab | undefined)[] = [];
  const stamps: string[] = [];
  const leave = (index: number, isKilled: boolean) => {
    const tab = tabs[index];
    tabs[index] = undefined;
    if (!tab) return;
    if (isKilled || tab.isFrozen) tab.page.kill();
    tab.page.run(() => {
      tab.local.close();
      tab.db.close();
    });
  };
  context.after(() => tabs.forEach((_, index) => leave(index, false)));
  for (let round = 0; round < ROUNDS; round++) {
    const index = roll(PAGES);
    const tab = (tabs[index] ??= open(context, proxy.url, user));
    switch (roll(14)) {
      case 0:
        leave(index, roll(2) === 0);
        break;
      case 1:
        tab.isFrozen = true;
        tab.page.freeze();
        break;
      case 2:
      case 3:
        tab.isFrozen = false;
        tab.page.thaw();
        break;
      case 4:
        proxy.cutAfter(roll(2000));
        break;
      case 5:
        proxy.isClosed = roll(2) === 0;
        proxy.cut();
        break;
      case 6:
        if (roll(8) > 0) break;
        await server.kill();
        await server.start();
        break;
      case 7:
      case 8:
        // People do not press keys in a page that sleeps.
        if (tab.isFrozen) break;
        stamps.push(`${round}`);
        await tab.page.run(() => tab.local.sql`insert into ledger values (${`${round}`})`);
        break;
      case 9: {
        const sql = QUERIES[roll(QUERIES.length)]!;
        tab.page.run(() => tab.shown.get(sql)?.stop());
        tab.shown.delete(sql);
        break;
      }
      case 10:
        await server.query("insert into t (n) values (?)", [roll(50)]);
        if (roll(3) === 0) await server.query("delete from t where n = ?", [roll(50)]);
        break;
      case 11:
        await until("it goes on", () => tab.isFrozen || proxy.isClosed || tab.shown.size === 0 || tab.db.connection.state === "open");
        break;
      default:
        show(tab, QUERIES[roll(QUERIES.length)]!);
    }
    for (let turns = roll(20); turns > 0; turns--) await turn();
  }
  proxy.isClosed = false;
  for (let index = 0; index < PAGES; index++) {
    const tab = (tabs[index] ??= open(context, proxy.url, user));
    tab.page.thaw();
    show(tab, QUERIES[0]!);
  }
  await until("all is sent", () => tabs.every((tab) => tab!.local.pending.length === 0))
  const ledger = await server.query("select stamp from ledger order by 1");
  assert.deepEqual(ledger.map(({ stamp }) => stamp), stamps.sort(), "each was carried out once");
  for (const sql of QUERIES) {
    const rows = JSON.stringify(await server.query(sql));
    for (const { shown } of tabs as Tab[]) {
      const told = shown.get(sql);
      if (told) await until(`${sql}: ${rows}`, () => JSON.stringify(told.rows) === rows);
    }
  }
  await until("one socket", async () => (await server.call("status/database")).sockets === 1);
  const wanted = (tabs as Tab[]).reduce((sum, { shown }) => sum + shown.size, 0);
  await until("nobody is told what is over", async () => (await server.call("status/database")).subscriptions === wanted);
});
