import { TidebaseError } from "../error.js";
interface Waiting {
    resolve(result: unknown): void;
    reject(error: unknown): void;
    /** The frame, until it is sent. */
    unsent: string | undefined;
}
export declare class InFlight extends Map<number, Waiting> {
    /** The frames that are still to be sent, which from now on they are. */
    send(): Iterable<string>;
    take(id: number): Waiting | undefined;
    /** The socket is gone; what was sent on it gets no answer any more. */
    lost(): void;
    end(error: TidebaseError): void;
}
export {};
