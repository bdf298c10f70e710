// Pages of a real browser, which share one socket: closed, killed, frozen, busy.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { TestContext } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { bundle } from "./browser/bundle.js";
import { browser, inBrowser } from "./browser/chromium.js";
import { serve, shows } from "./browser/stage.js";
import { Proxy, Server, until } from "./world/index.js";

const PAGES = resolve(import.meta.dirname, "../test/browser/pages");

interface Stage {
  server: Server;
  proxy: Proxy;
  window: BrowserContext;
  open(): Promise<Page>;
  /** Until the server has one socket. */
  one(): Promise<unknown>;
  add(title: string): Promise<unknown>;
}

async function stage(context: TestContext): Promise<Stage> {
  const server = await Server.start(context);
  await server.query("create table todo (id integer primary key, title text)");
  await server.query("create table item (id text primary key, title text)");
  const proxy = await Proxy.start(context, server.port);
  const origin = await serve(context, await bundle(readFileSync(resolve(PAGES, "tabs.ts"), "utf8"), PAGES));
  const window = await (await browser()).newContext();
  context.after(() => window.close());
  const problems: string[] = [];
  context.after(() => assert.deepEqual(problems, []));
  const open = async () => {
    const page = await window.newPage();
    page.on("pageerror", (error) => problems.push(error.stack ?? error.message));
    await page.goto(`${origin}/?server=${proxy.url}`);
    return page;
  };
  const one = () => until("one socket", async () => (await server.call("status/database")).sockets === 1);
  return { server, proxy, window, open, one, add: (title) => server.query("insert into todo (title) values (?)", [title]) };
}

inBrowser("three pages have one socket; the one that has it is closed, and the others go on", async (context) => {
  const { server, open, one, add, proxy } = await stage(context);
  await add("a");
  const pages = [await open(), await open(), await open()];
  for (const page of pages) await shows(page, "#app", "a");
  await one();
  await pages[0]!.close();
  await add("b");
  for (const page of pages.slice(1)) await shows(page, "#app", "a, b");
  await one();
  // Loaded anew: gone and come.
  await pages[1]!.reload();
  proxy.cut();
  await add("c");
  for (const page of pages.slice(1)) await shows(page, "#app", "a, b, c");
  await one();
  for (const page of pages.slice(1)) await page.evaluate(() => (globalThis as any).add("milk"));
  assert.deepEqual(await server.query("select count(*) as n from item"), [{ n: 2 }]);
});

for (const way of ["frozen", "busy", "killed"]) {
  inBrowser(`the page that has the socket is ${way}: the others are told all the same`, async (context) => {
    const { window, server, open, one, add } = await stage(context);
    await add("a");
    const [carrier, second, third] = [await open(), await open(), await open()];
    for (const page of [carrier, second, third]) await shows(page, "#app", "a");
    await one();
    const session = await window.newCDPSession(carrier);
    let busy: Promise<unknown> | undefined;
    if (way === "frozen") await session.send("Page.setWebLifecycleState", { state: "frozen" });
    if (way === "killed") await Promise.race([session.send("Page.crash"), new Promise((done) => carrier.once("crash", done))]).catch(() => {});
    if (way === "busy") {
      busy = carrier.evaluate(() => {
        for (const end = Date.now() + 12_000; Date.now() < end; );
      });
    }
    await add("b");
    for (const page of [second, third]) await shows(page, "#app", "a, b");
    await second.evaluate(() => (globalThis as any).add("milk"));
    await third.evaluate(() => (globalThis as any).add("bread"));
    if (way === "frozen") await session.send("Page.setWebLifecycleState", { state: "active" });
    await busy;
    await add("c");
    for (const page of way === "killed" ? [second, third] : [carrier, second, third]) await shows(page, "#app", "a, b, c");
    await one();
    assert.deepEqual(await server.query("select count(*) as n from item"), [{ n: 2 }]);
  });
}
