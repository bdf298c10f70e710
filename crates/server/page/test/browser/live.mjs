// Live queries: they stay exactly what the same SELECT answers, whoever writes and whatever happens to the server.

import assert from "node:assert/strict";
import { closeAll, exact, keep, run, signIn, view } from "./steps.mjs";
import { Tab } from "./tab.mjs";
import { until } from "./wait.mjs";
import { Wire } from "./wire.mjs";

const TOP = `SELECT c.name, count(*) AS orders, sum(o.amount) AS total
FROM customers AS c JOIN orders AS o ON o.customer_id = c.id
GROUP BY c.id ORDER BY total DESC LIMIT 3`;
const ALL = "SELECT id, amount FROM orders ORDER BY id";
const ACCOUNTS = "SELECT name, balance FROM accounts ORDER BY name";
const NAMES = "SELECT name FROM customers ORDER BY id";
const BIG = "SELECT id, word FROM big ORDER BY id";
const BIG_ROWS = 10_000;

export const live = [
  ["Ctrl+Shift+Enter keeps a join with GROUP BY, ORDER BY and LIMIT live", async ({ tab, server }) => {
    await server.transaction(
      "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers, amount INTEGER)",
      "INSERT INTO customers VALUES (4, 'Barbara'), (5, 'Donald')",
      "INSERT INTO orders (customer_id, amount) VALUES (1, 50), (2, 40), (3, 30), (4, 20), (1, 5)",
    );
    await keep(tab, TOP);
    await exact(tab, server, TOP);
  }],
  ["it stays exact under writes made over HTTP", async ({ tab, server }) => {
    const writes = [
      "INSERT INTO orders (customer_id, amount) VALUES (2, 60)",
      "INSERT INTO orders (customer_id, amount) VALUES (5, 500)",
      "UPDATE orders SET amount = amount * 3 WHERE customer_id = 4",
      "UPDATE customers SET name = 'Ada L.' WHERE id = 1",
      "DELETE FROM orders WHERE customer_id = 5",
      "DELETE FROM orders WHERE customer_id = 2",
      "INSERT INTO orders (customer_id, amount) VALUES (5, 45), (2, 45)",
    ];
    for (const write of writes) {
      await server.query(write);
      await exact(tab, server, TOP);
    }
  }],
  ["a second live query and a second tab: each sees what the other writes", async ({ tab, other, server }) => {
    await signIn(other, server.token);
    await keep(tab, ALL);
    await keep(other, TOP);
    await run(other, "INSERT INTO orders (customer_id, amount) VALUES (3, 77)");
    await run(tab, "UPDATE orders SET amount = amount + 1 WHERE customer_id = 3");
    for (const one of [tab, other]) await exact(one, server, TOP);
    await exact(tab, server, ALL);
  }],
  ["a deleted row vanishes", async ({ tab, other, server }) => {
    await server.query("INSERT INTO orders VALUES (900, 1, 1)");
    await tab.until("the row is there", (sql) => cells(card(sql)).some(([id]) => id === "900"), ALL);
    await run(other, "DELETE FROM orders WHERE id = 900");
    await tab.until("the row is gone", (sql) => cells(card(sql)).every(([id]) => id !== "900"), ALL);
    await exact(tab, server, ALL);
  }],
  ["a rolled-back write is never shown", async ({ tab, server }) => {
    const rolled_back = server.transaction("DELETE FROM orders", "INSERT INTO nowhere VALUES (1)");
    await assert.rejects(rolled_back, /no such table: nowhere/);
    await server.query("INSERT INTO orders (customer_id, amount) VALUES (1, 2)");
    await exact(tab, server, ALL);
  }],
  ["a changed cell washes, and not when motion is reduced", async ({ tab, server }) => {
    await tab.ask(() => {
      window.washed = 0;
      const animate = Element.prototype.animate;
      Element.prototype.animate = function (...how) {
        window.washed += 1;
        return animate.apply(this, how);
      };
    });
    await server.query("UPDATE orders SET amount = amount + 1 WHERE id = 1");
    await tab.until("cells wash", () => window.washed > 0);
    await tab.media({ "prefers-reduced-motion": "reduce" });
    const before = await tab.ask(() => window.washed);
    await server.query("UPDATE orders SET amount = amount + 1 WHERE id = 1");
    await exact(tab, server, ALL);
    assert.equal(await tab.ask(() => window.washed), before);
    await tab.media({});
  }],
  ["a SELECT that cannot be live is refused under the editor", async ({ tab }) => {
    const count = () => tab.ask(() => all("article.card").length);
    const before = await count();
    await tab.fill("#sql-text", "SELECT random()");
    await tab.press("Control+Shift+Enter");
    await tab.until("the refusal is told", () => words("#sql-problem")?.includes("random"));
    assert.equal(await count(), before);
  }],
  ["a live query whose table is dropped says so, and is live again when asked", async ({ other, server }) => {
    const make = ["CREATE TABLE passing (a INTEGER)", "INSERT INTO passing VALUES (1)"];
    const sql = "SELECT a FROM passing";
    await server.transaction(...make);
    await keep(other, sql);
    await server.query("DROP TABLE passing");
    await other.until("the card says so", (sql) => {
      const { innerText } = card(sql);
      return innerText.includes("Ended") && innerText.includes("no such table: passing");
    }, sql);
    await server.transaction(...make, "INSERT INTO passing VALUES (2)");
    await other.click("article.card button", "Try again");
    await exact(other, server, sql);
  }],
  ["a transaction is seen whole or not at all", async ({ tab, server }) => {
    await server.transaction(
      "CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER)",
      "INSERT INTO accounts VALUES ('a', 500), ('b', 500), ('c', 0)",
    );
    await keep(tab, ACCOUNTS);
    await exact(tab, server, ACCOUNTS);
    await tab.ask((sql) => {
      window.sums = new Set();
      const look = () => {
        const node = card(sql);
        if (!node) return;
        window.sums.add(cells(node).reduce((sum, [, balance]) => sum + Number(balance), 0));
        requestAnimationFrame(look);
      };
      look();
    }, ACCOUNTS);
    for (let n = 1; n <= 40; n += 1) {
      const [from, to] = n % 2 ? ["a", "c"] : ["b", "a"];
      await server.transaction(
        `UPDATE accounts SET balance = balance - ${n} WHERE name = '${from}'`,
        `UPDATE accounts SET balance = balance + ${n} WHERE name = '${to}'`,
      );
    }
    await exact(tab, server, ACCOUNTS);
    assert.deepEqual(await tab.ask(() => [...window.sums]), [1000]);
  }],
  [`${BIG_ROWS.toLocaleString("en")} inserted rows arrive, the last can be read, few are drawn`, async ({ tab, server }) => {
    await server.query("CREATE TABLE big (id INTEGER PRIMARY KEY, word TEXT)");
    await keep(tab, BIG);
    await server.query(`WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ${BIG_ROWS})
      INSERT INTO big SELECT i, 'word ' || i FROM n`);
    await counts(tab, BIG, "10,000 rows");
    await toTheEnd(tab, BIG, ["10000", "word 10000"]);
    await server.query(`UPDATE big SET word = 'changed' WHERE id = ${BIG_ROWS}`);
    await tab.until("the change is shown", () => all("td").some((cell) => cell.textContent === "changed"));
    assert.ok((await tab.ask(() => document.querySelectorAll("tr").length)) < 500);
    await server.query("DELETE FROM big WHERE id > 5000");
    await counts(tab, BIG, "5,000 rows");
    await toTheEnd(tab, BIG, ["5000", "word 5000"]);
  }],
  ["10,000 rows that are there already come in pieces and are whole", async ({ other, server }) => {
    await server.query(`INSERT INTO big SELECT id + 5000, 'more' FROM big`);
    await keep(other, BIG);
    await counts(other, BIG, "10,000 rows");
    assert.ok(other.frames.counts.rows > 2, "they came in several frames");
    await closeAll(other);
  }],
];

export const losses = [
  ["after a lost connection only what was missed comes", async ({ chrome, server, tabs }) => {
    const wire = new Wire(server);
    await wire.lay();
    const tab = await Tab.open(chrome, { url: wire.url, token: server.token });
    tabs.push(tab);
    await signIn(tab, server.token);
    await keep(tab, TOP);
    await keep(tab, NAMES);
    const before = { ...tab.frames.counts };
    wire.cut();
    await server.query("INSERT INTO orders (customer_id, amount) VALUES (4, 13)");
    await until("both queries were resumed", () => tab.frames.counts.unchanged + tab.frames.resumed === 2);
    for (const sql of [TOP, NAMES]) await exact(tab, server, sql);
    assert.deepEqual([tab.frames.counts.hello, tab.frames.counts.rows], [before.hello + 1, before.rows]);
  }],
];

export const restarts = [
  ["after an orderly restart the results are exact again without a click", async ({ tab, server }) => {
    await view(tab, "sql");
    await restart(tab, server, "SIGTERM");
  }],
  ["after a killed server comes back the results are exact again without a click", async ({ tab, server }) => {
    await restart(tab, server, "SIGKILL");
  }],
  ["a row deleted just before the kill does not come back", async ({ tab, server }) => {
    await server.query("INSERT INTO orders VALUES (901, 1, 1)");
    await exact(tab, server, ALL);
    await server.query("DELETE FROM orders WHERE id = 901");
    await restart(tab, server, "SIGKILL");
    assert.equal(await tab.ask((sql) => cells(card(sql)).some(([id]) => id === "901"), ALL), false);
  }],
];

/** What was written before, while nobody could see it, and after must all be there in the end. */
async function restart(tab, server, signal) {
  await server.query("INSERT INTO orders (customer_id, amount) VALUES (4, 11)");
  await server.stop(signal);
  await tab.until("the page says that it is not connected", () => words("#connection").includes("Trying again"));
  await tab.until("the cards say so too", () =>
    all("article.card .facts").every((facts) => facts.innerText.includes("Waiting")));
  await server.start();
  await server.query("UPDATE orders SET amount = amount + 1 WHERE customer_id = 4");
  for (const sql of [TOP, ALL]) await exact(tab, server, sql);
  await tab.until("the page says that it is connected", () => words("#connection") === "Connected");
  await server.query("INSERT INTO orders (customer_id, amount) VALUES (4, 12)");
  for (const sql of [TOP, ALL]) await exact(tab, server, sql);
}

async function counts(tab, sql, rows) {
  await tab.until(`there are ${rows}`, (sql, rows) => card(sql).querySelector(".facts").innerText.includes(rows), sql, rows);
}

/** With the keyboard, as in any grid. */
async function toTheEnd(tab, sql, last) {
  await tab.ask((sql) => card(sql).querySelector("[role=grid]").focus(), sql);
  await until("the last row is shown and chosen", async () => {
    await tab.press("Control+End");
    return tab.ask((sql, last) => {
      const grid = card(sql).querySelector("[role=grid]");
      const row = document.getElementById(grid.getAttribute("aria-activedescendant"))?.parentNode;
      const texts = [...(row?.cells ?? [])].map((cell) => cell.textContent);
      if (JSON.stringify(texts) !== JSON.stringify(last)) return false;
      const [inner, outer] = [row, grid].map((node) => node.getBoundingClientRect());
      return inner.bottom <= outer.bottom + 1 && inner.top >= outer.top;
    }, sql, last);
  });
}
