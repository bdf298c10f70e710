// A to-do list that works without a network: two live queries, and writes that are kept here until the server has them.

import { createClient } from "tidebase";
import { auth, type User } from "tidebase/auth";
import { newId, offline } from "tidebase/offline";
import { List, type Todo } from "./list.js";
import { changes, refusal, standing } from "./words.js";

/** Where Tidebase is: build.mjs writes it in. */
declare const SERVER: string;

const find = <Kind extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as Kind;
const lists = [new List(find("open")), new List(find("done"))];
const titleOf = (id: unknown) => lists.map((list) => list.row(String(id))?.title).find(Boolean);
const db = createClient(SERVER);
const me = auth(db);
let here: ReturnType<typeof enter> | undefined;

/** What one user sees and does here, until `end`. */
function enter({ id: user }: User) {
  const local = offline(db, user);
  const queries = [
    db.sql<Todo>`SELECT id, title, done FROM todo WHERE done = 0 ORDER BY id DESC`.live(),
    db.sql<Todo>`SELECT id, title, done FROM todo WHERE done = 1 ORDER BY id DESC`.live(),
  ];
  let [isReady, problem] = [false, ""];
  const show = () => {
    const error = queries.find(({ error }) => error)?.error as Error | undefined;
    find("standing").textContent = problem || error?.message || standing(local, db.connection.state, isReady);
    document.body.classList.toggle("connected", db.connection.state === "open");
    find("lists").classList.toggle("known", queries.every(({ value }) => value));
    const keys = local.pending.map(({ change }) => ("table" in change ? (change.key ?? change.values)!.id : undefined));
    lists.forEach((list) => list.mark(new Set(keys)));
    find("refused").replaceChildren(
      ...local.refused.map((one) => refusal(one, titleOf, () => keep(local.dismiss(one.number)))),
    );
  };
  /** A write is safe when it is kept. What comes of it later is `pending` or `refused`. */
  const keep = async (written: Promise<unknown>) => {
    problem = await written.then(() => "", (error: Error) => error.message);
    show();
  };
  const ends = [local.subscribe(show), db.connection.subscribe(show)];
  queries.forEach((query, index) => query.subscribe((value) => lists[index]!.show(value?.rows ?? [])));
  queries.forEach((query) => ends.push(query.subscribe(show)));
  void local.ready.then(() => ((isReady = true), show()));
  const end = () => {
    ends.forEach((end) => end());
    queries.forEach((query) => query.close());
    local.close();
    lists.forEach((list) => list.show([]));
  };
  return { user, local, todos: local.table("todo"), keep, end };
}

// Called for what other tabs do, too: who signs in or out there does so here.
me.subscribe((user) => {
  if (here && here.user === user?.id) return;
  here?.end();
  here = user && enter(user);
  find("enter").hidden = Boolean(user);
  find("lists").hidden = find("leave").hidden = !user;
  find("who").textContent = user?.email ?? "";
  find("leave").textContent = "Sign out";
});

find<HTMLFormElement>("enter").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target as HTMLFormElement;
  const { email, password } = Object.fromEntries(new FormData(form)) as { email: string; password: string };
  const way = (event.submitter as HTMLButtonElement).value as "signIn" | "signUp";
  find("wrong").textContent = await me[way]({ email, password }).then(() => "", (error: Error) => error.message);
  if (me.user) form.reset();
};

// What waits would be lost with what is kept, so that is asked for once more.
find("leave").onclick = async () => {
  const waiting = here!.local.pending.length;
  const words = waiting ? `Sign out and lose ${changes(waiting)}` : "Sign out";
  if (find("leave").textContent !== words) return void (find("leave").textContent = words);
  await here!.local.clear();
  await me.signOut();
};

find<HTMLFormElement>("add").onsubmit = (event) => {
  event.preventDefault();
  const input = find("add").querySelector("input")!;
  const title = input.value.trim();
  if (title) void here!.keep(here!.todos.insert({ id: newId(), title, done: 0 }));
  input.value = "";
};

for (const { element } of lists) {
  const idOf = (part: HTMLElement) => part.closest<HTMLElement>("li")!.dataset.id!;
  /** Whoever works by keyboard goes on at the row behind the one that leaves, or before it. */
  const leave = (part: HTMLElement, selector: string) => {
    const row = part.closest("li")!;
    const next = (row.nextElementSibling ?? row.previousElementSibling)?.querySelector<HTMLElement>(selector);
    (next ?? find("add").querySelector("input")!).focus();
  };
  element.onchange = ({ target }) => {
    const box = target as HTMLInputElement;
    void here!.keep(here!.todos.update({ id: idOf(box) }, { done: box.checked }));
    leave(box, "input");
  };
  element.onclick = ({ target }) => {
    const button = target as HTMLElement;
    if (!button.matches("button")) return;
    void here!.keep(here!.todos.delete({ id: idOf(button) }));
    leave(button, "button");
  };
  // Only what is changed is written: somebody else may have given it another title meanwhile.
  let before = "";
  element.addEventListener("focusin", ({ target }) => (before = (target as HTMLElement).textContent!));
  element.addEventListener("focusout", ({ target }) => {
    const title = target as HTMLElement;
    if (!title.matches(".title")) return;
    const [id, text] = [idOf(title), title.textContent!.replace(/\s+/g, " ").trim()];
    const isChanged = text !== "" && text !== before;
    title.textContent = isChanged ? text : (titleOf(id) ?? before);
    if (isChanged) void here!.keep(here!.todos.update({ id }, { title: text }));
  });
  element.onkeydown = (event) => {
    const title = event.target as HTMLElement;
    const isOver = event.key === "Escape" || event.key === "Enter";
    if (!isOver || event.isComposing || !title.matches(".title")) return;
    event.preventDefault();
    if (event.key === "Escape") title.textContent = before;
    title.blur();
  };
}

void navigator.serviceWorker?.register("sw.js").catch(() => {});
