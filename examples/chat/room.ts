// One room, for as long as it is open: its messages, the newest last, who is here and who is typing.

import { serverTimestamp, type Doc } from "tidebase/documents";
import { db, me, rooms, type Message, type Person } from "./db.js";
import { fill, find, make, tell } from "./page.js";

const PAGE = 50;
const TYPING = { again: 2000, over: 4000 }; // told again while it goes on, and over without that: its end may be lost
const [form, field, here, earlier] = [find("#write"), find<HTMLInputElement>("#text"), find("#here"), find("#earlier")];
const and = (names: string[]) => new Intl.ListFormat("en-GB").format(names);

export function openRoom(id: string): () => void {
  const messages = rooms.doc(id).collection<Message>("messages");
  const topic = db.topic<Person & { isTyping: boolean }>(`room/${id}`);
  const over = new AbortController();
  const listening = { signal: over.signal, onError: tell };
  let stop = () => {};
  function read(limit: number): void {
    const cards = new WeakMap<Doc, HTMLElement>();
    let since = Infinity;
    stop();
    stop = messages.orderBy("at", "desc").limit(limit).onSnapshot(({ docs, revision }) => {
      docs.forEach((doc, at) => cards.has(doc) || cards.set(doc, card(doc, docs[at + 1], doc.revision > since)));
      fill(find("#messages"), docs.map((doc) => cards.get(doc)!).reverse());
      find("#empty").textContent = docs.length ? "" : "No messages yet. Write the first one.";
      earlier.hidden = docs.length < limit;
      since = Math.min(since, revision);
    }, listening);
    earlier.onclick = () => read(limit + PAGE);
  }
  let present: { state: Person }[] = [];
  const typing = new Map<string, number>();
  function showPeople(members = present): void {
    present = members;
    const others = new Map(members.map(({ state }) => [state.from, state.name]));
    others.delete(me.from);
    const everybody = others.size ? `${and([...others.values(), "you"])} are here` : "Only you are here";
    here.className = db.connection.state;
    here.textContent = !members.length ? "Connecting…" : here.className === "open" ? everybody : "No connection. Trying again…";
    const typists = [...others].filter(([from]) => typing.has(from)).map(([, name]) => name);
    find("#typing").textContent = typists.length ? `${and(typists)} ${typists.length > 1 ? "are" : "is"} typing…` : "";
  }
  function hear(from: string, isTyping: boolean): void {
    clearTimeout(typing.get(from));
    typing.delete(from);
    if (isTyping) typing.set(from, setTimeout(hear, TYPING.over, from, false));
    if (!over.signal.aborted) showPeople();
  }
  let saidAt = 0;
  function say(isTyping: boolean): void {
    if (db.connection.state !== "open" || (isTyping ? Date.now() - saidAt < TYPING.again : !saidAt)) return;
    saidAt = isTyping ? Date.now() : 0;
    topic.publish({ ...me, isTyping }).catch(() => {}); // nobody waits for it
  }
  field.oninput = () => say(field.value.trim() !== "");
  form.onsubmit = async (event) => {
    event.preventDefault();
    const text = field.value.trim();
    field.value = "";
    say(false);
    tell();
    find("#scroll").scrollTop = 0; // the end: it is laid out from below
    try {
      if (text) await messages.add({ ...me, text, at: serverTimestamp() });
    } catch (error) {
      tell(error as Error);
      field.value ||= text;
    }
  };

  field.focus();
  read(PAGE);
  topic.subscribe(({ data }) => hear(data.from, data.isTyping), listening);
  topic.presence(me, showPeople, listening);
  over.signal.addEventListener("abort", db.connection.subscribe(() => showPeople()));
  return () => {
    say(false);
    over.abort();
    for (const place of ["#messages", "#typing", "#here"]) find(place).replaceChildren();
  };
}

function card({ data }: Doc<Message>, before: Doc<Message> | undefined, isNew: boolean): HTMLElement {
  const kind = data.from === me.from ? "mine" : isNew ? "new" : "";
  const at = new Date(data.at);
  const time = at.toLocaleString([], { weekday: "short", hour: "numeric", minute: "2-digit" });
  const who = make("p", { className: "who", title: at.toLocaleString() }, make("b", {}, kind === "mine" ? "You" : data.name), ` ${time}`);
  const className = `${kind} ${before?.data.from === data.from ? "follows" : ""}`; // whose name need not be shown
  return make("li", { className }, who, make("p", { className: "text" }, data.text));
}
