// The page: a name, asked once; the rooms; and of those the one that the address names.

import type { Doc } from "tidebase/documents";
import { comeIn, me, rooms } from "./db.js";
import { fill, find, make, tell } from "./page.js";
import { openRoom } from "./room.js";

const [start, name, naming] = [find("#start"), find<HTMLInputElement>("#name"), find<HTMLFormElement>("#new")];
const address = (id: string) => `#${encodeURIComponent(id)}`;
const links = new WeakMap<Doc, HTMLElement>();
let known: readonly Doc<{ name: string }>[] = [];
let opened: string | undefined;
let leave = () => {};

async function begin(as: string): Promise<void> {
  await comeIn(as);
  start.hidden = true;
  find("#chat").hidden = false;
  rooms.orderBy("name").limit(1000).onSnapshot(({ docs }) => show(docs), { onError: tell });
}

function show(docs = known): void {
  known = docs;
  if (!location.hash && docs[0]) return location.replace(address(docs[0].id));
  const room = docs.find(({ id }) => address(id) === location.hash);
  for (const doc of docs) if (!links.has(doc)) links.set(doc, make("a", { href: address(doc.id) }, doc.data.name));
  fill(find("#rooms"), docs.map((doc) => Object.assign(links.get(doc)!, { ariaCurrent: doc === room ? "page" : "false" })));
  document.title = find("h1").textContent = room?.data.name ?? (docs.length ? "No such room" : "No rooms yet");
  find("#write").hidden = !room;
  if (room && room.id === opened) return;
  leave();
  opened = room?.id;
  leave = room ? openRoom(room.id) : () => {};
  if (!room) find("#empty").textContent = "Choose a room, or make one.";
  find("[aria-current=page]")?.scrollIntoView({ inline: "center" });
}

start.onsubmit = (event) => {
  event.preventDefault();
  begin(name.value.trim()).catch(tell);
};
naming.onsubmit = async (event) => {
  event.preventDefault();
  const name = new FormData(naming).get("name")!.toString().trim();
  const room = rooms.doc(name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-"));
  naming.reset();
  await room.set({ name }, { exists: false }).catch((error) => error.code === "conflict" || tell(error)); // or it is there
  location.hash = address(room.id);
};
addEventListener("hashchange", () => show());
if (me.name) begin(me.name).catch(tell);
