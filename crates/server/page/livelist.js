// The list of live queries: one card each, newest first, with its state, its count, its revision and its rows.
//
// A card shows what live.js says is true; it keeps no rows of its own.

import { button, element } from "./element.js";
import { Grid } from "./grid.js";
import { showFailure, stateMark } from "./marks.js";
import { counted } from "./value.js";

export class LiveList {
  #place;
  #empty;
  #live;
  #acts;
  /** Subscription → card. */
  #cards = new Map();
  #opened = 0;

  /** `acts`: `{refused(failure), edit(sql), say(words), emptied()}`. */
  constructor(place, empty, live, acts) {
    this.#place = place;
    this.#empty = empty;
    this.#live = live;
    this.#acts = acts;
  }

  get size() {
    return this.#cards.size;
  }

  keep(sql) {
    this.#opened += 1;
    const subscription = this.#live.keep(sql);
    const card = new Card(`Live query ${this.#opened}`, subscription, {
      close: () => this.#close(subscription),
      edit: () => this.#acts.edit(sql),
      retry: () => this.#live.retry(subscription),
    });
    this.#cards.set(subscription, card);
    this.#place.prepend(card.node);
    this.#empty.hidden = true;
    card.show({});
  }

  told(subscription, news) {
    const card = this.#cards.get(subscription);
    if (!card) return;
    if (subscription.state === "ended" && !card.wasLive) {
      this.#close(subscription);
      this.#acts.refused(subscription.failure);
      return;
    }
    const before = card.state;
    card.show(news);
    if (before !== card.state) this.#acts.say(`${card.label}: ${card.words()}`);
  }

  /** The socket stands at a newer revision, and with it every live query. */
  movedOn() {
    for (const card of this.#cards.values()) card.showFacts();
  }

  closeAll() {
    for (const subscription of [...this.#cards.keys()]) this.#close(subscription);
  }

  #close(subscription) {
    const card = this.#cards.get(subscription);
    const neighbour = card.node.nextElementSibling ?? card.node.previousElementSibling;
    const focused = card.node.contains(document.activeElement);
    this.#live.close(subscription);
    this.#cards.delete(subscription);
    card.node.remove();
    this.#empty.hidden = this.size > 0;
    if (!focused) return;
    if (neighbour) neighbour.querySelector("button:not([hidden])").focus();
    else this.#acts.emptied();
  }
}

class Card {
  wasLive = false;
  state;
  #subscription;
  #facts = element("p", { class: "facts" });
  #note = element("p", { class: "note" }, "No rows yet. They appear here as soon as they are written.");
  #problem = element("div", { class: "problem", hidden: true });
  #retry;
  #grid;

  constructor(label, subscription, { close, edit, retry }) {
    this.label = label;
    this.#subscription = subscription;
    this.#grid = new Grid(label);
    this.#retry = button("Try again", retry, { hidden: true });
    this.node = element(
      "article",
      { class: "card", "aria-label": label },
      element(
        "header",
        {},
        element("h3", {}, element("code", { title: subscription.sql }, subscription.sql)),
        element("div", { class: "row" },
          this.#facts,
          element("div", { class: "buttons" },
            this.#retry,
            button("Edit", edit, { "aria-label": `Edit ${label}` }),
            button("Close", close, { "aria-label": `Close ${label}` }))),
      ),
      this.#problem,
      this.#grid.node,
      this.#note,
    );
  }

  show({ washes }) {
    const { state, failure, result } = this.#subscription;
    this.state = state;
    this.wasLive ||= state === "live";
    const { columns, rows } = result.shown;
    if (columns.length > 0) this.#grid.show({ columns, rows }, washes);
    this.#grid.node.hidden = columns.length === 0;
    this.#note.hidden = state !== "live" || rows.length > 0;
    this.#retry.hidden = state !== "ended";
    this.node.classList.toggle("stale", state !== "live");
    showFailure(this.#problem, failure);
    this.showFacts();
  }

  showFacts() {
    this.#facts.replaceChildren(stateMark(this.#subscription.state), " ", element("span", {}, this.#standing()));
  }

  words() {
    return `${stateMark(this.#subscription.state).lastChild.textContent.trim()}, ${this.#standing()}`;
  }

  #standing() {
    const { result } = this.#subscription;
    const { rows, revision } = result.shown;
    return revision === null ? "" : `${counted(rows.length, "row")} · revision ${revision}`;
  }
}
