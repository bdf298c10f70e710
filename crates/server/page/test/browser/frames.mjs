// What the server says on each WebSocket of a tab, held against the contract that the page builds on.
//
// Hears the frames as Chromium saw them, so it judges the real server and not the page's reading of it.

const JUDGES = { rows: rowsFault, unchanged: unchangedFault, delta: deltaFault, at: atFault, resync: resyncFault };
const ENTRY_PARTS = new Set(["id", "since", "delete", "insert", "update", "place"]);

export class Frames {
  /** Sentences, one for each breach. */
  faults = [];
  /** How many frames of each type came, over all sockets. */
  counts = { hello: 0, rows: 0, unchanged: 0, delta: 0 };
  /** How many queries a delta resumed. */
  resumed = 0;
  #sockets = new Map();

  /** Takes one DevTools event of the Network domain. */
  heard(method, { requestId, response }) {
    if (method === "Network.webSocketCreated") this.#sockets.set(requestId, { at: null, wishes: new Map() });
    const socket = this.#sockets.get(requestId);
    if (method === "Network.webSocketFrameSent") this.#said(socket, JSON.parse(response.payloadData));
    if (method !== "Network.webSocketFrameReceived" || response.opcode !== 1) return;
    const frame = JSON.parse(response.payloadData);
    const fault = this.#judge(socket, frame);
    if (fault) this.faults.push(`${fault}: ${response.payloadData.slice(0, 500)}`);
    this.counts[frame.type] = (this.counts[frame.type] ?? 0) + 1;
    if (frame.type === "delta") this.resumed += frame.queries.filter(({ since }) => since !== undefined).length;
  }

  #said(socket, { id, action, sql, since, sub }) {
    if (action === "subscribe" && sql !== undefined) socket.wishes.set(id, { since, at: null, rows_at: null });
    if (action === "unsubscribe") socket.wishes.delete(sub);
  }

  #judge(socket, frame) {
    if (socket.at === null) return this.#hello(socket, frame);
    return JUDGES[frame.type]?.(socket, frame, socket.wishes.get(frame.id));
  }

  #hello(socket, { type, protocol, history, revision }) {
    socket.at = revision;
    if (type !== "hello") return "the first frame is no hello";
    const fits = protocol === 1 && typeof history === "string" && Number.isInteger(revision);
    return fits ? undefined : "this hello is not of protocol 1";
  }
}

function rowsFault(socket, { revision, done }, wish) {
  if (!wish) return;
  if (wish.at !== null) return "rows came for a query that has them, without a resync";
  const fault = wish.rows_at === null ? revision !== socket.at : revision !== wish.rows_at;
  wish.rows_at = revision;
  if (done) Object.assign(wish, { at: revision, rows_at: null, since: undefined });
  if (fault) return `rows came while the socket stood at ${socket.at}`;
}

function unchangedFault(socket, { revision }, wish) {
  if (!wish) return;
  const fault = !wish.since || revision !== socket.at;
  Object.assign(wish, { at: revision, since: undefined });
  if (fault) return `"unchanged" came while the socket stood at ${socket.at}`;
}

function deltaFault(socket, { from, to, queries }) {
  const stood = socket.at;
  socket.at = to;
  if (from !== stood) return `a delta came while the socket stood at ${stood}`;
  if (!(to >= from) || !Array.isArray(queries)) return "a delta is malformed";
  for (const entry of queries) {
    const wish = socket.wishes.get(entry.id);
    const unknown = Object.keys(entry).find((name) => !ENTRY_PARTS.has(name));
    if (unknown) return `a delta has the unknown part ${unknown}`;
    if (wish && wish.at === null && entry.since === undefined) return "a delta came before the rows were whole";
    if (wish && wish.at === null && entry.since !== wish.since?.revision) return "a delta resumes from somewhere else";
    if (wish) Object.assign(wish, { at: to, since: undefined });
  }
}

function atFault(socket, { revision }) {
  const stood = socket.at;
  socket.at = revision;
  if (!(revision >= stood)) return `the socket went back from ${stood}`;
}

function resyncFault(_socket, _frame, wish) {
  if (wish) Object.assign(wish, { at: null, rows_at: null, since: undefined });
}
