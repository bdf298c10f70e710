// What is laid over a result, against the plain way: all rows of the table, written to, then asked and sorted.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Base } from "../dist/live/frame.js";
import type { Result } from "../dist/live/result.js";
import { settled } from "../dist/offline/fields.js";
import type { Mutation, Patch, Values } from "../dist/offline/mutation.js";
import { compare as compareValues, lay } from "../dist/offline/overlay.js";
import { OfflineQuery } from "../dist/offline/query.js";

interface Row {
  id: number;
  title: string | null;
  done: number;
}

const COLUMNS = ["id", "title", "done"] as const;

function rolls(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => (state = (Math.imul(state, 1103515245) + 12345) >>> 1) % sides;
}

/** SQLite's order, of what is used here. */
const compare = (a: any, b: any) => (a === b ? 0 : a === null ? -1 : b === null ? 1 : a < b ? -1 : 1);

function asked(table: Iterable<Row>, { where, order, limit }: Base): Row[] {
  const fits = (row: any) =>
    where!.every(([column, how, ...values]) => values.some((value) => (value === null ? how === "is" && row[column] === null : row[column] === value)));
  const rows = [...table].filter(fits);
  rows.sort((a: any, b: any) => {
    for (const [column, isDescending] of order ?? []) {
      const by = compare(a[COLUMNS[column]!], b[COLUMNS[column]!]);
      if (by !== 0) return isDescending ? -by : by;
    }
    return compare(a.id, b.id);
  });
  return limit === undefined ? rows : rows.slice(0, limit);
}

function change(table: Map<number, Row>, { op, key, values }: Patch): void {
  const id = Number((key ?? values)!.id);
  const there = table.get(id);
  if (op === "delete") table.delete(id);
  else if (there) table.set(id, { ...there, ...(values as Partial<Row>) });
  else if (op !== "update") table.set(id, { id, title: null, done: 0, ...(values as Partial<Row>) });
}

function patch(roll: (sides: number) => number): Patch {
  const id = roll(8);
  const title = roll(5) ? "abcde"[roll(5)]! : null;
  const values = [{ title }, { done: roll(2) }, { title, done: roll(2) }][roll(3)]!;
  switch (roll(4)) {
    case 0:
      return { table: "T", op: "delete", key: { ID: id } as Values } as Patch;
    case 1:
      return { table: "t", op: "update", key: { id }, values };
    default:
      return { table: "t", op: roll(2) ? "insert" : "upsert", values: { id, title, done: roll(2) } };
  }
}

test("what is shown is what the query would give of the table with all writes in it", () => {
  const wheres: Base["where"][] = [[], [["done", "=", 0]], [["done", "=", 1], ["title", "is", "a", null]], [["title", "=", "a", "b", null]]];
  const orders: Base["order"][] = [[[0, false]], [[1, false], [0, false]], [[1, true], [0, false]], [[2, true], [1, false], [0, false]]];
  for (let seed = 1; seed <= 4000; seed++) {
    const roll = rolls(seed * 7919);
    const limit = roll(4) === 0 ? { limit: 20 } : {};
    const base: Base = { table: "t", key: ["id"], columns: [...COLUMNS], where: wheres[roll(4)]!, order: orders[roll(4)]!, ...limit };
    const table = new Map<number, Row>();
    for (let id = 0; id < roll(8); id++) table.set(id, { id, title: roll(5) ? "abcde"[roll(5)]! : null, done: roll(2) });
    const rows = asked(table.values(), base);
    const result = { columns: [...COLUMNS], isOrdered: true, tag: "", base, keys: [], rows } as unknown as Result<Row>;
    const whole = new Map(table);
    const elsewhere = (_: string, id: unknown) => whole.get(id as number) as Values | undefined;
    const patches = Array.from({ length: roll(6) }, () => patch(roll));
    const mutations: Mutation[] = patches.map((change, number) => ({ number, change, madeAt: 0 }));
    const before = new Map();
    const earlier = lay(result, mutations.slice(0, roll(6)), elsewhere, before);
    const shown = lay(result, mutations, elsewhere, before);
    for (const one of patches) change(table, one.op === "delete" ? { ...one, key: { id: (one.key as any).ID } } : one);
    assert.deepEqual(shown, asked(table.values(), base), JSON.stringify({ seed, base, rows, patches }));
    if (patches.length === 0) assert.equal(shown, rows, "nothing is laid over it");
    const told = new Set(rows);
    const same = new Map(earlier.filter((row) => !told.has(row)).map((row) => [JSON.stringify(row), row]));
    for (const row of shown) if (!told.has(row)) assert.equal(row, same.get(JSON.stringify(row)) ?? row, "what is equal is the same object");
    assert.deepEqual(lay(result, mutations, elsewhere, before).map((row, index) => row === shown[index]), shown.map(() => true));
  }
});

test("values are compared as SQLite does: texts by their characters, and with numbers where they are some", () => {
  const texts = ["", "a", "z", "\u{ff5a}", "\ufffd", "\u{1f600}", "\u{1f600}a", "\u{10ffff}"];
  const byBytes = [...texts].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual([...texts].reverse().sort(compareValues), byBytes);
  const base: Base = { table: "t", key: ["id"], columns: [...COLUMNS], where: [["done", "=", 16]], order: [[0, false]] };
  const result = { columns: [...COLUMNS], isOrdered: true, tag: "", base, keys: [], rows: [{ id: 1, title: "a", done: 16 }] } as unknown as Result;
  const shows = (done: unknown, where: unknown = 16) => {
    const change = { table: "t", op: "update", key: { id: 1n }, values: { done } } as Patch;
    const asked = { ...result, base: { ...base, where: [["done", "=", where]] } } as unknown as Result;
    return lay(asked, [{ number: 1, change, madeAt: 0 }], () => undefined, new Map()).length;
  };
  assert.deepEqual([16, 16n, "16", " 16.0 "].map((done) => shows(done)), [1, 1, 1, 1]);
  assert.deepEqual(["0x10", "", "a16", new Uint8Array([16])].map((done) => shows(done)), [0, 0, 0, 0]);
  assert.deepEqual([shows("", 0), shows(0, ""), shows("", ""), shows("a", "a"), shows(5, "5")], [0, 0, 1, 1, 1]);
});

test("of a document that nobody here knows only what does not build on it is worked out", () => {
  const data = { name: "Ida", n: { $increment: 1 }, tags: { $arrayUnion: ["x"] }, old: { $delete: true }, at: { $serverTimestamp: true } };
  const write = { op: "update", path: "boats/ida", data } as const;
  assert.deepEqual(settled(write, null, "now").data, { name: "Ida", old: data.old, at: "now" });
  assert.deepEqual(settled(write, { n: 5 }, "now").data, { name: "Ida", n: 6, tags: ["x"], old: data.old, at: "now" });
});

test("without a word of where new rows belong they wait, and the others change", () => {
  const rows = [{ id: 1, title: "a", done: 0 }, { id: 2, title: "b", done: 0 }];
  const base: Base = { table: "t", key: ["id"], columns: ["id", null, "done"] };
  const result = { columns: ["id", "shout", "done"], isOrdered: false, tag: "", base, keys: [], rows } as unknown as Result;
  const lays = (...changes: Patch[]) => lay(result, changes.map((change, number) => ({ number, change, madeAt: 0 })), () => undefined, new Map());
  assert.equal(lays({ table: "other", op: "delete", key: { id: 1 } }), rows);
  assert.deepEqual(lays({ table: "t", op: "insert", values: { id: 3, title: "c", done: 0 } }), rows);
  assert.deepEqual(lays({ table: "t", op: "update", key: { id: 1 }, values: { done: true } }), [{ ...rows[0]!, done: 1 }, rows[1]]);
  assert.deepEqual(lays({ table: "t", op: "delete", key: { id: 2 } }), [rows[0]]);
});

test("what was carried out before the server was put back to an older copy is not waited for", () => {
  const told: unknown[] = [];
  const mutation: Mutation = { number: 1, madeAt: 0, change: { table: "t", op: "insert", values: { id: 2, title: "b", done: 0 } } };
  const device = { shown: [mutation], recall: async () => undefined, changed() {}, reached() {}, elsewhere: () => undefined, documentElsewhere: () => null };
  const query = new OfflineQuery({ identity: "q", body: {} }, device as any);
  query.listeners.add({ next: (snapshot: any) => told.push(snapshot.rows.map((row: Row) => row.id)) });
  const base: Base = { table: "t", key: ["id"], columns: [...COLUMNS], where: [] };
  const rows = (revision: number) => ({ id: 1, type: "rows", revision, tag: "t", columns: [...COLUMNS], ordered: false, base, rows: [["1", 1, "a", 0]], done: true });
  query.receive(rows(5) as any, { history: "old", revision: 5 })?.();
  Object.assign(mutation, { applied: 9, history: query.history });
  query.refresh()?.();
  assert.deepEqual(query.latest!.rows.map((row: any) => row.id), [1, 2], "shown until the result has come so far");
  query.receive(rows(6) as any, { history: "new", revision: 6 })?.();
  assert.deepEqual(query.latest!.rows.map((row: any) => row.id), [1]);
  assert.equal(query.hasSeen(mutation), true);
  mutation.history = "new";
  assert.equal(query.hasSeen(mutation), false);
});

test("while the server reads a result anew, what is written shows in it as it was", async () => {
  const mutations: Mutation[] = [];
  const device = {
    shown: mutations,
    elsewhere: () => undefined,
    documentElsewhere: () => null,
    recall: async () => undefined,
    changed: () => {},
    reached: () => {},
  };
  const query = new OfflineQuery<Row>({ identity: "q", body: {} }, device);
  const standing = { history: "h", revision: 3 };
  const base: Base = { table: "t", key: ["id"], columns: [...COLUMNS], where: [], order: [[0, false]] };
  const told = { id: 1, type: "rows" as const, tag: "tag", columns: [...COLUMNS], ordered: true, base };
  query.receive({ ...told, revision: 3, rows: [["1", 1, "a", 0]], done: true }, standing);
  query.receive({ id: 1, type: "resync" }, standing);
  mutations.push({ number: 1, change: { table: "t", op: "insert", values: { id: 2, title: "b", done: 0 } }, madeAt: 0 });
  assert.ok(query.refresh());
  const both = [{ id: 1, title: "a", done: 0 }, { id: 2, title: "b", done: 0 }];
  assert.deepEqual([query.latest!.rows, query.latest!.revision, query.revision], [both, 3, 0]);
  query.receive({ ...told, revision: 4, rows: [["1", 1, "a", 0]], done: false }, standing);
  assert.deepEqual(query.latest!.rows, both, "a part of the rows shows nothing");
  query.receive({ ...told, revision: 4, rows: [["3", 3, "c", 0]], done: true }, standing);
  assert.deepEqual(query.latest!.rows.map(({ id }) => id), [1, 2, 3]);
});
