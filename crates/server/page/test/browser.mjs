// The page in a real browser, against a real server:
//
//   node crates/server/page/test/browser.mjs <chromium> <tidebase>
//
// Needs nothing but Node and the two programs. Prints a line for each check; the exit code is 0 when all passed.

import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import { resolve } from "node:path";
import { Chrome } from "./browser/chrome.mjs";
import { keys } from "./browser/keys.mjs";
import { live, losses, restarts } from "./browser/live.mjs";
import { looks } from "./browser/looks.mjs";
import { Server } from "./browser/server.mjs";
import { signingIn, signingOut } from "./browser/signing.mjs";
import { sql } from "./browser/sql.mjs";
import { Tab } from "./browser/tab.mjs";
import { topics, topicsAgain } from "./browser/topics.mjs";

const SECONDS_MAX = 180;

const overall = [
  ["no errors or warnings, no breach of the policy, no request elsewhere, no token in an address", ({ tabs }) => {
    assert.deepEqual(tabs.flatMap(({ problems }) => problems), []);
  }],
  ["every frame the server sent kept the contract", ({ tabs }) => {
    assert.deepEqual(tabs.flatMap(({ frames }) => frames.faults), []);
  }],
];

const CHECKS = [
  signingIn, sql, live, topics, losses, restarts, topicsAgain, keys, looks, signingOut, overall,
].flat();

async function main(chromium, tidebase) {
  setTimeout(() => give_up(`not done after ${SECONDS_MAX} s`), SECONDS_MAX * 1000).unref();
  const server = new Server(tidebase);
  const chrome = new Chrome();
  await Promise.all([server.start(), chrome.start(chromium)]);
  const [tab, other, stranger] = await Promise.all([1, 2, 3].map(() => Tab.open(chrome, server)));
  const failed = await check({ server, chrome, tab, other, stranger, tabs: [tab, other, stranger] });
  await chrome.end();
  await server.stop("SIGTERM");
  console.log(`${CHECKS.length - failed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

/** A check that failed is no reason not to try the others, though what they build on may be missing. */
async function check(stage) {
  let failed = 0;
  for (const [name, passes] of CHECKS) {
    const start = performance.now();
    try {
      await passes(stage);
      console.log(`ok    ${name} (${Math.round(performance.now() - start)} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${error.stack.replace(/^/gm, "      ")}`);
    }
  }
  if (failed > 0 && stage.server.log !== "") console.log(`The server said:\n${stage.server.log}`);
  return failed;
}

function give_up(why) {
  console.error(why);
  process.exit(1);
}

function programs(args) {
  if (args.length !== 2) give_up("usage: node crates/server/page/test/browser.mjs <chromium> <tidebase>");
  const [chromium, tidebase] = args;
  try {
    accessSync(tidebase, constants.X_OK);
  } catch {
    give_up(`There is no program ${tidebase}. Build it with cargo build -p tidebase.`);
  }
  return [chromium, resolve(tidebase)];
}

// `node --test` takes every file below a folder named test for a test of its own; this one needs arguments.
if (!process.env.NODE_TEST_CONTEXT) {
  await main(...programs(process.argv.slice(2))).catch((error) => give_up(error.stack));
}
