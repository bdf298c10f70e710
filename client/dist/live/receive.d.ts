import { TidebaseError } from "../error.js";
import { type Frame, type Hello } from "./frame.js";
import type { InFlight } from "./in_flight.js";
import type { Said } from "./said.js";
import type { Tell, Wish } from "./wish.js";
/** What becomes of a wish that the server has ended, or could not take. */
type Refuse = (wish: Wish, error: TidebaseError) => void;
export declare function hello(frame: Hello | Frame): Said;
export declare function receive(frame: Frame, said: Said, inFlight: InFlight, refuse: Refuse): Tell[];
export {};
