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
  let [isReady, problem, told] = [false, "", "none yet"];
  const show = () => {
    const failed = queries.map(({ error }) => (error as Error | undefined)?.message).find(Boolean);
    find("standing").textContent = problem || failed || standing(local, db.connection.state, isReady);
    document.body.classList.toggle("connected", db.connection.state === "open");
    find("lists").classList.toggle("known", queries.every(({ value }) => value));
    const keys = local.pending.map(({ change }) => ("table" in change ? (change.key ?? change.values)!.id : undefined));
    lists.forEach((list, index) => list.show(queries[index]!.value?.rows, new Set(keys)));
    const numbers = local.refused.map(({ number }) => number).join();
    if (numbers === told) return;
    told = numbers;
    find("refused").replaceChildren(...local.refused.map((one) => refusal(one, titleOf, () => keep(local.dismiss(one.number)))));
  };
  /** A write is safe when it is kept. What comes of it later is `pending` or `refused`. */
  const keep = async (written: Promise<unknown>) => {
    problem = await written.then(() => "", (error: Error) => error.message);
    show();
  };
  const offs = [...queries, local, db.connection].map((source) => source.subscribe(show));
  void local.ready.then(() => (isReady = true)).then(show);
  const end = () => {
    for (const off of offs) off();
    for (const query of queries) query.close();
    for (const list of lists) list.show();
    local.close();
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
  const written = Object.fromEntries(new FormData(form)) as { email: string; password: string };
  const way = (event.submitter as HTMLButtonElement).value as "signIn" | "signUp";
  find("wrong").textContent = await me[way](written).then(() => "", (error: Error) => error.message);
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
  const form = event.target as HTMLFormElement;
  const title = String(new FormData(form).get("title")).trim();
  if (title) void here!.keep(here!.todos.insert({ id: newId(), title, done: 0 }));
  form.reset();
};

const keyOf = (part: HTMLElement) => ({ id: part.closest("li")!.dataset.id! });

/** Whoever works by keyboard goes on at the row behind the one that leaves, or before it. */
function leave(part: HTMLElement, written: Promise<unknown>): void {
  const { nextElementSibling, previousElementSibling } = part.closest("li")!;
  const next = nextElementSibling ?? previousElementSibling ?? find("add");
  next.querySelector<HTMLElement>(part.localName)!.focus();
  void here!.keep(written);
}

/** `defaultValue` is the title as it is known: only what somebody has changed is written. */
function rename(title: HTMLTextAreaElement): void {
  title.value = title.value.replace(/\s+/g, " ").trim() || title.defaultValue;
  if (title.value === title.defaultValue) return;
  title.defaultValue = title.value;
  void here!.keep(here!.todos.update(keyOf(title), { title: title.value }));
}

for (const { element } of lists) {
  element.onchange = ({ target }) => {
    if (target instanceof HTMLTextAreaElement) rename(target);
    else if (target instanceof HTMLInputElement) leave(target, here!.todos.update(keyOf(target), { done: target.checked }));
  };
  element.onclick = ({ target }) => {
    if (target instanceof HTMLButtonElement) leave(target, here!.todos.delete(keyOf(target)));
  };
  element.addEventListener("focusout", ({ target }) => {
    if (target instanceof HTMLTextAreaElement) target.value = target.defaultValue;
  });
  element.onkeydown = ({ target, key, isComposing }) => {
    if (!(target instanceof HTMLTextAreaElement) || isComposing) return;
    if (key === "Escape") target.value = target.defaultValue;
    if (key === "Escape" || key === "Enter") target.blur();
  };
}

void navigator.serviceWorker?.register("sw.js").catch(() => {});
