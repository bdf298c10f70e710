// A grid of rows, of which only those in sight are in the page. Live changes wash; arrow keys walk the cells.
//
// `show` takes rows as result.js keeps them, [key, value, …], and draws once per animation frame however often it is
// called. Rows keep their element by key, so a wash goes on while other rows come and go. Reading a whole cell is
// cell.js's business.

import { Cell } from "./cell.js";
import { element } from "./element.js";
import { describe, same } from "./value.js";

const ROWS_BEYOND_SIGHT = 20;
const ROWS_MEASURED_MAX = 200;
const COLUMN_CHARACTERS_MIN = 4;
const COLUMN_CHARACTERS_MAX = 40;
const ROW_PIXELS_GUESS = 28;
const WASH_MILLISECONDS = 600;

let grids = 0;

export class Grid {
  #columns = [];
  #rows = [];
  #washes = new Map();
  /** Key → {node, row} of every row in the page. */
  #drawn = new Map();
  /** Characters per column; they only grow, so that nothing moves sideways under the reader. */
  #widths = [];
  /** What a column holds, by its first value that is not NULL; its name stands to the right over numbers. */
  #kinds = [];
  #row_pixels = ROW_PIXELS_GUESS;
  #frame = 0;
  /** The cell the keyboard is on: `index` of the row, its `key` to follow it, and `column`. */
  #active = { index: 0, key: undefined, column: 0 };
  #active_id = `cell-${++grids}`;

  #cols = element("colgroup");
  #head = element("tr", { role: "row", "aria-rowindex": "1" });
  #above = element("tr", { role: "presentation", class: "spacer" });
  #below = element("tr", { role: "presentation", class: "spacer" });
  #body = element("tbody", { role: "rowgroup" }, this.#above, this.#below);
  #table = element("table", { role: "presentation" }, this.#cols, element("thead", { role: "rowgroup" }, this.#head), this.#body);
  #scroll = element("div", { class: "grid", role: "grid", tabindex: "0", "aria-readonly": "true" }, this.#table);
  #cell = new Cell(() => this.#scroll.focus());

  node = element("div", { class: "grid-box" }, this.#scroll, this.#cell.node);

  constructor(label) {
    this.#scroll.setAttribute("aria-label", label);
    this.#scroll.addEventListener("scroll", () => this.#drawSoon(), { passive: true });
    this.#scroll.addEventListener("keydown", (event) => this.#keydown(event));
    this.#scroll.addEventListener("copy", (event) => this.#copy(event));
    this.#scroll.addEventListener("click", (event) => this.#point(event));
    this.#scroll.addEventListener("dblclick", () => this.#cell.open());
    new ResizeObserver(() => this.#drawSoon()).observe(this.#scroll);
  }

  /** Shows these rows; `washes` names what changed since the last call: key → cells, or true for the whole row. */
  show({ columns, rows }, washes = new Map()) {
    if (!same(columns, this.#columns)) this.#start(columns);
    this.#rows = rows;
    for (const [key, cells] of washes) this.#remember(key, cells);
    this.#widen();
    this.#drawSoon();
  }

  #start(columns) {
    this.#columns = columns;
    this.#widths = columns.map((name) => clamp(name.length));
    this.#kinds = columns.map(() => undefined);
    this.#head.replaceChildren(...columns.map((name) => element("th", { role: "columnheader", scope: "col", title: name }, name)));
    this.#cols.replaceChildren(...columns.map(() => element("col")));
    for (const { node } of this.#drawn.values()) node.remove();
    this.#drawn.clear();
    this.#active.column = 0;
    this.#scroll.setAttribute("aria-colcount", columns.length);
  }

  /** A hidden page draws nothing, and what changed meanwhile is no news when the reader comes back. */
  #remember(key, cells) {
    if (document.hidden) return;
    const before = this.#washes.get(key);
    if (before === true || cells === true || !before) this.#washes.set(key, before === true ? true : cells);
    else for (const cell of cells) before.add(cell);
  }

  /** Measures rows from all over the result, so that scrolling seldom finds one that needs more room. */
  #widen() {
    const step = Math.max(1, Math.floor(this.#rows.length / ROWS_MEASURED_MAX));
    for (let index = this.#rows.length - 1; index >= 0; index -= step) this.#widenFor(this.#rows[index]);
  }

  #widenFor(row) {
    for (let column = 0; column < this.#columns.length; column += 1) {
      const { kind, line } = describe(row[column + 1]);
      if (kind !== "null") this.#kinds[column] ??= kind;
      this.#widths[column] = Math.max(this.#widths[column], clamp(line.length));
    }
  }

  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const [first, end] = this.#sight();
    this.#scroll.setAttribute("aria-rowcount", this.#rows.length + 1);
    this.#above.style.height = `${first * this.#row_pixels}px`;
    this.#below.style.height = `${(this.#rows.length - end) * this.#row_pixels}px`;
    this.#drawRows(first, end);
    this.#setWidths();
    this.#followActive();
    this.#washes.clear();
    this.#measure();
  }

  #sight() {
    const top = Math.floor(this.#scroll.scrollTop / this.#row_pixels) - ROWS_BEYOND_SIGHT;
    const count = Math.ceil(this.#scroll.clientHeight / this.#row_pixels) + 2 * ROWS_BEYOND_SIGHT;
    const first = Math.max(0, Math.min(top, this.#rows.length - count));
    return [first, Math.min(this.#rows.length, first + count)];
  }

  #setWidths() {
    this.#widths.forEach((characters, column) => {
      this.#cols.children[column].style.width = `calc(${characters}ch + 1.5rem)`;
      this.#head.children[column].classList.toggle("number", this.#kinds[column] === "number");
    });
    const all = this.#widths.reduce((sum, characters) => sum + characters, 0);
    this.#table.style.width = `calc(${all}ch + ${this.#widths.length * 1.5}rem)`;
  }

  #drawRows(first, end) {
    const wanted = this.#rows.slice(first, end);
    const keys = new Set(wanted.map((row) => row[0]));
    for (const [key, { node }] of this.#drawn) {
      if (keys.has(key)) continue;
      node.remove();
      this.#drawn.delete(key);
    }
    let before = this.#above;
    wanted.forEach((row, offset) => {
      const node = this.#drawRow(row);
      node.setAttribute("aria-rowindex", first + offset + 2);
      if (before.nextSibling !== node) before.after(node);
      this.#wash(node, this.#washes.get(row[0]));
      before = node;
    });
  }

  #drawRow(row) {
    const drawn = this.#drawn.get(row[0]) ?? this.#newRow(row[0]);
    if (drawn.row !== row) {
      for (let cell = 1; cell <= this.#columns.length; cell += 1) {
        if (!drawn.row || !same(drawn.row[cell], row[cell])) fill(drawn.node.children[cell - 1], row[cell]);
      }
      drawn.row = row;
      this.#widenFor(row);
    }
    return drawn.node;
  }

  #newRow(key) {
    const cells = this.#columns.map((_name, column) => element("td", { role: "gridcell", "aria-colindex": column + 1 }));
    const drawn = { node: element("tr", { role: "row" }, ...cells), row: null };
    this.#drawn.set(key, drawn);
    return drawn;
  }

  #wash(node, cells) {
    if (!cells) return;
    const washed = cells === true ? [...node.children] : [...cells].map((cell) => node.children[cell - 1]);
    for (const cell of washed) wash(cell);
  }

  /** The text size may not be the one guessed; rows are all of one height, so one tells for all. */
  #measure() {
    const [any] = this.#drawn.values();
    const pixels = any?.node.getBoundingClientRect().height ?? 0;
    if (pixels === 0 || Math.abs(pixels - this.#row_pixels) < 0.01) return;
    this.#row_pixels = pixels;
    this.#drawSoon();
  }

  // The active cell

  #keydown(event) {
    const page = Math.max(1, Math.floor(this.#scroll.clientHeight / this.#row_pixels) - 2);
    const all = Number.MAX_SAFE_INTEGER;
    const far = event.ctrlKey || event.metaKey;
    const steps = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
      PageUp: [-page, 0], PageDown: [page, 0], Home: [far ? -all : 0, -all], End: [far ? all : 0, all],
    };
    const step = steps[event.key];
    if (step) this.#activate(this.#active.index + step[0], this.#active.column + step[1]);
    else if (event.key === "Enter" && !far) this.#cell.open();
    else if (event.key !== "Escape" || !this.#cell.close()) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #point(event) {
    const cell = event.target.closest("td");
    const key = [...this.#drawn].find(([, { node }]) => node === cell?.parentNode)?.[0];
    if (key === undefined) return;
    this.#activate(this.#rows.findIndex((row) => row[0] === key), [...cell.parentNode.children].indexOf(cell));
  }

  #activate(index, column) {
    const active = this.#active;
    active.index = Math.max(0, Math.min(index, this.#rows.length - 1));
    active.column = Math.max(0, Math.min(column, this.#columns.length - 1));
    active.key = this.#rows[active.index]?.[0];
    this.#scrollTo(active.index);
    this.#draw();
    this.#activeNode()?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #scrollTo(index) {
    const { scrollTop, clientHeight } = this.#scroll;
    const top = index * this.#row_pixels;
    const bottom = top + 2 * this.#row_pixels;
    if (top < scrollTop) this.#scroll.scrollTop = top;
    else if (bottom > scrollTop + clientHeight) this.#scroll.scrollTop = bottom - clientHeight;
  }

  /** Rows come and go; the active cell stays on its row, or on the one that took its place. */
  #followActive() {
    const active = this.#active;
    if (active.key === undefined) return;
    if (this.#rows[active.index]?.[0] !== active.key) {
      const moved = this.#rows.findIndex((row) => row[0] === active.key);
      active.index = moved >= 0 ? moved : Math.max(0, Math.min(active.index, this.#rows.length - 1));
      active.key = this.#rows[active.index]?.[0];
    }
    this.#markActive();
  }

  #markActive() {
    const before = this.#scroll.querySelector(".active");
    const node = this.#activeNode();
    if (before !== node) {
      before?.classList.remove("active");
      before?.removeAttribute("id");
      node?.classList.add("active");
      node?.setAttribute("id", this.#active_id);
    }
    if (node) this.#scroll.setAttribute("aria-activedescendant", this.#active_id);
    else this.#scroll.removeAttribute("aria-activedescendant");
    const row = this.#rows[this.#active.index];
    if (row) this.#cell.show(this.#columns[this.#active.column], row[this.#active.column + 1]);
  }

  #activeNode() {
    return this.#drawn.get(this.#active.key)?.node.children[this.#active.column];
  }

  #copy(event) {
    const row = this.#rows[this.#active.index];
    if (!row || this.#active.key === undefined || !getSelection().isCollapsed) return;
    event.clipboardData.setData("text/plain", describe(row[this.#active.column + 1]).full);
    event.preventDefault();
  }
}

/** From the accent to nothing. Colours come from the style sheet, so that light and dark have their own. */
export function wash(node) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const color = getComputedStyle(node).getPropertyValue("--wash");
  if (color === "") return; // Not in the page: nobody sees it.
  node.animate({ backgroundColor: [color, "transparent"] }, { duration: WASH_MILLISECONDS, easing: "ease-out" });
}

function fill(cell, value) {
  const { kind, line } = describe(value);
  cell.className = cell.classList.contains("active") ? `${kind} active` : kind;
  cell.textContent = line;
}

function clamp(characters) {
  return Math.max(COLUMN_CHARACTERS_MIN, Math.min(COLUMN_CHARACTERS_MAX, characters));
}
