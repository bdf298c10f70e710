// Signing in and out.

import assert from "node:assert/strict";
import { signIn } from "./steps.mjs";

export const signingIn = [
  ["a wrong token is told at the field", async ({ tab }) => {
    await tab.fill("#token", "not-the-token");
    await tab.press("Enter");
    await tab.until("the page says so", () => words("#token-problem")?.includes("token is wrong"));
    const field = await tab.ask(() => {
      const { activeElement: node } = document;
      return [node.id, node.getAttribute("aria-invalid"), node.getAttribute("aria-describedby").includes("token-problem")];
    });
    assert.deepEqual(field, ["token", "true", true]);
  }],
  ["no token at all is told as well", async ({ tab }) => {
    await tab.fill("#token", " ");
    await tab.press("Enter");
    await tab.until("the page says so", () => words("#token-problem")?.includes("There is no token yet"));
  }],
  ["the admin token signs in, and stands nowhere in the page", async ({ tab, server }) => {
    await signIn(tab, server.token);
    await tab.until("the editor has the focus", () => document.activeElement.id === "sql-text");
    assert.ok(await tab.ask(() => words("#tables-note").startsWith("No tables yet")));
    const held = await tab.ask((token) => document.documentElement.outerHTML.includes(token) || location.href.includes(token), server.token);
    assert.equal(held, false);
  }],
];

export const signingOut = [
  ["signing out forgets the token and what was asked", async ({ tab, server }) => {
    await tab.click("#sign-out");
    await tab.until("the page asks for a token", () => find("#token"));
    await tab.go(server.url);
    assert.deepEqual(await tab.ask(() => [Boolean(find("#token")), JSON.stringify(sessionStorage).includes("SELECT")]), [true, false]);
    assert.equal(await tab.ask((token) => JSON.stringify({ ...sessionStorage, ...localStorage }).includes(token), server.token), false);
  }],
];
