// Topics: published in one tab, read in another.

import assert from "node:assert/strict";
import { view, watch } from "./steps.mjs";
import { until } from "./wait.mjs";

export const topics = [
  ["a topic watched in two tabs: what one publishes both read", async ({ tab, other }) => {
    for (const one of [tab, other]) await watch(one, "chat/lobby");
    await publish(tab, '{"text":"hello","n":9007199254740993}');
    await reads([tab, other], ['{"text":"hello","n":9007199254740993}']);
    await publish(other, "plain words");
    await reads([tab, other], ['{"text":"hello","n":9007199254740993}', '"plain words"']);
    await tab.until("the publisher is told", () => words("#published")?.startsWith("Published"));
  }],
  ["half-written JSON is told and not sent", async ({ tab, other }) => {
    await publish(tab, '{"text":');
    await tab.until("the mistake is told", () => words("#publish-problem")?.includes("looks like JSON"));
    await publish(other, "2");
    await reads([tab, other], ['{"text":"hello","n":9007199254740993}', '"plain words"', "2"]);
  }],
  ["messages published over HTTP arrive, also while another view is open", async ({ tab, server }) => {
    await view(tab, "sql");
    await server.publish("chat%2Flobby", ["over", "HTTP"]);
    await view(tab, "topics");
    await tab.click("#topic-list a", "chat/lobby");
    await tab.until("it is there", () => all("#topic-log pre").some((node) => node.textContent === '["over","HTTP"]'));
    assert.match(await tab.ask(() => words("#topic-list a")), /^chat\/lobby\s+4$/);
  }],
];

export const topicsAgain = [
  ["messages that a topic keeps arrive after a restart, in order", async ({ tab, other, server }) => {
    await view(tab, "topics");
    await tab.click("#topic-list a", "chat/lobby");
    await server.keepMessages("chat%2Flobby", 100);
    await until("both tabs hear the topic again", async () => {
      await server.publish("chat%2Flobby", 0);
      return (await last(tab)) === "0" && (await last(other)) === "0";
    });
    await server.stop("SIGKILL");
    await server.start();
    for (const message of [1, 2, 3]) await server.publish("chat%2Flobby", message);
    for (const one of [tab, other]) {
      await one.until("they are there", () =>
        all("#topic-log pre").slice(-4).map((node) => node.textContent).join() === "0,1,2,3");
    }
  }],
];

function last(tab) {
  return tab.ask(() => all("#topic-log pre").at(-1)?.textContent);
}

async function publish(tab, text) {
  await tab.fill("#message", text);
  await tab.press("Control+Enter");
}

async function reads(tabs, wanted) {
  for (const tab of tabs) {
    await tab.until(`the messages are ${wanted}`, (wanted) =>
      JSON.stringify(all("#topic-log pre").map((node) => node.textContent)) === JSON.stringify(wanted), wanted);
  }
}
