// The chat of examples/chat, as its README says: built, served, opened, and used by several people in a real browser.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test, type TestContext } from "node:test";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { inBrowser } from "./browser/chromium.js";
import { open, shows } from "./browser/stage.js";
import { Proxy, Server, TOKEN, until } from "./world/index.js";

const ROOT = resolve(import.meta.dirname, "../..");
const CHAT = join(ROOT, "examples/chat");
const LINES_MAX = 299;
/** What the other page may take to show a message on a machine with much to do; what it took is printed. */
const TIME_MAX = 2000;
const run = promisify(execFile);
const readme = readFileSync(join(CHAT, "README.md"), "utf8");

/** As in a shell of one's own, not inside this package's `npm test`. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD|NODE_)/i.test(name)));
const npm = (words: string, more = {}) => run("npm", words.split(" "), { cwd: ROOT, env: { ...env, ...more } });
const said = (pattern: RegExp) => pattern.exec(readme)![1]!;

let built: Promise<unknown> | undefined;

/** Carries out the README, but for installing and building what the tests stand on themselves. */
async function chat(context: TestContext): Promise<Server> {
  assert.match(readme, /npm run build --workspace client --workspace examples\/chat$/m);
  await (built ??= npm("run build --workspace examples/chat"));
  const words = said(/cargo run --release -- (.*)/).replace("examples/chat", CHAT);
  const server = await Server.start(context, ...words.split(" "));
  const opening = said(/npm (run open \S+ \S+)/);
  await npm(opening, { TIDEBASE_URL: server.url, TIDEBASE_ADMIN_TOKEN: TOKEN });
  await npm(opening, { TIDEBASE_URL: server.url, TIDEBASE_ADMIN_TOKEN: TOKEN });
  return server;
}

async function enter(context: TestContext, address: string, name: string): Promise<Page> {
  const { page } = await open(context, address);
  await page.fill("#name", name);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#here.open");
  return page;
}

async function write(page: Page, text: string): Promise<void> {
  await page.fill("#text", text);
  await page.keyboard.press("Enter");
}

const texts = (page: Page) => page.locator("#messages .text").allTextContents();
const comes = (page: Page, text: string) => until(`${text} comes`, async () => (await texts(page)).at(-1) === text);

test("chat: less than 300 lines, which are as strict as the client", () => {
  const files = readdirSync(CHAT).filter((file) => /\.(html|css|ts|mjs)$/.test(file));
  const lines = files.flatMap((file) => readFileSync(join(CHAT, file), "utf8").trimEnd().split("\n"));
  console.log(`examples/chat: ${lines.length} lines in ${files.length} files`);
  assert.ok(lines.length <= LINES_MAX, `${lines.length} lines`);
  assert.ok(lines.every((line) => line.length <= 150), "no line is long to hide another");
  const strict = "--strict --noEmit --noUncheckedIndexedAccess --noUnusedLocals --noUnusedParameters --target es2022 --module esnext";
  const page = "--moduleResolution bundler --lib es2023,dom,dom.iterable --typeRoots ./none";
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, ...`${strict} ${page}`.split(" "), join(CHAT, "chat.ts")], { stdio: "inherit" });
});

inBrowser("chat: what one writes, the other sees at once", async (context) => {
  const server = await chat(context);
  const [ada, bob] = [await enter(context, server.url, "Ada"), await enter(context, server.url, "Bob")];
  await shows(ada, "h1", "Harbour");
  await shows(ada, "#empty", "No messages yet. Write the first one.");
  await ada.evaluate(() => {
    const clock = () => performance.timeOrigin + performance.now();
    document.querySelector("#write button")!.addEventListener("click", () => ((globalThis as any).at = clock()), true);
  });
  await bob.evaluate(() => {
    const seen: Record<string, number> = ((globalThis as any).seen = {});
    const look = () => {
      const text = [...document.querySelectorAll(".text")].at(-1)?.textContent;
      if (text) seen[text] ??= performance.timeOrigin + performance.now();
    };
    new MutationObserver(look).observe(document.querySelector("#messages")!, { childList: true });
  });
  const times: number[] = [];
  for (let round = 0; round < 15; round++) {
    await ada.fill("#text", `message ${round}`);
    await ada.click("#write button");
    await comes(bob, `message ${round}`);
    const at: number = await ada.evaluate(() => (globalThis as any).at);
    times.push((await bob.evaluate((text) => (globalThis as any).seen[text], `message ${round}`)) - at);
  }
  const [median, slowest] = [times.sort((a, b) => a - b)[7]!, times.at(-1)!];
  console.log(`chat: from the click to the text in the other page, median ${median.toFixed(1)} ms, slowest ${slowest.toFixed(1)} ms`);
  assert.ok(median < TIME_MAX);
  await comes(ada, "message 14");
  assert.equal(await ada.locator(".mine").count(), 15);
  assert.equal(await bob.locator(".mine").count(), 0);
  assert.equal(await bob.locator(".follows").count(), 14, "the name stands above the first");
});

inBrowser("chat: who is here and who is typing comes and goes", async (context) => {
  const server = await chat(context);
  const ada = await enter(context, server.url, "Ada");
  await shows(ada, "#here", "Only you are here");
  const [bob, cleo] = [await enter(context, server.url, "Bob"), await enter(context, server.url, "Cleo")];
  await until("all three", async () => /^(Bob, Cleo|Cleo, Bob) and you are here$/.test((await ada.textContent("#here"))!));
  await bob.fill("#text", "I am");
  await shows(ada, "#typing", "Bob is typing…");
  await cleo.fill("#text", "So am I");
  await until("both", async () => / and .* are typing…$/.test((await ada.textContent("#typing"))!));
  await shows(bob, "#typing", "Cleo is typing…");
  await bob.fill("#text", "");
  await shows(ada, "#typing", "Cleo is typing…");
  await cleo.context().close();
  await shows(ada, "#typing", "");
  await shows(ada, "#here", "Bob and you are here");
  await bob.fill("#text", "I am here");
  await shows(ada, "#typing", "Bob is typing…");
  await bob.click("#write button");
  await comes(ada, "I am here");
  await shows(ada, "#typing", "");
  await bob.fill("#text", "and then I think for long");
  await shows(ada, "#typing", "Bob is typing…");
  await shows(ada, "#typing", "");
});

inBrowser("chat: a page that loses its connection says so, and comes back with what it missed", async (context) => {
  const server = await chat(context);
  const proxy = await Proxy.start(context, server.port);
  const [ada, bob] = [await enter(context, proxy.url, "Ada"), await enter(context, server.url, "Bob")];
  await write(bob, "before");
  await comes(ada, "before");
  proxy.isClosed = true;
  proxy.cut();
  await shows(ada, "#here", "No connection. Trying again…");
  await shows(bob, "#here", "Only you are here");
  await write(bob, "meanwhile");
  await comes(bob, "meanwhile");
  await write(ada, "from the dark");
  await until("words about it", async () => (await ada.textContent("main .problem"))!.startsWith("✕ "));
  assert.equal(await ada.inputValue("#text"), "from the dark", "what was not sent is not lost");
  proxy.isClosed = false;
  await comes(ada, "meanwhile");
  await shows(ada, "#here", "Bob and you are here");
  await ada.press("#text", "Enter");
  await comes(bob, "from the dark");
  await shows(ada, "main .problem", "");
  await server.kill();
  await server.start();
  await write(bob, "after");
  await comes(ada, "after");
  assert.deepEqual(await texts(ada), ["before", "meanwhile", "from the dark", "after"]);
});

inBrowser("chat: HTML in names, messages and rooms is text", async (context) => {
  const server = await chat(context);
  const evil = "<img src=x onerror=alert(1)>";
  const [ada, bob] = [await enter(context, server.url, "Ada"), await enter(context, server.url, evil)];
  for (const page of [ada, bob]) page.on("dialog", () => assert.fail("a script of a message ran"));
  await write(bob, `<b>bold</b> ${evil} &amp; "quotes"`);
  await comes(ada, `<b>bold</b> ${evil} &amp; "quotes"`);
  await shows(ada, "#here", `${evil} and you are here`);
  await bob.fill("#text", "more");
  await shows(ada, "#typing", `${evil} is typing…`);
  assert.equal(await ada.textContent(".who b"), evil);
  await bob.fill("#new input", `${evil} räume`);
  await bob.keyboard.press("Enter");
  await shows(bob, "h1", `${evil} räume`);
  await until("the room", async () => (await ada.locator("#rooms a").allTextContents()).includes(`${evil} räume`));
  await ada.click("#rooms a:has-text('räume')");
  await shows(ada, "#here", `${evil} and you are here`);
  assert.equal(await ada.locator("img, #messages b b").count() + (await bob.locator("img").count()), 0);
});

inBrowser("chat: rooms have addresses, the newest 50 messages come first, and a name is asked once", async (context) => {
  const server = await chat(context);
  const writes = Array.from({ length: 120 }, (_, index) => {
    const at = new Date(Date.UTC(2026, 0, 1, 0, 0, index)).toISOString();
    return { op: "set", path: `rooms/harbour/messages/m${index}`, data: { from: `u${index % 7}`, name: "Otter", text: `${index}`, at } };
  });
  await server.call("docs:batch", { writes });
  const ada = await enter(context, `${server.url}/#harbour`, "Ada");
  await comes(ada, "119");
  for (const count of [50, 100, 120]) {
    const expected = writes.slice(-count).map(({ data }) => data.text);
    await until(`${count} messages`, async () => (await texts(ada)).join() === expected.join());
    if (count < 120) await ada.click("#earlier");
  }
  assert.equal(await ada.isVisible("#earlier"), false);
  await ada.fill("#new input", "Lost & found");
  await ada.keyboard.press("Enter");
  await shows(ada, "h1", "Lost & found");
  await shows(ada, "#empty", "No messages yet. Write the first one.");
  assert.equal(new URL(ada.url()).hash, "#lost-found");
  await ada.reload();
  await shows(ada, "h1", "Lost & found");
  assert.equal(await ada.isVisible("#start"), false);
  await ada.goBack();
  await shows(ada, "h1", "Harbour");
  await ada.evaluate(() => void (location.hash = "nowhere"));
  await shows(ada, "h1", "No such room");
  await shows(ada, "#empty", "Choose a room, or make one.");
  assert.equal(await ada.isVisible("#write"), false);
  await ada.setViewportSize({ width: 390, height: 780 });
  await ada.click("#rooms a:has-text('Harbour')");
  await comes(ada, "119");
  assert.equal(await ada.evaluate(() => document.documentElement.scrollWidth), 390);
  assert.ok(await ada.locator("#messages li:last-child").evaluate((item) => item.getBoundingClientRect().bottom < innerHeight));
  for (const place of ["#text", "#write button"]) {
    assert.ok(await ada.locator(place).evaluate((element) => element === document.activeElement), `${place} has the focus`);
    await ada.keyboard.press("Tab");
  }
});

test("chat: nobody writes as somebody else, or what the page cannot show", async (context) => {
  const server = await chat(context);
  const { access_token: token, user } = await server.call("auth/anonymous", {}, "none");
  const message = { from: user.id, name: "Mallory", text: "hello", at: "2026-01-01T00:00:00.000Z" };
  const put = (data: object) => server.call("docs/rooms/harbour/messages", data, token);
  await put(message);
  const long = { name: "x".repeat(41), text: "x".repeat(4001) };
  const wrongs = [{ from: "usr_1" }, { name: { toString: 1 } }, { name: "" }, { name: long.name }, { text: 7 }, { text: long.text }, { html: "" }];
  for (const wrong of wrongs) {
    await assert.rejects(put({ ...message, ...wrong }), /forbidden|invalid/, JSON.stringify(wrong));
  }
  const say = (data: object, topic = "room/harbour") => server.call(`topics/${topic}`, { data }, token);
  await say({ from: user.id, name: "Mallory", isTyping: true });
  for (const wrong of [{ from: "usr_1" }, { name: undefined }, { name: 5 }, { name: long.name }]) {
    await assert.rejects(say({ from: user.id, name: "Mallory", ...wrong }), /forbidden|invalid/, JSON.stringify(wrong));
  }
  await assert.rejects(say(message, "elsewhere"), /forbidden/);
  const [{ n }] = await server.query('SELECT count(*) AS n FROM "rooms/messages"');
  assert.equal(n, 1);
  await assert.rejects(server.call("docs/rooms/harbour", { name: "Mine" }, token, "PUT"), /forbidden/);
  await assert.rejects(server.call("docs/rooms/harbour", undefined, token, "DELETE"), /forbidden|not_found/);
});
