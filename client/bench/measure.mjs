// Measures the client in Node against the server that TIDEBASE_BIN names (a release build): `npm run bench --workspace client`.
// What comes out is written down in docs/benchmarks/client.md. No test: nothing fails here.

import { createClient } from "tidebase";
import { Proxy } from "../build/world/proxy.js";
import { Server, TOKEN } from "../build/world/server.js";
import { until } from "../build/world/until.js";

const ROWS = 100_000;
const QUERIES = 50;
const ROUNDS = 7;

const ends = [];
const context = { after: (end) => ends.push(end) };
const server = await Server.start(context);
const proxy = await Proxy.start(context, server.port);
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
const row = (name, ...figures) => console.log(`| ${name} | ${figures.join(" | ")} |`);

await server.query("create table big (id integer primary key, name text, x real, n integer, word text)");
await server.query(`with recursive n(i) as (select 1 union all select i + 1 from n where i < ${ROWS})
  insert into big select i, 'row ' || i, i / 4.0, i % 100, 'harbour' from n`);

/** From subscribe to the rows, on a socket that is open. */
async function firstRows(db) {
  await db.topic("warm").publish(1);
  const begun = performance.now();
  const live = db.sql`select * from big order by id`.live();
  await until("all rows", () => live.value);
  const seconds = (performance.now() - begun) / 1000;
  live.close();
  return seconds;
}

async function overHttp(db) {
  const begun = performance.now();
  await db.sql`select * from big order by id`;
  return (performance.now() - begun) / 1000;
}

/** From a write to its delta in a result of 100,000 rows. */
async function delta(db) {
  const live = db.sql`select * from big order by id`.live();
  await until("all rows", () => live.value);
  const times = [];
  for (let round = 0; round < ROUNDS; round++) {
    const told = new Promise((done) => {
      const before = live.value;
      const stop = live.subscribe((value) => value !== before && done(stop));
    });
    const begun = performance.now();
    await Promise.all([db.sql`update big set n = n + 1 where id = 50000`, told.then((stop) => stop())]);
    times.push(performance.now() - begun);
  }
  live.close();
  return median(times);
}

/** When a number last changed: it has not for half a second since. */
async function quiet(count) {
  let [seen, at] = [count(), performance.now()];
  while (performance.now() - at < 500) {
    await new Promise((done) => setTimeout(done, 1));
    if (count() !== seen) [seen, at] = [count(), performance.now()];
  }
  return at;
}

/** What goes over the cable from the cut to the last answer, with the upgrade's request and its answer. */
async function reconnect() {
  const db = createClient(proxy.url, { token: TOKEN, limits: { pauseMin: 0 } });
  const lives = Array.from({ length: QUERIES }, (_, n) => db.sql`select id, name from big where n = ${n} order by id limit 20`.live());
  await until("all rows", () => lives.every((live) => live.value));
  const before = { ...proxy.bytes, connections: proxy.connections };
  let opened = 0;
  const states = db.connection.subscribe((state) => state === "open" && (opened = performance.now()));
  proxy.cut();
  await until("open", () => opened);
  const open = opened;
  const time = (await quiet(() => proxy.bytes.down)) - open;
  states();
  db.close();
  const figures = { up: proxy.bytes.up - before.up, down: proxy.bytes.down - before.down, time, connections: proxy.connections - before.connections };
  return figures;
}

const db = createClient(server.url, { token: TOKEN });
const times = { live: [], http: [] };
for (let round = 0; round < ROUNDS; round++) {
  times.live.push(await firstRows(db));
  times.http.push(await overHttp(db));
}
console.log(`Node ${process.version}\n`);
row("100,000 rows of 5 columns, live", `${Math.round(ROWS / median(times.live))} rows/s`);
row("the same over HTTP", `${Math.round(ROWS / median(times.http))} rows/s`);
row("a change of one of 100,000 rows held, from the write to the callback", `${(await delta(db)).toFixed(1)} ms`);
const back = await reconnect();
row(`${QUERIES} live queries resumed, nothing changed`, `${back.connections} connection, ${back.up} bytes up, ${back.down} bytes down, ${back.time.toFixed(1)} ms from open to the last answer`);
db.close();
for (const end of ends.reverse()) await end();
