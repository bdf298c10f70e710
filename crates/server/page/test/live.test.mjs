// The live face without a socket: frames in, what was sent and what is held out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Live } from "../live.js";

function start() {
  const page = { sent: [], told: [], faults: [], wanted: 0 };
  page.live = new Live({
    wanted: () => (page.wanted += 1),
    send: (text) => page.sent.push(JSON.parse(text)),
    told: (subscription, news) => subscription && page.told.push([subscription.id, news]),
    restart: (error) => page.faults.push(error.message),
    noticed: (words) => page.faults.push(words),
  });
  page.hear = (frame) => page.live.receive(JSON.stringify(frame));
  page.hello = (revision, history = "h") => page.hear({ type: "hello", protocol: 1, history, revision });
  page.rows = (id, revision, rows, more = {}) =>
    page.hear({ id, type: "rows", revision, tag: "t", columns: ["v"], ordered: false, rows, done: true, ...more });
  page.delta = (from, to, ...queries) => page.hear({ type: "delta", from, to, queries });
  return page;
}

/** One query, live at revision 10 with rows a:1 b:2. */
function startLive() {
  const page = start();
  const query = page.live.keep("SELECT v FROM t");
  page.hello(10);
  page.rows(query.id, 10, [["a", 1], ["b", 2]]);
  page.sent.length = 0;
  return { page, query };
}

test("a wish waits for hello and is said then", () => {
  const page = start();
  const query = page.live.keep("SELECT 1");
  assert.equal(query.state, "waiting");
  assert.equal(page.wanted, 1);
  page.hello(3);
  assert.deepEqual(page.sent, [{ id: query.id, action: "subscribe", sql: "SELECT 1" }]);
  assert.equal(query.state, "reading");
});

test("rows then deltas keep the result true", () => {
  const { page, query } = startLive();
  page.delta(10, 11, { id: query.id, delete: ["a"], insert: [["c", 3]] });
  assert.deepEqual(query.result.rows, [["b", 2], ["c", 3]]);
  assert.equal(query.result.revision, 11);
  page.delta(11, 14);
  assert.equal(query.result.revision, 14);
  page.hear({ type: "at", revision: 20 });
  assert.equal(query.result.revision, 20);
  assert.deepEqual(page.faults, []);
});

test("a gap asks for a new connection and changes nothing", () => {
  const { page, query } = startLive();
  page.delta(11, 12, { id: query.id, delete: ["a"] });
  assert.equal(page.faults.length, 1);
  assert.deepEqual(query.result.rows, [["a", 1], ["b", 2]]);
  assert.equal(query.result.revision, 10);
});

test("after a lost connection each query resumes from where it stands", () => {
  const { page, query } = startLive();
  page.live.lost(1006);
  assert.equal(query.state, "waiting");
  page.hello(15);
  assert.deepEqual(page.sent, [
    { id: query.id, action: "subscribe", sql: query.sql, since: { history: "h", revision: 10, tag: "t" } },
  ]);
  page.hear({ id: query.id, type: "unchanged", revision: 15 });
  assert.equal(query.state, "live");
  assert.equal(query.result.revision, 15);
});

test("a resumed delta says since which revision it counts", () => {
  const { page, query } = startLive();
  page.live.lost(1006);
  page.hello(15);
  page.delta(15, 16, { id: query.id, since: 10, update: [["a", 9]] });
  assert.deepEqual(query.result.rows, [["a", 9], ["b", 2]]);
  assert.equal(query.state, "live");
  assert.deepEqual(page.faults, []);
});

test("a delta since another revision than ours is refused, and the next answer is whole", () => {
  const { page, query } = startLive();
  page.live.lost(1006);
  page.hello(15);
  page.delta(15, 16, { id: query.id, since: 9, update: [["a", 9]] });
  assert.equal(page.faults.length, 1);
  page.live.lost();
  page.hello(16);
  assert.equal(page.sent.at(-1).since, undefined);
});

test("a resumed query may get rows instead", () => {
  const { page, query } = startLive();
  page.live.lost(1006);
  page.hello(2, "another history");
  page.rows(query.id, 2, [["a", 1]]);
  assert.deepEqual(query.result.rows, [["a", 1]]);
  assert.deepEqual(query.result.since(), { history: "another history", revision: 2, tag: "t" });
});

test("other queries move on between chunks, and the first delta after done covers the difference", () => {
  const { page, query } = startLive();
  const large = page.live.keep("SELECT * FROM large");
  page.rows(large.id, 10, [["x", 1]], { done: false });
  page.delta(10, 12, { id: query.id, delete: ["b"] });
  page.rows(large.id, 10, [["y", 2]]);
  assert.equal(large.result.revision, 10);
  page.hear({ type: "at", revision: 12 });
  assert.equal(large.result.revision, 10, "its difference is still to come");
  page.delta(12, 13, { id: large.id, since: 10, update: [["x", 5]] });
  assert.deepEqual(large.result.rows, [["x", 5], ["y", 2]]);
  assert.equal(large.result.revision, 13);
  assert.deepEqual(page.faults, []);
});

test("a connection lost between chunks resumes from the last whole result", () => {
  const { page, query } = startLive();
  page.live.lost(1006);
  page.hello(15);
  page.rows(query.id, 15, [["z", 1]], { done: false });
  page.live.lost(1006);
  page.hello(16);
  assert.equal(page.sent.at(-1).since.revision, 10);
  page.hear({ id: query.id, type: "unchanged", revision: 16 });
  assert.deepEqual(query.result.rows, [["a", 1], ["b", 2]]);
});

test("resync forgets, and rows follow", () => {
  const { page, query } = startLive();
  page.hear({ id: query.id, type: "resync" });
  assert.equal(query.state, "reading");
  page.rows(query.id, 10, [["b", 3]]);
  assert.deepEqual(page.told.at(-1), [query.id, { washes: new Map([["b", new Set([1])]]) }]);
  assert.equal(query.state, "live");
});

test("one frame over two queries is taken whole or not at all", () => {
  const { page, query } = startLive();
  const other = page.live.keep("SELECT 2");
  page.rows(other.id, 10, [["o", 1]]);
  page.delta(10, 11, { id: query.id, delete: ["a"] }, { id: other.id, delete: ["not here"] });
  assert.equal(page.faults.length, 1);
  assert.deepEqual(query.result.rows, [["a", 1], ["b", 2]]);
  assert.equal(query.result.since().revision, 10);
  assert.equal(other.result.since(), undefined);
});

test("an error ends one subscription, and trying again asks for all of it", () => {
  const { page, query } = startLive();
  page.hear({ id: query.id, type: "error", error: "no such table: t", code: "invalid" });
  assert.equal(query.state, "ended");
  assert.equal(query.failure.message, "no such table: t");
  page.live.lost(1006);
  page.hello(15);
  assert.deepEqual(page.sent, [], "an ended subscription is not said again by itself");
  page.live.retry(query);
  assert.deepEqual(page.sent, [{ id: query.id, action: "subscribe", sql: query.sql }]);
});

test("closing unsubscribes, and late frames of it are ignored", () => {
  const { page, query } = startLive();
  page.live.close(query);
  assert.equal(page.sent[0].action, "unsubscribe");
  assert.equal(page.sent[0].sub, query.id);
  page.delta(10, 11, { id: query.id, delete: ["a"] });
  page.hear({ id: page.sent[0].id, type: "result", result: null });
  assert.deepEqual(page.faults, []);
  assert.equal(page.live.revision, 11);
});

test("a published message resolves with its cursor, and is never sent twice", async () => {
  const { page } = startLive();
  const published = page.live.publish("chat", { n: 9007199254740993n });
  page.hear({ id: page.sent[0].id, type: "result", result: { cursor: 4 } });
  assert.deepEqual(await published, { cursor: 4 });
  const lost = page.live.publish("chat", 1);
  page.live.lost(1006);
  await assert.rejects(lost, { code: "unavailable" });
  await assert.rejects(page.live.publish("chat", 1), { code: "unavailable" });
  page.hello(15);
  assert.deepEqual(page.sent.filter((frame) => frame.action === "publish").length, 2);
});

test("a topic is watched from the last cursor seen, and no message twice", () => {
  const page = start();
  const topic = page.live.watch("chat");
  page.hello(1);
  page.hear({ id: topic.id, type: "message", topic: "chat", cursor: 7, data: "hello" });
  page.live.lost(1006);
  page.hello(1);
  assert.deepEqual(page.sent.at(-1), { id: topic.id, action: "subscribe", topic: "chat", after: 7 });
  page.hear({ id: topic.id, type: "message", topic: "chat", cursor: 7, data: "hello" });
  page.hear({ type: "message", topic: "chat", cursor: 8, data: "again" });
  page.hear({ id: topic.id, type: "resync" });
  const news = page.told.map(([, one]) => one.message?.data ?? (one.missed && "missed")).filter(Boolean);
  assert.deepEqual(news, ["hello", "again", "missed"]);
});

test("an interruption before the first message may have hidden some, and is told", () => {
  const page = start();
  const topic = page.live.watch("chat");
  page.live.lost(1006);
  page.hello(1);
  assert.deepEqual(page.told.filter(([, news]) => news.missed), []);
  page.live.lost(1006);
  page.live.lost(1006);
  page.hello(1);
  assert.deepEqual(page.sent.at(-1), { id: topic.id, action: "subscribe", topic: "chat" });
  assert.deepEqual(page.told.filter(([, news]) => news.missed), [[topic.id, { missed: true }]]);
});

test("a message too large ends what was not answered, and only that", () => {
  const { page, query } = startLive();
  const other = page.live.keep("SELECT 'far too long'");
  page.live.lost(4413);
  assert.equal(query.state, "waiting");
  assert.equal(other.failure.code, "too_large");
});

test("an error without an id is told, and ends nothing", () => {
  const { page, query } = startLive();
  page.hear({ type: "error", error: "not JSON", code: "invalid" });
  assert.equal(query.state, "live");
  assert.equal(page.faults.length, 1);
});
