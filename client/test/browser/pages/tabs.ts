// A page among others of its browser: what is kept offline, and one list.

import { newId, offline } from "tidebase/offline";
import { db, type Todo } from "./db.js";

const app = document.querySelector("#app")!;
const local = offline(db, "ann");
db.sql<Todo>`SELECT title FROM todo ORDER BY title`.subscribe(({ rows }) => (app.textContent = rows.map(({ title }) => title).join(", ")));
const add = async (title: string) => void (await (await local.table("item").insert({ id: newId(), title })).settled);
Object.assign(globalThis, { db, add });
