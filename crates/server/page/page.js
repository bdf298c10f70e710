// The page: makes its parts, tells them of each other, and turns addresses and keys into views.
//
// It is a client like any other, on the public faces only. Each part has its own file; here is only what stands
// between them.

import { readAddress, sqlAddress, topicAddress } from "./address.js";
import { Editor } from "./editor.js";
import { Live } from "./live.js";
import { LiveList } from "./livelist.js";
import { showFailure } from "./marks.js";
import { Palette } from "./palette.js";
import { Recent } from "./recent.js";
import { Session } from "./session.js";
import { Socket } from "./socket.js";
import { Tables, selectFrom } from "./tables.js";
import { Topics } from "./topics.js";
import { Failure } from "./words.js";

const part = (id) => document.getElementById(id);

// What there is

const recent = new Recent();
const session = new Session((failure) => showSignIn(failure));
const tables = new Tables(part("tables"), part("tables-note"), session, openTable);

const live = new Live({
  wanted: () => socket.open(),
  send: (text) => socket.send(text),
  told,
  noticed: (words) => (part("connection").textContent = words),
  restart: (error) => {
    console.warn("Reading again over a new connection:", error);
    socket.restart();
  },
});
const socket = new Socket(live, () => session.ticket(), showConnection);

const editor = new Editor(
  {
    text: part("sql-text"),
    run: part("run"),
    keep: part("keep"),
    problem: part("sql-problem"),
    status: part("sql-status"),
    result: part("result"),
    resultNote: part("result-note"),
  },
  session,
  {
    keepLive: (sql) => list.keep(sql),
    chosen: remember,
    tablesChanged: () => tables.refresh(),
  },
);

const list = new LiveList(part("live"), part("live-note"), live, {
  refused: (failure) => editor.fail(failure),
  edit: (sql) => editor.write(sql),
  say: (words) => (part("live-status").textContent = words),
  emptied: () => editor.focus(),
});

const topics = new Topics(
  {
    watch: part("watch"),
    name: part("topic-name"),
    watchProblem: part("watch-problem"),
    list: part("topic-list"),
    none: part("topic-none"),
    topic: part("topic"),
    title: part("topic-title"),
    state: part("topic-state"),
    problem: part("topic-problem"),
    log: part("topic-log"),
    empty: part("topic-empty"),
    stop: part("topic-stop"),
    publish: part("publish"),
    message: part("message"),
    publishProblem: part("publish-problem"),
    published: part("published"),
  },
  live,
  go,
);

const palette = new Palette(
  { dialog: part("palette"), field: part("palette-field"), list: part("palette-list"), none: part("palette-none") },
  () => [
    ...tables.users.map(tableItem),
    ...recent.queries.map((sql) => ({ kind: "recent query", name: sql, act: () => openSql(sql) })),
    ...topics.names.map((topic) => ({ kind: "topic", name: topic, act: () => go(topicAddress(topic)) })),
    ...actions.map(([name, act]) => ({ kind: "action", name, act })),
    ...tables.own.map(tableItem),
  ],
);

function tableItem({ name, type }) {
  return { kind: type, name, act: () => openTable(name) };
}

const actions = [
  ["Run the SQL", () => editor.run()],
  ["Keep the SQL live", () => editor.keepLive()],
  ["Go to SQL", () => go(sqlAddress())],
  ["Go to topics", () => go(topicAddress())],
  ["Close all live queries", () => list.closeAll()],
  ["Refresh tables", () => tables.refresh()],
  ["Clear recent queries", () => recent.clear()],
  ["Sign out", signOut],
];

// Views and their addresses

function go(address) {
  if (location.hash === address) route();
  else location.hash = address;
}

function route() {
  if (!session.signedIn) {
    showSignIn(null);
    return;
  }
  const { view, sql, topic } = readAddress(location.hash);
  show(view);
  document.title = topic ? `${topic} – Tidebase` : "Tidebase";
  if (view === "topics") {
    topics.show(topic);
    return;
  }
  if (sql !== undefined) editor.write(sql);
  editor.focus();
}

function show(view) {
  part("sign-in").hidden = view !== "sign-in";
  part("rail").hidden = view === "sign-in";
  for (const name of ["sql", "topics"]) {
    part(name).hidden = view !== name;
    if (view === name) part(`go-${name}`).setAttribute("aria-current", "page");
    else part(`go-${name}`).removeAttribute("aria-current");
  }
}

/** The address follows what was run, so that it can be shared and Back returns to it. */
function remember(sql) {
  recent.add(sql);
  const address = sqlAddress(sql);
  if (location.hash !== address) history.pushState(null, "", address);
}

function openTable(name) {
  openSql(selectFrom(name));
}

function openSql(sql) {
  show("sql");
  editor.write(sql);
  go(sqlAddress(sql));
}

function back() {
  const { view, topic } = readAddress(location.hash);
  if (view === "topics") go(topic ? topicAddress() : sqlAddress());
  else editor.focus();
}

// Signing in and out

function showSignIn(failure) {
  show("sign-in");
  showFailure(part("token-problem"), failure);
  part("token").setAttribute("aria-invalid", Boolean(failure));
  part("token").focus();
}

async function signIn(event) {
  event.preventDefault();
  const token = part("token").value.trim();
  try {
    if (token === "") throw NO_TOKEN;
    if (!HEADER_TEXT.test(token)) throw NOT_A_TOKEN;
    await session.signIn(token, () => tables.load());
  } catch (failure) {
    showSignIn(signInFailure(failure));
    part("token").select();
    return;
  }
  part("token").value = "";
  if (live.subscriptions.size > 0) socket.open();
  route();
}

/** What a header can carry; anything else would fail before it is sent, as if the server were away. */
const HEADER_TEXT = /^[\x21-\x7e]+$/;
const NOT_A_TOKEN = new Failure("unauthorized", "This is no token: it has spaces or letters that tokens do not have.");
const NO_TOKEN = new Failure("invalid", "There is no token yet.", {
  next: "Paste it above.",
});

function signInFailure(failure) {
  const next = {
    unauthorized: "Check that all of it was copied.",
    forbidden: "Sign in with the admin token: this one may not read the list of tables.",
  }[failure.code];
  return next ? new Failure(failure.code, failure.message, { next }) : failure;
}

/** A fresh page is the surest way to forget what this one knew. */
function signOut() {
  session.signOut();
  recent.clear();
  history.replaceState(null, "", sqlAddress());
  location.reload();
}

// What the connection says

function told(subscription, news) {
  if (subscription === null) {
    list.movedOn();
    showRevision();
  } else if (subscription.kind === "topic") topics.told(subscription, news);
  else list.told(subscription, news);
}

const CONNECTION = {
  closed: "",
  connecting: "Connecting",
  open: "Connected",
  waiting: "Not connected. Trying again.",
};

function showConnection(state, failure) {
  part("connection").textContent = failure ? `${failure.message} Trying again.` : CONNECTION[state];
  part("connection").dataset.state = state;
  part("try-now").hidden = state !== "waiting";
  showRevision();
}

function showRevision() {
  part("revision").textContent = live.connected ? `· revision ${live.revision}` : "";
}

// Keys

function keydown(event) {
  if (event.defaultPrevented || event.isComposing || !session.signedIn) return;
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) {
    event.preventDefault();
    palette.open();
  } else if (event.key === "Escape" && !palette.isOpen) {
    back();
  }
}

if (/mac|iphone|ipad/i.test(navigator.platform)) {
  for (const key of document.querySelectorAll("kbd[data-mac]")) key.textContent = key.dataset.mac;
}
document.addEventListener("keydown", keydown);
document.addEventListener("visibilitychange", () => document.hidden || socket.tryNow());
addEventListener("online", () => socket.tryNow());
addEventListener("hashchange", route);
part("skip").addEventListener("click", () => part("main").focus());
part("find").addEventListener("click", () => palette.open());
part("try-now").addEventListener("click", () => socket.tryNow());
part("tables-refresh").addEventListener("click", () => tables.refresh());
part("sign-in-form").addEventListener("submit", signIn);
part("sign-out").addEventListener("click", signOut);

if (session.signedIn) tables.refresh();
route();
