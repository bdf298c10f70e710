// The list of tables and views in the rail. Choosing one writes a SELECT into the editor and runs nothing.

import { button, element } from "./element.js";
import { explain } from "./words.js";

export const TABLES_SQL =
  "SELECT name, type FROM sqlite_schema WHERE type IN ('table','view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
const OWN_PREFIX = "_tide";

/** Any name is a valid one when quoted. */
export function selectFrom(name) {
  return `SELECT * FROM "${name.replaceAll('"', '""')}" LIMIT 100`;
}

/** By name, the server's own tables last. */
export function sortTables(tables) {
  return [...tables].sort((a, b) => isOwn(a) - isOwn(b) || a.name.localeCompare(b.name));
}

function isOwn({ name }) {
  return name.startsWith(OWN_PREFIX);
}

export class Tables {
  tables = [];
  #list;
  #note;
  #session;
  #choose;

  /** `choose(name)` is called with the table that was chosen. */
  constructor(list, note, session, choose) {
    this.#list = list;
    this.#note = note;
    this.#session = session;
    this.#choose = choose;
  }

  /** The tables that are the user's; the server's own are listed apart. */
  get users() {
    return this.tables.filter((table) => !isOwn(table));
  }

  get own() {
    return this.tables.filter(isOwn);
  }

  /** Reads the list with the session's token; throws the server's failure. */
  async load() {
    this.show(await this.#session.query(TABLES_SQL));
  }

  /** Like `load`, with a failure told in the rail. */
  async refresh() {
    try {
      await this.load();
    } catch (failure) {
      const { what, next } = explain(failure);
      this.#note.textContent = `${what} ${next}`;
    }
  }

  show(tables) {
    this.tables = sortTables(tables);
    this.#note.textContent = this.users.length === 0 ? "No tables yet. Create one with CREATE TABLE in the editor." : "";
    this.#list.replaceChildren(...this.users.map((table) => this.#item(table)), ...this.#ownItems());
  }

  /** Folded away, and as open as it was before. */
  #ownItems() {
    if (this.own.length === 0) return [];
    const open = this.#list.querySelector("details")?.open ?? false;
    const items = element("ul", {}, ...this.own.map((table) => this.#item(table)));
    return [element("li", {}, element("details", { open }, element("summary", {}, "The server's own"), items))];
  }

  #item(table) {
    const view = table.type === "view" ? element("span", { class: "quiet" }, " view") : null;
    const choose = () => this.#choose(table.name);
    return element("li", {}, element("button", { type: "button", onclick: choose, title: table.name }, table.name, view));
  }
}
