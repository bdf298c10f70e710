// Frames that do not fit, which the real server never says: nothing of them is applied, and the next socket goes on from
// what is surely right.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Snapshot, TidebaseError } from "tidebase";
import { client, Script, until, type ScriptedSocket } from "./world/index.js";

const rows = { type: "rows", revision: 1, tag: "t", columns: ["id", "n"], ordered: true, done: true };

async function subscribed(context: TestContext, limits = {}) {
  const script = await Script.start(context);
  const db = client(context, script.url, { limits });
  const told: Snapshot<{ id: number; n: number }>[] = [];
  const errors: TidebaseError[] = [];
  const stop = db.sql<{ id: number; n: number }>`select`.subscribe((snapshot) => told.push(snapshot), { onError: (error) => errors.push(error) });
  const socket = await script.socket(0);
  return { script, db, told, errors, stop, socket };
}

/** The same with two rows, at revision 1. */
async function withRows(context: TestContext) {
  const made = await subscribed(context);
  made.socket.hello();
  const { id } = await made.socket.asked("subscribe");
  made.socket.say({ id, ...rows, rows: [["1", 1, 10], ["2", 2, 20]] });
  await until("the rows", () => made.told.length === 1);
  return { ...made, id };
}

const values = (snapshot: Snapshot<{ n: number }> | undefined) => snapshot?.rows.map(({ n }) => n);

async function resumed(script: Script): Promise<{ socket: ScriptedSocket; since: any }> {
  const socket = await script.socket(1);
  socket.hello(9);
  return { socket, since: (await socket.asked("subscribe")).since };
}

test("a frame with a wrong from is not applied, and the query resumes from where it stood", async (context) => {
  const { script, socket, told, db, id } = await withRows(context);
  socket.say({ type: "delta", from: 3, to: 4, queries: [{ id, delete: ["1"] }] });
  const { socket: next, since } = await resumed(script);
  assert.deepEqual(since, { history: "h", revision: 1, tag: "t" });
  assert.equal(told.length, 1);
  next.say({ type: "delta", from: 9, to: 10, queries: [{ id, since: 1, update: [["2", 2, 21]], place: [["2", 0]] }] });
  await until("the delta", () => told.length === 2);
  assert.deepEqual([values(told[1]), told[1]!.revision], [[21, 10], 10]);
  assert.equal(db.connection.state, "open");
});

const misfits: Record<string, (id: number) => object> = {
  "a delete of a row that is not there": (id) => ({ id, delete: ["7"] }),
  "an update of a row that is not there": (id) => ({ id, update: [["7", 7, 70]] }),
  "an insert of a row that is there": (id) => ({ id, insert: [["1", 1, 10]], place: [["1", 0]] }),
  "an insert without a place": (id) => ({ id, insert: [["3", 3, 30]] }),
  "a place out of reach": (id) => ({ id, insert: [["3", 3, 30]], place: [["3", 5]] }),
  "places out of order": (id) => ({ id, place: [["1", 1], ["2", 0]] }),
  "a place for a row that is not there": (id) => ({ id, place: [["7", 0]] }),
  "another revision than ours": (id) => ({ id, since: 7, delete: ["1"] }),
  "an entry that makes no sense": (id) => ({ id, delete: 5 }),
};

for (const [name, entry] of Object.entries(misfits)) {
  test(`${name}: the result is read anew as a whole, other queries are not touched`, async (context) => {
    const { script, db, socket, told, id } = await withRows(context);
    const other = db.sql<{ n: number }>`other`.live();
    const asked = await until("the other", () => socket.heard.find((frame) => frame.sql === "other"));
    socket.say({ id: asked.id, ...rows, tag: "o", rows: [["1", 1, 5]] });
    await until("its row", () => other.value);
    socket.say({ type: "delta", from: 1, to: 2, queries: [{ id: asked.id, update: [["1", 1, 6]] }, entry(id)] });
    const next = await script.socket(1);
    next.hello(9);
    const again: any[] = await until("both", () => (next.heard.length === 2 ? next.heard : undefined));
    assert.equal(again[0].since, undefined);
    assert.deepEqual(again[1].since, { history: "h", revision: 1, tag: "o" });
    assert.deepEqual([told.length, other.value!.rows[0]!.n], [1, 5], "nothing was told");
    const before = told[0]!.rows;
    next.say({ id, ...rows, revision: 9, rows: [["2", 2, 20], ["1", 1, 11]] });
    await until("the rows", () => told.length === 2);
    assert.deepEqual(values(told[1]), [20, 11]);
    assert.equal(told[1]!.rows[0], before[1], "a row that came again is the same object");
  });
}

test("after resync the old rows stay until the new ones are whole", async (context) => {
  const { script, socket, told, id } = await withRows(context);
  socket.say({ id, type: "resync" }, { type: "at", revision: 5 }, { id, ...rows, revision: 5, rows: [["1", 1, 10]], done: false });
  socket.say({ type: "at", revision: 6 });
  socket.say({ id, ...rows, revision: 5, rows: [["3", 3, 30]] });
  await until("the rows", () => told.length === 2);
  assert.deepEqual([values(told[1]), told[1]!.revision], [[10, 30], 5]);
  // They are at 5 and the socket at 6: the next frame covers the difference, whether it says so or not.
  socket.say({ type: "delta", from: 6, to: 7, queries: [{ id, delete: ["3"] }] });
  await until("the delta", () => told.length === 3);
  assert.equal(script.heard.length, 1, "nothing was wrong");
});

test("rows that are behind their socket are resumed from where they stand themselves", async (context) => {
  const { script, socket, told, id } = await withRows(context);
  socket.say({ id, type: "resync" }, { type: "at", revision: 6 }, { id, ...rows, revision: 5, rows: [] }, { type: "at", revision: 7 });
  await until("the rows", () => told.length === 2);
  socket.stream.destroy();
  assert.equal((await resumed(script)).since.revision, 5);
});

test("a message that comes again is told once", async (context) => {
  const script = await Script.start(context);
  const db = client(context, script.url);
  const heard: unknown[] = [];
  context.after(db.topic("radio").subscribe(({ data }) => heard.push(data)));
  const socket = await script.socket(0);
  socket.hello();
  const { id } = await socket.asked("subscribe");
  const message = { id, type: "message", topic: "radio" };
  socket.say({ ...message, cursor: 1, data: "a" }, { ...message, cursor: 1, data: "a" }, { ...message, cursor: 2, data: "b" });
  await until("the second", () => heard.length >= 2);
  assert.deepEqual(heard, ["a", "b"]);
});

test("rows that were cut off are asked for anew as a whole", async (context) => {
  const { script, socket, told } = await subscribed(context);
  socket.hello();
  const { id } = await socket.asked("subscribe");
  socket.say({ id, ...rows, rows: [["1", 1, 10]], done: false });
  socket.stream.destroy();
  const { socket: next, since } = await resumed(script);
  assert.equal(since, undefined);
  next.say({ id, ...rows, revision: 9, rows: [["1", 1, 11]] });
  await until("the rows", () => told.length === 1);
  assert.deepEqual(values(told[0]), [11]);
});

test("rows that come again as they were are no news", async (context) => {
  const { socket, told, id } = await withRows(context);
  const same = [["1", 1, 10], ["2", 2, 20]];
  socket.say({ id, type: "resync" }, { type: "at", revision: 5 }, { id, ...rows, revision: 5, rows: same });
  socket.say({ type: "delta", from: 5, to: 6, queries: [{ id, delete: ["1"] }] });
  await until("the delta", () => told.length >= 2);
  assert.deepEqual(told.map(({ revision }) => revision), [1, 6]);
});

test("unchanged means that nothing is told again", async (context) => {
  const { script, socket, told, id } = await withRows(context);
  socket.stream.destroy();
  const { socket: next } = await resumed(script);
  next.say({ id, type: "unchanged", revision: 9 }, { type: "delta", from: 9, to: 10, queries: [{ id, delete: ["1"] }] });
  await until("the delta", () => told.length === 2);
  assert.deepEqual(values(told[1]), [20]);
});

test("kinds of frames that are not known, and queries that are no more, are passed over", async (context) => {
  const { script, socket, told, id } = await withRows(context);
  socket.say({ type: "tide", height: 3 }, { id: 77, type: "rows" }, { type: "delta", from: 1, to: 2, queries: [{ id: 77, delete: ["x"] }] });
  socket.say({ type: "delta", from: 2, to: 3, queries: [{ id, delete: ["1"] }] });
  await until("the delta", () => told.length === 2);
  assert.equal(script.heard.length, 1);
});

for (const odd of ["no JSON", "null", '{"type":"delta"}', '{"type":"error","error":"What?","code":"invalid"}']) {
  test(`${odd}: another socket is opened, and what is there stays`, async (context) => {
    const { script, socket, told } = await withRows(context);
    socket.say(odd);
    const { since } = await resumed(script);
    assert.equal(since.revision, 1);
    assert.equal(told.length, 1);
  });
}

test("another protocol ends everything with an error that says so", async (context) => {
  const { socket, errors, db } = await subscribed(context);
  socket.hello(1, 2);
  await until("the error", () => errors.length === 1);
  assert.deepEqual([errors[0]!.code, db.connection.state], ["unsupported", "idle"]);
});

test("a socket without a hello, and one that falls silent, is given up for another", async (context) => {
  const { script, socket, db } = await subscribed(context, { answerTime: 30, silenceTime: 30 });
  const second = await script.socket(1);
  assert.deepEqual(socket.heard, []);
  second.hello();
  await second.asked("ping");
  await script.socket(2);
  assert.equal((db.connection.error as TidebaseError).code, "timeout");
});

test("a ping that is answered keeps the socket", async (context) => {
  const { script, socket } = await subscribed(context, { answerTime: 1000, silenceTime: 20 });
  socket.hello();
  for (let round = 0; round < 3; round++) {
    const { id } = await until("a ping", () => socket.heard.filter(({ action }) => action === "ping")[round]);
    socket.say({ id, type: "result", result: true });
  }
  assert.equal(script.heard.length, 1);
});

test("a server that restarts is given the time it asks for", async (context) => {
  const { script, socket } = await subscribed(context);
  socket.hello();
  const before = performance.now();
  socket.close(1012, "restarting; retry in 1 s");
  await script.socket(1);
  assert.ok(performance.now() - before >= 990);
});

test("a subscription that the server is too busy for is asked for again", async (context) => {
  const { socket, told, errors } = await subscribed(context);
  socket.hello();
  const { id } = await socket.asked("subscribe");
  socket.say({ id, type: "error", error: "Too much.", code: "too_many" });
  await until("again", () => socket.heard.length === 2);
  socket.say({ id, ...rows, rows: [["1", 1, 10]] });
  await until("the rows", () => told.length === 1);
  assert.deepEqual(errors, []);
});

test("what ends with the subscription's own fault is not asked for again", async (context) => {
  const { socket, errors, script } = await subscribed(context);
  socket.hello();
  const { id } = await socket.asked("subscribe");
  socket.say({ id, type: "error", error: "It takes too long.", code: "timeout" });
  await until("the error", () => errors.length === 1);
  assert.equal(errors[0]!.message, "It takes too long.");
  assert.equal(script.heard[0]!.length, 1);
});
