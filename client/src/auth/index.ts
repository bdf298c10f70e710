// People who sign in: `auth(db)` gives the client the token of whoever has, keeps the session and renews it in time.
//
//     const me = auth(db);
//     await me.signIn({ email, password });

import type { Core } from "../core.js";
import { Auth, type AuthOptions } from "./auth.js";

const known = new WeakMap<Core, Auth>();

/** Takes over the client's token. There is one for each client: called again it gives the same, and its options have no effect. */
export function auth(db: Core, options: AuthOptions = {}): Auth {
  const made = known.get(db) ?? new Auth(db, options);
  known.set(db, made);
  return made;
}

export type { Auth, AuthEvent, AuthOptions, Credentials } from "./auth.js";
export type { Session, User } from "./session.js";
export type { Place } from "./store.js";
