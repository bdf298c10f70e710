// Everything by keyboard.

import assert from "node:assert/strict";
import { run, view } from "./steps.mjs";

const TAB_STEPS = 60;
const REACHABLE = [
  "skip", "go-sql", "go-topics", "find", "tables-refresh", "customers", "sign-out", "sql-text", "run", "keep", "Close",
];

export const keys = [
  ["Ctrl+K finds a table, and Enter puts a SELECT of it into the editor", async ({ tab }) => {
    await view(tab, "topics");
    await tab.press("Control+k");
    await tab.until("the palette is open", () => document.activeElement.id === "palette-field");
    await tab.type("customers table");
    await tab.until("the table is chosen", () => find("#palette-list [aria-selected=true]", "customers"));
    await tab.press("Enter");
    await tab.until("the editor holds it", () => find("#sql-text")?.value === 'SELECT * FROM "customers" LIMIT 100');
    assert.equal(await tab.ask(() => document.activeElement.id), "sql-text");
  }],
  ["the palette is walked with arrows and left with Esc, the focus where it was", async ({ tab }) => {
    await tab.press("Control+k");
    const first = await tab.until("the palette is open", () => words("#palette-list [aria-selected=true]"));
    await tab.press("ArrowDown");
    assert.notEqual(await tab.ask(() => words("#palette-list [aria-selected=true]")), first);
    await tab.press("ArrowUp");
    assert.equal(await tab.ask(() => words("#palette-list [aria-selected=true]")), first);
    await tab.press("Escape");
    await tab.until("it is closed", () => !find("#palette") && document.activeElement.id === "sql-text");
  }],
  ["Esc goes back: from a topic to the topics, from there to SQL", async ({ tab }) => {
    await view(tab, "topics");
    await tab.click("#topic-list a", "chat/lobby");
    await tab.until("the topic is open", () => find("#topic"));
    await tab.press("Escape");
    await tab.until("the topics are shown", () => find("#topics") && !find("#topic"));
    await tab.press("Escape");
    await tab.until("SQL is shown", () => find("#sql"));
  }],
  ["a cell is reached, read whole and left by keyboard", async ({ tab }) => {
    await run(tab, "SELECT 1 AS one, 'first line' || char(10) || 'second line' AS text");
    await tab.ask(() => find("#result [role=grid]").focus());
    for (const key of ["Home", "End", "Enter"]) await tab.press(key);
    await tab.until("the whole value is shown", () => find("#result .cell pre")?.textContent === "first line\nsecond line");
    await tab.press("Escape");
    await tab.until("it is closed", () => !find("#result .cell"));
  }],
  ["Tab reaches everything, and the focus is always visible", async ({ tab }) => {
    await tab.ask(() => document.activeElement.blur());
    const reached = new Set();
    for (let step = 0; step < TAB_STEPS; step += 1) {
      await tab.press("Tab");
      const { name, isVisible } = await tab.ask(focused);
      assert.ok(isVisible, `the focus on ${name} cannot be seen`);
      reached.add(name);
    }
    const missed = REACHABLE.filter((name) => !reached.has(name));
    assert.deepEqual(missed, [], `Tab reaches only ${[...reached].join(", ")}`);
  }],
];

/** In the page: what has the focus, and whether a person can see that. */
function focused() {
  const { activeElement: node } = document;
  const { top, right, bottom, left } = node.getBoundingClientRect();
  const inSight = bottom > 0 && top < innerHeight && right > 0 && left < innerWidth;
  const { outlineStyle, outlineWidth } = getComputedStyle(node);
  const isOutlined = outlineStyle !== "none" && outlineWidth !== "0px";
  return {
    name: node.id || node.textContent.trim() || node.ariaLabel,
    isVisible: node === document.body || (inSight && isOutlined),
  };
}
