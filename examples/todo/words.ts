// How things stand, in words.

import type { ConnectionState } from "tidebase";
import type { Offline } from "tidebase/offline";
import { copy } from "./list.js";

const FLEETING = " This browser keeps nothing for this page: what waits is lost when you close it.";
export const changes = (count: number) => (count === 1 ? "1 change" : `${count} changes`);

export function standing({ pending, isDurable }: Offline, state: ConnectionState, isReady: boolean): string {
  const count = pending.length;
  const here = count ? `Sending ${changes(count)} …` : "Everything is saved.";
  const apart = count ? `${changes(count)} ${count === 1 ? "waits" : "wait"} for the network.` : "No network. What you change is kept here and sent later.";
  return (state === "open" ? here : apart) + (isReady && !isDurable ? FLEETING : "");
}

const UNDONE = { insert: "was not added", upsert: "was not added", update: "was not changed", delete: "was not deleted" };

/** What the server will not carry out, and why. */
export function refusal({ change, error }: Offline["refused"][number], titleOf: (id: unknown) => unknown, dismiss: () => void): Node {
  const item = copy("refusal");
  const [what, undone, why] = item.querySelectorAll("q, strong, span");
  what!.textContent = "table" in change ? String(change.values?.title ?? titleOf(change.key?.id) ?? "An item") : "A change";
  undone!.textContent = "table" in change ? `${UNDONE[change.op]}.` : "was not carried out.";
  why!.textContent = error.message;
  item.querySelector("button")!.onclick = dismiss;
  return item;
}
