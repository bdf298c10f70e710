// The editor: run once, read the answer or the mistake.

import assert from "node:assert/strict";
import { act, run } from "./steps.mjs";

export const sql = [
  ["Ctrl+Enter runs SQL: a table, some rows, a SELECT", async ({ tab }) => {
    assert.match(await run(tab, "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"), /^Done/);
    await tab.until("the new table is in the list", () => find("#tables button", "customers"));
    assert.match(await run(tab, "INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Edsger')"), /3 rows written/);
    assert.match(await run(tab, "SELECT id, name FROM customers ORDER BY name"), /^3 rows/);
    await tab.until("the grid shows them", () =>
      JSON.stringify(cells(find("#result"))) === '[["1","Ada"],["3","Edsger"],["2","Grace"]]');
  }],
  ["SQLite's own words stand under the editor, until the next run", async ({ tab }) => {
    assert.match(await run(tab, "SELEC 1"), /near "SELEC": syntax error/);
    const gap = await tab.ask(() => {
      const [editor, problem] = ["#sql-text", "#sql-problem"].map((one) => find(one).getBoundingClientRect());
      return problem.top - editor.bottom;
    });
    assert.ok(gap >= 0 && gap < 40, "the mistake stands right under the editor");
    assert.equal(await tab.ask(() => find("#sql-text").getAttribute("aria-invalid")), "true");
    assert.match(await run(tab, "INSERT INTO customers VALUES (1, 'Ada')"), /UNIQUE constraint failed: customers\.id/);
    await run(tab, "SELECT 1");
    assert.equal(await tab.ask(() => words("#sql-problem")), undefined);
    assert.equal(await tab.ask(() => find("#sql-text").getAttribute("aria-invalid")), "false");
  }],
  ["values keep every digit, and NULL, blobs and markup are what they are", async ({ tab }) => {
    await run(tab, "SELECT 9007199254740993 AS n, NULL AS none, x'00ff' AS bytes, '<b>&amp;</b>' AS text");
    await tab.until("the grid shows them", () =>
      JSON.stringify(cells(find("#result"))) === `[["9007199254740993","NULL","x'00ff' 2 bytes","<b>&amp;</b>"]]`);
  }],
  ["an address fills the editor and runs nothing", async ({ tab, server }) => {
    await act(tab, "Go to SQL");
    const shared = "SELECT name FROM customers -- shared";
    await tab.ask((address) => (location.hash = address), `#/sql?${new URLSearchParams({ q: shared })}`);
    await tab.until("the editor holds it", (shared) => find("#sql-text").value === shared, shared);
    assert.equal(await tab.ask(() => words("#sql-status").includes("3 rows")), false);
    assert.match(await run(tab, shared), /^3 rows/);
    assert.deepEqual(await server.query("SELECT count(*) FROM customers"), [["3"]]);
  }],
];
