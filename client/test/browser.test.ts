// In a real browser: the client alone, and the adapters as components show them.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { inBrowser } from "./browser/chromium.js";
import { shows, stage, type Stage } from "./browser/stage.js";
import { until } from "./world/index.js";

const live = async ({ server }: Stage) => (await server.call("status/database")).subscriptions;

const become = (page: Page, state: object) =>
  page.evaluate((detail) => void dispatchEvent(new CustomEvent("state", { detail })), state);

const subscribes = ({ said }: Stage, word: string) =>
  said.filter(({ action, sql, topic }) => action === "subscribe" && (sql ?? topic).includes(word)).length;

inBrowser("a page shows what others write, and goes on after its socket was lost", async (context) => {
  const made = await stage(context, "plain.ts");
  const { server, proxy, page } = made;
  await shows(page, "#app", "buy rope, paint hull");
  await server.query("insert into todo (title) values ('coil lines')");
  await shows(page, "#app", "buy rope, coil lines, paint hull");
  proxy.isClosed = true;
  proxy.cut();
  await page.waitForFunction(() => (globalThis as any).db.connection.state === "waiting");
  await server.query("delete from todo where title = 'buy rope'");
  proxy.isClosed = false;
  await shows(page, "#app", "coil lines, paint hull");
  await server.kill();
  await server.start();
  await server.query("insert into todo (title) values ('weigh anchor')");
  await shows(page, "#app", "coil lines, paint hull, weigh anchor");
  const addresses = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
  assert.ok(!addresses.some((address) => address.includes("let-me-in-please")), "no token in an address");
});

for (const file of ["react.tsx", "vue.ts", "svelte.ts"]) {
  inBrowser(`${file}: components show rows, share a subscription, follow parameters and end it`, async (context) => {
    const made = await stage(context, file);
    const { server, proxy, page } = made;
    await shows(page, "#list0", "buy rope, paint hull");
    await shows(page, "#list1", "buy rope, paint hull");
    await server.query("insert into todo (title, done) values ('coil lines', 0), ('weigh anchor', 1)");
    await shows(page, "#list1", "buy rope, coil lines, paint hull");
    assert.equal(await live(made), 1, "two lists are one subscription");

    await become(page, { other: 1 });
    await shows(page, "#other", "1");
    await server.query("delete from todo where title = 'buy rope'");
    await shows(page, "#list0", "coil lines, paint hull");
    assert.equal(subscribes(made, "todo"), 1, "the same template, made anew, is the same query");

    await become(page, { done: 1 });
    await shows(page, "#list0", "weigh anchor");
    await become(page, { done: undefined });
    await shows(page, "#list0", "nothing");
    await become(page, { done: "'; drop table todo; --" });
    await shows(page, "#list0", "");
    await become(page, { done: 1 });
    await shows(page, "#list1", "weigh anchor");

    proxy.cut();
    await server.query("update todo set done = 1");
    await shows(page, "#list0", "coil lines, paint hull, weigh anchor");

    await become(page, { lists: 0 });
    await until("nothing is live", async () => (await live(made)) === 0);
    await become(page, { lists: 1 });
    await shows(page, "#list0", "coil lines, paint hull, weigh anchor");
    const isAsked = (name: string) => name.endsWith("/query");
    const requests = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
    assert.deepEqual(requests.filter(isAsked), [], "what is live is not awaited besides");
    await server.query("drop table todo");
    await shows(page, "#list0", "no such table: todo");
  });
}

inBrowser("React: suspended until there are rows, an error goes to its boundary, and trying again asks again", async (context) => {
  const made = await stage(context, "react.tsx");
  const { server, page } = made;
  await shows(page, "#list0", "buy rope, paint hull");
  await become(page, { isFull: true });
  await shows(page, "#count", "2");
  await shows(page, "#harbour", "no such table: harbour");
  await server.query("create table harbour (name text)");
  await until("its rows", async () => {
    await page.click("button#harbour", { timeout: 1000 }).catch(() => {});
    return (await page.textContent("#harbour")) === "0";
  });
  await server.query("insert into harbour values ('Husum')");
  await shows(page, "#harbour", "1");
  for (let round = 0; round < 20; round++) {
    await server.query("insert into todo (title, done) values (?, ?)", [`t${round}`, round % 2]);
    await server.query("update todo set done = 1 - done where id % 3 = ?", [round % 3]);
  }
  await shows(page, "#count", "22");
  await become(page, { isFull: false, lists: 0 });
  await until("nothing is live", async () => (await live(made)) === 0);
});

inBrowser("React: messages are heard once, members are shown, and the socket's state", async (context) => {
  const made = await stage(context, "react.tsx");
  const { server, proxy, page } = made;
  await become(page, { isFull: true });
  await shows(page, "#radio", "Ida:");
  await server.call("topics/radio", { data: "casting off" });
  await server.call("topics/radio", { data: "good luck" });
  await shows(page, "#radio", "Ida: casting off, good luck");
  await shows(page, "#connection", "open");
  proxy.isClosed = true;
  proxy.cut();
  await page.waitForFunction(() => document.querySelector("#connection")!.textContent !== "open");
  proxy.isClosed = false;
  await shows(page, "#connection", "open");
});

inBrowser("React: a closed client is an error that is shown", async (context) => {
  const { page } = await stage(context, "react.tsx");
  await shows(page, "#list0", "buy rope, paint hull");
  await page.evaluate(() => (globalThis as any).db.close());
  await shows(page, "#list0", "The client was closed.");
  await become(page, { done: 1 });
  await shows(page, "#list1", "The client was closed.");
  await become(page, { isFull: true });
  await shows(page, "#radio", "The client was closed.");
  await shows(page, "#harbour", "The client was closed.");
});
