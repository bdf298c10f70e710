// One cell, read whole: under the grid, following the active cell until it is closed.

import { button, element } from "./element.js";
import { describe } from "./value.js";

const CHARACTERS_MAX = 100_000;

export class Cell {
  #name = element("strong");
  #note = element("span", { class: "quiet" });
  #text = element("pre", { tabindex: "0", role: "region", "aria-label": "Whole value" });
  #leave;
  #column;
  #value;

  node = element(
    "section",
    { class: "cell", "aria-label": "Cell", hidden: true },
    element("p", {}, this.#name, " ", this.#note, button("Close", () => this.close())),
    this.#text,
  );

  /** `leave` takes the focus back when the pane closes. */
  constructor(leave) {
    this.#leave = leave;
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
  }

  show(column, value) {
    if (column === this.#column && value === this.#value) return;
    this.#column = column;
    this.#value = value;
    if (!this.node.hidden) this.#write();
  }

  open() {
    if (this.#column === undefined) return;
    this.node.hidden = false;
    this.#write();
  }

  /** True if it was open. */
  close() {
    if (this.node.hidden) return false;
    this.node.hidden = true;
    this.#leave();
    return true;
  }

  #write() {
    const { kind, full, note } = describe(this.#value);
    const cut = full.length > CHARACTERS_MAX;
    this.#name.textContent = this.#column;
    this.#note.textContent = cut ? `${note}, the first ${CHARACTERS_MAX.toLocaleString("en")} characters shown` : note;
    this.#text.className = kind;
    this.#text.textContent = kind === "null" ? "NULL" : full.slice(0, CHARACTERS_MAX);
  }
}
