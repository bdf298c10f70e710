// Tables over REST.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, type TidebaseError } from "tidebase";
import { QUICK, TOKEN, world } from "./world/index.js";

interface Database {
  book: {
    Row: { id: number; title: string; year: number | null; cover: Uint8Array | null; extra: unknown };
    Insert: { id?: number; title: string; year?: number | null; cover?: Uint8Array | null; extra?: unknown };
    Update: { id?: number; title?: string; year?: number | null; cover?: Uint8Array | null; extra?: unknown };
  };
}

async function library(context: import("node:test").TestContext) {
  const { server } = await world(context);
  await server.query("create table author (id integer primary key, name text unique)");
  await server.query(
    "create table book (id integer primary key, title text not null, year integer, cover blob, extra json, author_id integer references author)",
  );
  return createClient<Database>(server.url, { token: TOKEN, limits: QUICK });
}

test("rows are made, read, changed, replaced and deleted", async (context) => {
  const db = await library(context);
  const cover = new Uint8Array([1, 2, 255]);
  const tides = await db.table("book").insert({ title: "Tides", year: 1999, cover, extra: { pages: [10] } });
  assert.deepEqual([tides.id, tides.cover, tides.extra], [1, cover, { pages: [10] }]);
  assert.equal((await db.table("book").insert([{ title: "Waves" }, { title: 'a, "b"', year: 2004 }])).length, 2);
  assert.deepEqual((await db.table("book").get(1))!.cover, cover);
  assert.equal(await db.table("book").get(9), undefined);
  assert.equal((await db.table("book").update(1, { year: 2000 })).year, 2000);
  assert.equal((await db.table("book").replace(1, { title: "Tides, again" })).year, null);
  await db.table("book").delete(1);
  await assert.rejects(db.table("book").delete(1), (error: TidebaseError) => error.code === "not_found" && error.status === 404);
  await assert.rejects(db.table("book").insert({ title: null as never }), (error: TidebaseError) => error.column === "title");
});

test("a list is filtered, sorted and read in pages", async (context) => {
  const db = await library(context);
  await db.table("book").insert(Array.from({ length: 10 }, (_, n) => ({ title: `Book ${n}`, year: n % 3 === 0 ? null : 2000 + n })));
  const years = db.table("book").gte("year", 2002).lt("year", 2008).order("year", "desc").order("id");
  assert.deepEqual((await years).map(({ year }) => year), [2007, 2005, 2004, 2002]);
  assert.deepEqual((await years.limit(1).offset(1)).map(({ year }) => year), [2005]);
  assert.equal((await db.table("book").is("year", "null")).length, 4);
  assert.equal((await db.table("book").in("title", ["Book 1", 'a, "b"', "Book 2"])).length, 2);
  assert.deepEqual(await db.table("book").like("title", "%1").select("title"), [{ title: "Book 1" }]);
  const first = await db.table("book").limit(7).count().page();
  assert.deepEqual([first.rows.length, first.count], [7, 10]);
  const second = await db.table("book").limit(7).after(first.next!).page();
  assert.deepEqual([second.rows.length, second.next], [3, undefined]);
  assert.throws(() => db.table("book").eq("year", null), (error: TidebaseError) => /is\(column/.test(error.hint!));
});

test("odd names and keys of several columns are found", async (context) => {
  const { db, server } = await world(context);
  await server.query(`create table "a b/c" (x text, y text, n integer, primary key (x, y))`);
  await db.table("a b/c").insert({ x: "1,2", y: "ü/%", n: 3 });
  assert.equal((await db.table("a b/c").get(["1,2", "ü/%"]))!.n, 3);
  await db.table("a b/c").insert({ x: "1,2", y: "ü/%", n: 4 }, { onConflict: ["x", "y"] });
  assert.equal((await db.table("a b/c").get(["1,2", "ü/%"]))!.n, 4);
});
