// What each kind of frame does: to what has been said, to the wishes, to the requests in flight. All of a frame or, where
// it does not fit, nothing: then it throws a Fault. What is to be told comes back as functions, to be called afterwards.

import { told, TidebaseError } from "../error.js";
import { Fault } from "./fault.js";
import { PROTOCOL, type Delta, type Frame, type Hello, type Refusal, type Unchanged } from "./frame.js";
import type { InFlight } from "./in_flight.js";
import type { Said } from "./said.js";
import type { Tell, Wish } from "./wish.js";

/** What becomes of a wish that the server has ended, or could not take. */
type Refuse = (wish: Wish, error: TidebaseError) => void;

export function hello(frame: Hello | Frame): Said {
  if (frame.type !== "hello") throw new Fault("it is no hello");
  if (frame.protocol !== PROTOCOL) {
    throw new TidebaseError("unsupported", `The server speaks protocol ${frame.protocol}, this client ${PROTOCOL}.`);
  }
  return { history: frame.history, revision: frame.revision, wishes: new Map() };
}

export function receive(frame: Frame, said: Said, inFlight: InFlight, refuse: Refuse): Tell[] {
  switch (frame.type) {
    case "delta":
      return delta(frame, said);
    case "at":
      reach(said, frame.revision, false);
      return [];
    case "result":
      inFlight.take(frame.id)?.resolve(frame.result);
      return [];
    case "error":
      return refusal(frame, said, inFlight, refuse);
    default: {
      // Kinds that this client does not know, and wishes that are no more, are none of its business.
      const { ids = [(frame as Unchanged).id] } = frame as Unchanged;
      return ids.flatMap((id) => said.wishes.get(id!)?.receive(frame, said) ?? []);
    }
  }
}

/** Every entry is worked out before the first is kept. */
function delta(frame: Delta, said: Said): Tell[] {
  if (frame.from !== said.revision) throw new Fault(`it starts at ${frame.from}, not at ${said.revision}`);
  const staged = frame.queries.map((entry) => said.wishes.get(entry.id)?.stage?.(entry, frame, said));
  const tells = staged.flatMap((commit) => commit?.() ?? []);
  reach(said, frame.to, true);
  return tells;
}

function reach(said: Said, revision: number, byDelta: boolean): void {
  said.revision = revision;
  for (const wish of said.wishes.values()) wish.reach?.(revision, byDelta);
}

function refusal(frame: Refusal, said: Said, inFlight: InFlight, refuse: Refuse): Tell[] {
  const error = told(frame);
  if (!frame.id) throw error;
  const wish = said.wishes.get(frame.id);
  if (wish && said.wishes.delete(frame.id)) return [() => refuse(wish, error)];
  inFlight.take(frame.id)?.reject(error);
  return [];
}
