// What a newcomer does, done: a page made by `npm create vite`, the packed client installed there, the lines of the README
// put into it, built, served and opened. The list changes by what is typed there, and by what others write.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { inBrowser } from "./browser/chromium.js";
import { open, shows } from "./browser/stage.js";
import { Server, until } from "./world/index.js";

const CLIENT = resolve(import.meta.dirname, "..");
const TIME_MAX = 180_000;
const run = promisify(execFile);

/** As in a shell of one's own, not inside this package's `npm test`. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD|NODE_)/i.test(name)));

const readme = readFileSync(join(CLIENT, "README.md"), "utf8");
const [, lines] = /^```ts\n(.*?)^```/ms.exec(readme)!;

inBrowser("the lines of the README make a live list of a new page", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "tidebase-newcomer-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const server = await Server.start(context);
  const app = join(folder, "todo");
  const inApp = { cwd: app, env, timeout: TIME_MAX };

  const vite = createRequire(import.meta.url).resolve("create-vite");
  await run(process.execPath, [vite, "todo", "--template", "vanilla-ts", "--no-interactive"], { ...inApp, cwd: folder });
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: CLIENT, env, timeout: TIME_MAX });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  try {
    await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", join(folder, tarball)], inApp);
  } catch (error) {
    const isOffline = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/.test(String((error as { stderr?: string }).stderr));
    if (isOffline && process.env.CI !== "true") return context.skip("The registry of npm cannot be reached.");
    throw error;
  }
  writeFileSync(join(app, "src/main.ts"), lines!.replace("http://127.0.0.1:8080", server.url));
  await run("npm", ["run", "build"], inApp);

  const { page } = await open(context, await preview(context, app));
  await page.fill("input", "buy rope");
  await page.press("input", "Enter");
  await shows(page, "ul", "buy rope");
  await server.query("insert into todo values ('<b>paint</b> hull')");
  await until("two items", async () => (await page.locator("li").allTextContents()).length === 2);
  assert.deepEqual(await page.locator("li").allTextContents(), ["buy rope", "<b>paint</b> hull"]);
  await server.kill();
  await server.start();
  await server.query("delete from todo where title = 'buy rope'");
  await shows(page, "ul", "<b>paint</b> hull");
});

/** Gives the address at which the page that was built is served. */
async function preview(context: TestContext, app: string): Promise<string> {
  const words = [join(app, "node_modules/vite/bin/vite.js"), "preview", "--host", "127.0.0.1", "--port", "0"];
  const child = spawn(process.execPath, words, { cwd: app, env: { ...env, NO_COLOR: "1" } });
  context.after(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  let printed = "";
  child.stdout.on("data", (chunk) => (printed += chunk));
  child.stderr.on("data", (chunk) => (printed += chunk));
  const [address] = await until("an address", () => /http:\/\/127\.0\.0\.1:\d+\//.exec(printed));
  return address!;
}
