// Topics: watch some, read one, publish to it. Watching goes on while another view is open.
//
// Messages carry no time of their own; the page shows when each arrived here.

import { element } from "./element.js";
import { topicAddress } from "./address.js";
import { wash } from "./grid.js";
import { showFailure, stateMark } from "./marks.js";
import { counted, parseExact, writeExact } from "./value.js";
import { Failure } from "./words.js";

const MESSAGES_MAX = 1000;
const NEAR_END_PIXELS = 40;
const LOOKS_LIKE_JSON = /^[[{"]/;
const NO_MESSAGE = new Failure("invalid", "There is no message yet.", { next: 'Write one, for example {"text":"hello"}.' });
const NO_NAME = new Failure("invalid", "There is no name yet.", { next: "Write one, for example chat." });

/** What was typed, as data: JSON where it is JSON, else the text itself. Half-written JSON is a mistake. */
export function readMessage(typed) {
  const text = typed.trim();
  if (text === "") throw NO_MESSAGE;
  try {
    return parseExact(text);
  } catch (error) {
    if (!LOOKS_LIKE_JSON.test(text)) return typed;
    throw new Failure("invalid", `This looks like JSON and is not: ${error.message}.`);
  }
}

export class Topics {
  #view;
  #live;
  #go;
  /** Topic → {subscription, count, node, draft}. */
  #watched = new Map();
  #open;

  /** `view`: the parts of the page; `go(address)` shows a view. */
  constructor(view, live, go) {
    this.#view = view;
    this.#live = live;
    this.#go = go;
    view.watch.addEventListener("submit", (event) => this.#submitWatch(event));
    view.publish.addEventListener("submit", (event) => this.#submitPublish(event));
    view.message.addEventListener("keydown", (event) => this.#keydown(event));
    view.stop.addEventListener("click", () => this.stop(this.#open));
  }

  get names() {
    return [...this.#watched.keys()];
  }

  /** Shows the list, and one topic of it if named; naming one begins to watch it. */
  show(topic) {
    this.#keepDraft();
    this.#open = topic;
    this.#view.topic.hidden = topic === undefined;
    if (topic !== undefined) this.#showTopic(topic);
    this.#showList();
    const first = topic === undefined ? this.#view.name : this.#view.message;
    first.focus();
  }

  stop(topic) {
    const { subscription } = this.#watched.get(topic);
    this.#live.close(subscription);
    this.#watched.delete(topic);
    this.#go(topicAddress());
  }

  told(subscription, { message, missed }) {
    const watched = this.#watched.get(subscription.topic);
    if (watched?.subscription !== subscription) return;
    if (message) {
      watched.count += 1;
      this.#add(watched, messageItem(message));
    }
    if (missed && !watched.node.lastChild?.matches(".note")) this.#add(watched, missedItem());
    if (subscription.topic === this.#open) this.#showState(watched);
    this.#showList();
  }

  #showTopic(topic) {
    const watched = this.#watched.get(topic) ?? this.#watch(topic);
    const { title, log, empty, message } = this.#view;
    title.textContent = topic;
    message.value = watched.draft;
    log.replaceChildren(empty, watched.node);
    log.scrollTop = log.scrollHeight;
    showFailure(this.#view.publishProblem, null);
    this.#view.published.textContent = "";
    this.#showState(watched);
  }

  #keepDraft() {
    const watched = this.#watched.get(this.#open);
    if (watched) watched.draft = this.#view.message.value;
  }

  #watch(topic) {
    const watched = { subscription: this.#live.watch(topic), count: 0, node: element("ol"), draft: "" };
    this.#watched.set(topic, watched);
    return watched;
  }

  #showState({ subscription, count }) {
    const { state, problem, empty } = this.#view;
    state.replaceChildren(stateMark(subscription.state), ` ${counted(count, "message")}`);
    showFailure(problem, subscription.failure);
    empty.hidden = count > 0;
  }

  #showList() {
    const { list, none } = this.#view;
    none.hidden = this.#watched.size > 0;
    list.replaceChildren(...this.names.map((topic) => this.#listItem(topic)));
  }

  #listItem(topic) {
    const { count } = this.#watched.get(topic);
    const current = topic === this.#open ? "page" : null;
    const words = element("span", { class: "quiet" }, ` ${count.toLocaleString("en")}`);
    return element("li", {}, element("a", { href: topicAddress(topic), "aria-current": current }, topic, words));
  }

  #add(watched, item) {
    const { log } = this.#view;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PIXELS;
    watched.node.append(item);
    if (watched.node.children.length > MESSAGES_MAX) watched.node.firstChild.remove();
    wash(item);
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  #submitWatch(event) {
    event.preventDefault();
    const topic = this.#view.name.value.trim();
    showFailure(this.#view.watchProblem, topic === "" ? NO_NAME : null);
    if (topic === "") return;
    this.#view.name.value = "";
    this.#go(topicAddress(topic));
  }

  async #submitPublish(event) {
    event.preventDefault();
    const { message, published, publishProblem } = this.#view;
    const topic = this.#open;
    const typed = message.value;
    published.textContent = "";
    try {
      const { cursor } = await this.#live.publish(topic, readMessage(typed));
      if (topic !== this.#open) return;
      if (message.value === typed) message.value = "";
      showFailure(publishProblem, null);
      published.textContent = cursor === undefined ? "Published" : `Published at cursor ${cursor}`;
    } catch (failure) {
      if (topic === this.#open) showFailure(publishProblem, failure);
    }
  }

  #keydown(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.#view.publish.requestSubmit();
  }
}

function messageItem({ cursor, data }) {
  const now = new Date();
  const time = element("time", { datetime: now.toISOString() }, now.toLocaleTimeString("en-GB"));
  const where = cursor === undefined ? null : element("span", { class: "quiet" }, `cursor ${cursor}`);
  return element("li", {}, time, where, element("pre", {}, writeExact(data)));
}

function missedItem() {
  return element("li", { class: "note" }, "The connection was away: what was published meanwhile, if anything, is not here.");
}
