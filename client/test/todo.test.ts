// examples/todo as people use it: two tabs, another person, a cable that is cut, a server that is killed, a page that is opened
// again without either.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { test, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { BrowserContext, Page } from "playwright-core";
import { browser, inBrowser } from "./browser/chromium.js";
import { Proxy, Server, until } from "./world/index.js";

const ROOT = resolve(import.meta.dirname, "../..");
const EXAMPLE = join(ROOT, "examples/todo");
const SOURCE = /\.(ts|html|css|js)$/;
const KINDS: Record<string, string> = { html: "text/html", css: "text/css", js: "text/javascript" };

interface Stage {
  server: Server;
  proxy: Proxy;
  site: { url: string; close(): void };
  /** Somebody's browser, with nothing in it yet. */
  device(): Promise<BrowserContext>;
  /** A tab, which fails the test if it has problems. */
  tab(device: BrowserContext): Promise<Page>;
}

/** The server as the README sets it up, and the page as it is built. */
async function stage(context: TestContext): Promise<Stage> {
  const server = await Server.start(context, "--signup", "open");
  const readme = readFileSync(join(EXAMPLE, "README.md"), "utf8");
  for (const [, path, body] of readme.matchAll(/^as http:\/\/127\.0\.0\.1:8080\/(\S+) -d '(.*)'$/gm)) {
    await server.call(path!, JSON.parse(body!));
  }
  const proxy = await Proxy.start(context, server.port);
  const site = await serve(context, proxy.url);
  const device = async () => {
    const made = await (await browser()).newContext({ viewport: { width: 390, height: 844 } });
    context.after(() => made.close());
    return made;
  };
  const tab = async (device: BrowserContext) => {
    const page = await device.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.stack ?? error.message));
    page.on("console", (message) => {
      const isOfNetwork = /net::ERR|WebSocket connection|favicon|Failed to load resource/.test(message.text() + message.location().url);
      if (["error", "warning"].includes(message.type()) && !isOfNetwork) problems.push(message.text());
    });
    await page.goto(site.url);
    context.after(() => assert.deepEqual(problems, []));
    return page;
  };
  return { server, proxy, site, device, tab };
}

async function serve(context: TestContext, server: string): Promise<Stage["site"]> {
  const { settings } = await import(pathToFileURL(join(EXAMPLE, "build.mjs")).href);
  const { outputFiles } = await build({ ...settings(server, "/"), write: false, logLevel: "silent" });
  const files = new Map(outputFiles!.map(({ path, contents }) => [path, contents]));
  const site = createServer(({ url }, response) => {
    const path = url === "/" ? "/index.html" : url!;
    const contents = files.get(path);
    response.writeHead(contents ? 200 : 404, { "Content-Type": KINDS[path.split(".").pop()!] ?? "text/plain" }).end(contents);
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  const close = () => {
    site.closeAllConnections();
    site.close();
  };
  context.after(close);
  return { url: `http://127.0.0.1:${(site.address() as AddressInfo).port}/`, close };
}

async function enter(page: Page, name: string, button: "Sign in" | "Create an account"): Promise<void> {
  await page.getByLabel("E-mail").fill(`${name}@example.org`);
  await page.getByLabel("Password").fill("correct horse");
  await page.getByRole("button", { name: button }).click();
  await page.locator("#lists").waitFor();
}

async function add(page: Page, ...titles: string[]): Promise<void> {
  for (const title of titles) {
    await page.getByLabel("A new item").fill(title);
    await page.keyboard.press("Enter");
    await page.locator("#lists li .title", { hasText: title.slice(0, 50) }).first().waitFor();
  }
}

const item = (page: Page, title: string) => page.locator(".rows li").filter({ has: page.locator(".title", { hasText: title }) });

/** Open and done, as they are on the screen. */
const lists = (page: Page) =>
  page.evaluate(() => ["open", "done"].map((id) => [...document.querySelectorAll(`#${id} .title`)].map((title) => title.textContent!)));

const says = (page: Page, words: string) => until(`“${words}”`, async () => (await page.textContent("#standing"))?.includes(words));

const told = async (server: Server, name: string) => {
  const sql =
    "select title from todo join _tide_users u on u.id = owner where u.email = ? and done = ? order by todo.id desc";
  const titles = async (done: number) => (await server.query(sql, [`${name}@example.org`, done])).map(({ title }) => title as string);
  return [await titles(0), await titles(1)];
};

function unplug(proxy: Proxy): void {
  proxy.isClosed = true;
  proxy.cut();
}

inBrowser("todo: smoke", async (context) => {
  const { server, device, tab } = await stage(context);
  const page = await tab(await device());
  await page.screenshot({ path: "/tmp/w/todo_shots/enter.png" });
  await enter(page, "ann", "Create an account");
  await page.screenshot({ path: "/tmp/w/todo_shots/empty.png" });
  await add(page, "milk", "bread");
  console.log(await lists(page), await page.textContent("#standing"));
  await says(page, "Everything is saved.");
  console.log(await told(server, "ann"));
});
