import type { Loop, Stop } from "./live/loop.js";
import type { Asking, Listening } from "./sql.js";
export interface Message<Data = any> {
    /** Grows within the topic. */
    cursor: number;
    data: Data;
}
export interface Member<State = any> {
    session: number;
    state: State;
}
export interface ListeningToTopic extends Listening {
    /** The last message that was seen: those behind it that the topic keeps come first. */
    after?: number;
    /** Messages may have been missed: up to this cursor, or if it is not there, while the connection was lost. */
    onMissed?: (cursor: number | undefined) => void;
}
export declare class Topic<Data = any> {
    #private;
    readonly name: string;
    /** @internal */
    constructor(name: string, loop: Loop);
    /** Resolves with the message's cursor. */
    publish(data: Data, { signal }?: Asking): Promise<number>;
    /** Calls back with each message once, in order. */
    subscribe(onMessage: (message: Message<Data>) => void, options?: ListeningToTopic): Stop;
    /** Shows this client with a state of its own, and calls back with all who show themselves, this client included. */
    presence<State>(state: State, onMembers: (members: Member<State>[]) => void, { onError, signal }?: Listening): Stop;
}
