// What becomes of the socket, for a sign that says so.

import { useSyncExternalStore } from "react";
import type { Connection, ConnectionState } from "../live/connection.js";

/** What becomes of the socket of a client; a component that uses it is rendered after each change. */
export function useConnection({ connection }: { readonly connection: Connection }): ConnectionState {
  const read = () => connection.state;
  return useSyncExternalStore((changed) => connection.subscribe(changed), read, read);
}
