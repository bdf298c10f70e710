// The editor: SQL in, run once over HTTP or kept live. Mistakes stand right under it, in SQLite's own words.
//
// The list of live queries is livelist.js; this file only hands SQL to it.

import { Grid } from "./grid.js";
import { showFailure } from "./marks.js";
import { counted } from "./value.js";
import { Failure } from "./words.js";

const CHANGES_TABLES = /\b(create|drop|alter)\b/i;
const NOTHING_WRITTEN = new Failure("invalid", "There is no SQL yet.", { next: "Write some above, or choose a table." });
const STOPPED = new Failure("timeout", "Stopped waiting. The server may still carry it out.", {
  next: "Look at the data before you run it again.",
});

export class Editor {
  #view;
  #session;
  #acts;
  #waiting = null;
  #grid = new Grid("Result");

  /**
   * `view`: the parts of the page, `{text, run, keep, problem, status, result, resultNote}`. `acts`:
   * `{keepLive(sql), chosen(sql), tablesChanged()}`.
   */
  constructor(view, session, acts) {
    this.#view = view;
    this.#session = session;
    this.#acts = acts;
    view.result.append(this.#grid.node);
    view.run.addEventListener("click", () => (this.#waiting ? this.#waiting.abort() : this.run()));
    view.keep.addEventListener("click", () => this.keepLive());
    view.text.addEventListener("keydown", (event) => this.#keydown(event));
  }

  get sql() {
    return this.#view.text.value.trim();
  }

  /** Replaces the SQL in a way that the browser's undo can take back. */
  write(sql) {
    const { text } = this.#view;
    if (text.value === sql) return;
    text.focus();
    text.select();
    if (!document.execCommand("insertText", false, sql)) text.value = sql;
    this.fail(null);
  }

  focus() {
    this.#view.text.focus();
  }

  async run() {
    if (this.#waiting || !this.#ready()) return;
    const sql = this.sql;
    this.#acts.chosen(sql);
    this.#wait(new AbortController());
    try {
      const answer = await this.#session.queryRaw(sql, this.#waiting.signal);
      this.#show(answer);
      if (CHANGES_TABLES.test(sql)) this.#acts.tablesChanged();
    } catch (failure) {
      this.#clear();
      this.fail(failure.name === "AbortError" ? STOPPED : failure);
    } finally {
      this.#wait(null);
    }
  }

  /** The live query takes the place of the last result, right under the editor. */
  keepLive() {
    if (!this.#ready()) return;
    this.#clear();
    this.#acts.chosen(this.sql);
    this.#acts.keepLive(this.sql);
  }

  /** Shows a failure under the editor, or clears it. */
  fail(failure) {
    const { text, problem, status } = this.#view;
    showFailure(problem, failure);
    text.setAttribute("aria-invalid", Boolean(failure));
    if (failure) status.textContent = "";
  }

  say(words) {
    this.#view.status.textContent = words;
  }

  /** What is shown belongs to other SQL than the last. */
  #clear() {
    this.#view.result.hidden = true;
    this.say("");
  }

  #ready() {
    this.fail(this.sql === "" ? NOTHING_WRITTEN : null);
    if (this.sql === "") this.focus();
    return this.sql !== "";
  }

  #wait(controller) {
    const { run, status } = this.#view;
    this.#waiting = controller;
    run.textContent = controller ? "Stop waiting" : "Run";
    if (controller) status.textContent = "Running";
  }

  #show({ result, revision, elapsed_milliseconds }) {
    const { columns, rows, meta } = result;
    const { result: place, resultNote: note } = this.#view;
    const keyed = rows.map((row, index) => [index, ...row]);
    place.hidden = columns.length === 0;
    this.#grid.show({ columns, rows: keyed });
    note.hidden = rows.length > 0 || columns.length === 0;
    this.say([...happened(columns, rows, meta), took(elapsed_milliseconds), at(revision)].filter(Boolean).join(" · "));
  }

  #keydown(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (event.shiftKey) this.keepLive();
    else this.run();
  }
}

function happened(columns, rows, meta = {}) {
  const written = meta.rows_written > 0 ? `${counted(meta.rows_written, "row")} written` : null;
  if (columns.length === 0) return ["Done", written];
  return [counted(rows.length, "row"), written];
}

function took(milliseconds) {
  return milliseconds < 1000 ? `${Math.max(1, Math.round(milliseconds))} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

function at(revision) {
  return revision ? `revision ${revision}` : null;
}
