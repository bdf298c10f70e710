import { type TidebaseError } from "../error.js";
import type { Frame } from "./frame.js";
export interface Listener<Told> {
    next(told: Told): void;
    error?: ((error: TidebaseError) => void) | undefined;
}
/** Calls listeners; made while a frame is applied, called when it is. */
export type Tell = () => void;
/** What a wish is told of the socket that a frame came on. */
export interface Standing {
    history: string;
    revision: number;
}
export declare abstract class Wish<Told = any> {
    #private;
    readonly identity: string;
    /** Its name on the wire, the same on every socket. */
    id: number;
    readonly listeners: Set<Listener<Told>>;
    /** How often the server was too busy for it. */
    refusals: number;
    /** Wishes of one identity are one subscription. */
    constructor(identity: string);
    /** What its subscribe frame says, besides the id. */
    abstract ask(): object;
    /** A frame about it alone. */
    abstract receive(frame: Frame, standing: Standing): Tell | undefined;
    /** It has been said on a new socket. */
    said(): Tell | undefined;
    /** The socket is gone. */
    lost(): void;
    /** It stands for somebody else from now on, or may be wrong: nothing is to be resumed. */
    forget(): void;
    /** What a listener who comes late is told first. */
    get latest(): Told | undefined;
    tell(told: Told): Tell;
    /** That the application has closed the client is no news to it. */
    end(error: TidebaseError): Tell;
}
