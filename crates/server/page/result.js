// One live result: the rows of a query at a revision, kept true by deltas.
//
// A row is [key, value, …] as on the wire. Transitions are staged, so that a frame over several queries can be
// taken whole or not at all: `afterDelta` computes, `commit` keeps. live.js decides which frame goes where and
// whether its revision fits; this file knows neither sockets nor the DOM.

import { same } from "./value.js";

/** The server's frames do not fit together; the caller must read again. */
export class Fault extends Error {}

export class Result {
  columns = [];
  ordered = false;
  rows = [];
  /** True when `rows` are the whole result at `revision` of `history`; deltas and `since` need that. */
  complete = false;
  tag = null;
  history = null;
  revision = null;
  #incoming = null;

  /** Rows to show now: the last complete ones, or on first reading those that came so far. */
  get shown() {
    if (this.complete || this.rows.length > 0 || !this.#incoming) return this;
    return this.#incoming;
  }

  /** Takes one `rows` frame; the cells to wash once the last has come, null before. */
  takeRows(frame, history) {
    this.#incoming ??= startOf(frame);
    const incoming = this.#incoming;
    if (frame.revision !== incoming.revision) throw new Fault("One result came in pieces of two revisions.");
    for (const row of frame.rows) incoming.rows.push(row);
    if (!frame.done) return null;
    requireUniqueKeys(incoming.rows);
    const washes = this.rows.length > 0 ? compareRows(this.rows, incoming.rows) : new Map();
    Object.assign(this, incoming, { history, complete: true });
    this.#incoming = null;
    return washes;
  }

  /** Rows that came so far and whose end has not: dropped when the connection is lost or the server says resync. */
  dropIncoming() {
    this.#incoming = null;
  }

  /** Keeps what is shown, and makes sure that the next answer is whole. */
  forget() {
    this.dropIncoming();
    this.complete = false;
  }

  /** The rows and washes after one entry of a delta; nothing is kept until `commit`. */
  afterDelta(entry) {
    if (!this.complete) throw new Fault("A delta came before its rows.");
    return applyDelta(this.rows, entry, this.ordered);
  }

  commit(staged) {
    this.rows = staged.rows;
  }

  since() {
    return this.complete ? { history: this.history, revision: this.revision, tag: this.tag } : undefined;
  }
}

function startOf(frame) {
  const { revision, tag, columns, ordered } = frame;
  return { revision, tag, columns, ordered, rows: [] };
}

function requireUniqueKeys(rows) {
  const keys = new Set(rows.map((row) => row[0]));
  if (keys.size !== rows.length) throw new Fault("Two rows came with one key.");
}

/**
 * `rows` with one delta entry applied: `{rows, washes}`. Deleted and placed rows are taken out, updates happen in
 * place, then each placed row is put at its final index. Washes map a key to the set of changed cells (index into
 * the row), or to true for a new row.
 */
export function applyDelta(rows, entry, ordered) {
  const change = { delete: [], insert: [], update: [], place: [], ...entry };
  const held = heldRows(rows, change);
  const after = new Map();
  const washes = new Map();
  for (const key of change.delete) {
    if (!held.delete(key)) throw new Fault(`A delete names row ${key}, which is not here.`);
  }
  for (const row of change.update) {
    const before = held.get(row[0]);
    if (!before) throw new Fault(`An update names row ${row[0]}, which is not here.`);
    washes.set(row[0], changedCells(before, row));
    after.set(row[0], row);
  }
  for (const row of change.insert) {
    if (held.has(row[0]) || after.has(row[0])) throw new Fault(`An insert names row ${row[0]}, which is here already.`);
    washes.set(row[0], true);
    after.set(row[0], row);
  }
  return { rows: arrange(rows, change, held, after, ordered), washes };
}

/** Results are long and changes short: only the rows that a change names are looked up by key. */
function heldRows(rows, change) {
  const changed = [...change.insert, ...change.update, ...change.place].map(([key]) => key);
  const keys = new Set([...change.delete, ...changed]);
  return new Map(rows.filter((row) => keys.has(row[0])).map((row) => [row[0], row]));
}

function arrange(rows, change, held, after, ordered) {
  const deleted = new Set(change.delete);
  const places = new Map(change.place);
  if (places.size !== change.place.length) throw new Fault("A row was given two places.");
  const unplaced = change.insert.filter((row) => !places.has(row[0]));
  if (ordered && unplaced.length > 0) throw new Fault(`Row ${unplaced[0][0]} was inserted without a place.`);
  const kept = [];
  for (const row of rows) {
    if (!deleted.has(row[0]) && !places.has(row[0])) kept.push(after.get(row[0]) ?? row);
  }
  const placed = [...places].map(([key, index]) => [after.get(key) ?? held.get(key), key, index]);
  return weave(kept.concat(unplaced), placed);
}

/** Places are final indexes in ascending order, so one walk over both lists puts every row where it belongs. */
function weave(rows, placed) {
  if (placed.length === 0) return rows;
  const woven = [];
  let next = 0;
  for (const [row, key, index] of placed) {
    while (woven.length < index && next < rows.length) woven.push(rows[next++]);
    if (!row || woven.length !== index) throw new Fault(`Row ${key} was given place ${index}, which does not fit.`);
    woven.push(row);
  }
  while (next < rows.length) woven.push(rows[next++]);
  return woven;
}

/** Washes for a result that was read again whole. */
export function compareRows(before, after) {
  const held = new Map(before.map((row) => [row[0], row]));
  const washes = new Map();
  for (const row of after) {
    const old = held.get(row[0]);
    const changed = old ? changedCells(old, row) : true;
    if (changed === true || changed.size > 0) washes.set(row[0], changed);
  }
  return washes;
}

function changedCells(before, after) {
  const changed = new Set();
  for (let cell = 1; cell < after.length; cell += 1) {
    if (!same(before[cell], after[cell])) changed.add(cell);
  }
  return changed;
}
