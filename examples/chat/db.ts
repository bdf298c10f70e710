// The server that this page came from, and who we are there: somebody without an account, under a name of their choice.

import { createClient } from "tidebase";
import { auth } from "tidebase/auth";
import { documents } from "tidebase/documents";

export type Person = Record<"from" | "name", string>;
export type Message = Person & Record<"text" | "at", string>;
export const db = createClient(location.origin);
export const rooms = documents(db).collection<{ name: string }>("rooms");
export const me: Person = { from: "", name: localStorage.getItem("name") ?? "" };

export async function comeIn(name: string): Promise<void> {
  const session = auth(db);
  me.from = (session.user ?? (await session.signInAnonymously())).id;
  localStorage.setItem("name", (me.name = name));
  // The session has ended, or another tab has begun one: we begin again.
  session.subscribe((user) => user?.id !== me.from && location.reload());
}
