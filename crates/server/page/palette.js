// Ctrl/Cmd-K: one field that finds tables, recent queries and actions.
//
// Takes whatever `items()` offers when it opens; what an item does is its own business.

import { element } from "./element.js";

const SHOWN_MAX = 50;

/** Items whose words all occur, those that begin with what was typed first. An item is `{kind, name, act}`. */
export function find(items, typed) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const found = items.filter(({ kind, name }) => {
    const text = `${name} ${kind}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const begins = ({ name }) => name.toLowerCase().startsWith(words[0] ?? "");
  return [...found.filter(begins), ...found.filter((item) => !begins(item))].slice(0, SHOWN_MAX);
}

export class Palette {
  #dialog;
  #field;
  #list;
  #none;
  #items;
  #all = [];
  #found = [];
  #chosen = 0;

  constructor({ dialog, field, list, none }, items) {
    this.#dialog = dialog;
    this.#field = field;
    this.#list = list;
    this.#none = none;
    this.#items = items;
    field.addEventListener("input", () => this.#search());
    field.addEventListener("keydown", (event) => this.#keydown(event));
    list.addEventListener("click", (event) => this.#point(event));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  get isOpen() {
    return this.#dialog.open;
  }

  open() {
    if (this.isOpen) return;
    this.#all = this.#items();
    this.#field.value = "";
    this.#search();
    this.#dialog.showModal();
  }

  #search() {
    this.#found = find(this.#all, this.#field.value);
    this.#none.hidden = this.#found.length > 0;
    this.#list.replaceChildren(...this.#found.map(option));
    this.#choose(0);
  }

  #choose(index) {
    const count = this.#found.length;
    this.#list.children[this.#chosen]?.setAttribute("aria-selected", "false");
    this.#chosen = count === 0 ? 0 : (index + count) % count;
    const node = this.#list.children[this.#chosen];
    node?.setAttribute("aria-selected", "true");
    node?.scrollIntoView({ block: "nearest" });
    if (node) this.#field.setAttribute("aria-activedescendant", node.id);
    else this.#field.removeAttribute("aria-activedescendant");
  }

  #keydown(event) {
    if (event.key === "ArrowDown") this.#choose(this.#chosen + 1);
    else if (event.key === "ArrowUp") this.#choose(this.#chosen - 1);
    else if (event.key === "Enter" && !event.isComposing) this.#act();
    else return;
    event.preventDefault();
  }

  #point(event) {
    const node = event.target.closest("[role=option]");
    if (!node) return;
    this.#choose([...this.#list.children].indexOf(node));
    this.#act();
  }

  #act() {
    const item = this.#found[this.#chosen];
    if (!item) return;
    this.#dialog.close();
    item.act();
  }
}

function option({ kind, name }, index) {
  const attributes = { role: "option", id: `found-${index}`, "aria-selected": "false" };
  return element("li", attributes, element("span", { class: kind === "action" ? "name" : "name data" }, name), element("span", { class: "quiet" }, kind));
}
