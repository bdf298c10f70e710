// The client and nothing else.

import { db, type Todo } from "./db.js";

const app = document.querySelector("#app")!;
db.sql<Todo>`SELECT title FROM todo ORDER BY title`.subscribe(({ rows }) => (app.textContent = rows.map(({ title }) => title).join(", ")));
Object.assign(globalThis, { db });
