/** `refused` is the token that the server no longer takes, if that is why a new one is asked for. */
export type GetToken = (refused?: string) => string | undefined | Promise<string | undefined>;
export type TokenSource = string | GetToken | undefined;
export declare class Token {
    #private;
    constructor(source: TokenSource);
    /** Can there be another one than that which was refused? */
    get canRenew(): boolean;
    /** From now on another caller's, or another way to get one. */
    replace(source: TokenSource): void;
    /** The token to send now. */
    get(): Promise<string | undefined>;
    /** The server does not take it. Whoever hears of it late has no effect on a newer one. */
    refuse(token: string | undefined): void;
    /** In how many milliseconds it should be renewed; never for those that do not say. */
    get renewIn(): number;
}
/**
 * How many milliseconds a token says it has to live. Where it does not say, or the clock of this machine is so wrong that
 * it would be over, for ever: then the server says when it is.
 */
export declare function life(token: string | undefined, now?: number): number;
