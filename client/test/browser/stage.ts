// A page of ours in the browser, served from an origin of its own, beside a real server and a cable that can be cut.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import type { Page } from "playwright-core";
import { Proxy, Server } from "../world/index.js";
import { bundle } from "./bundle.js";
import { browser } from "./chromium.js";

const PAGES = resolve(import.meta.dirname, "../../test/browser/pages");

export interface Stage {
  server: Server;
  proxy: Proxy;
  page: Page;
  /** What the page has thrown, or warned of; a lost connection, which a test may want, is none of it. */
  problems: string[];
  /** What the page has sent on its sockets. */
  said: any[];
}

/** `todo (id, title, done)` has two rows. The page finds the address of the server in its own. */
export async function stage(context: TestContext, file: string, ...words: string[]): Promise<Stage> {
  const server = await Server.start(context, ...words);
  await server.query("create table todo (id integer primary key, title text, done integer default 0)");
  await server.query("insert into todo (title) values ('buy rope'), ('paint hull')");
  const proxy = await Proxy.start(context, server.port);
  const origin = await serve(context, await bundle(readFileSync(join(PAGES, file), "utf8"), PAGES));
  return { server, proxy, ...(await open(context, `${origin}/?server=${proxy.url}`)) };
}

/** Opens an address in a window of its own, and fails the test if the page has problems. */
export async function open(context: TestContext, address: string): Promise<Pick<Stage, "page" | "problems" | "said">> {
  const window = await (await browser()).newContext();
  context.after(() => window.close());
  const page = await window.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.stack ?? error.message));
  page.on("console", (message) => {
    const isOfNetwork = /net::ERR|WebSocket connection|favicon/.test(message.text() + message.location().url);
    if (["error", "warning"].includes(message.type()) && !isOfNetwork) problems.push(message.text());
  });
  const said: any[] = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => said.push(JSON.parse(String(payload)))));
  await page.goto(address);
  context.after(() => assert.deepEqual(problems, []));
  return { page, problems, said };
}

/** Waits until an element shows this text. */
export async function shows(page: Page, selector: string, text: string): Promise<void> {
  const isShown = ([selector, text]: string[]) => document.querySelector(selector!)?.textContent?.trim() === text;
  try {
    await page.waitForFunction(isShown, [selector, text], { timeout: 30_000 });
  } catch {
    const shown = await page.evaluate((selector) => document.querySelector(selector)?.textContent, selector);
    throw new Error(`${selector} shows ${JSON.stringify(shown)}, not ${JSON.stringify(text)}.`);
  }
}

/** Serves a page with this script, and gives its origin. */
export async function serve(context: TestContext, script: string): Promise<string> {
  const html = '<!doctype html><meta charset="utf-8"><title>A page</title><div id="app"></div><script type="module" src="page.js"></script>';
  const site = createServer(({ url }, response) => {
    const isScript = url === "/page.js";
    response.writeHead(200, { "Content-Type": isScript ? "text/javascript" : "text/html" }).end(isScript ? script : html);
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  context.after(() => {
    site.closeAllConnections();
    site.close();
  });
  return `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
}
