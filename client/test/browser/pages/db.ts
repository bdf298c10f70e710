// What all pages begin with: the client of the server that the address names, with short pauses.

import { createClient } from "tidebase";

const server = new URLSearchParams(location.search).get("server")!;

export const db = createClient(server, { token: "let-me-in-please", limits: { pauseMin: 5, pauseMax: 50 } });

export interface Todo {
  id: number;
  title: string;
  done: number;
}

/** A test has something to say to the page. What is returned ends the listening. */
export function told(name: string, call: (value: any) => void): () => void {
  const listener = (event: Event) => call((event as CustomEvent).detail);
  addEventListener(name, listener);
  return () => removeEventListener(name, listener);
}
