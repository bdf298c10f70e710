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
      const described = node.getAttribute("aria-describedby").includes("token-problem");
      return [node.id, node.getAttribute("aria-invalid"), described];
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
    const page = await tab.ask(() => location.href + document.documentElement.outerHTML);
    assert.ok(!page.includes(server.token));
  }],
];

export const signingOut = [
  ["signing out forgets the token and what was asked", async ({ tab, server }) => {
    await tab.click("#sign-out");
    await tab.until("the page asks for a token", () => find("#token"));
    await tab.go(server.url);
    await tab.until("it still does", () => find("#token"));
    const stored = await tab.ask(() => JSON.stringify({ ...sessionStorage, ...localStorage }));
    assert.ok(!stored.includes(server.token) && !stored.includes("SELECT"), stored);
  }],
];
