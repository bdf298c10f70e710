import { TidebaseError } from "./error.js";
import type { Limits } from "./limits.js";
import type { Token } from "./token.js";
export interface Ask {
    method?: string;
    path: string;
    /** JSON text. */
    body?: string;
    /** Changes something: sent under a key of its own. */
    isWrite?: boolean;
    signal?: AbortSignal | undefined;
}
export interface Reply {
    /** The body, parsed exactly. */
    body: any;
    headers: Headers;
}
export declare class Http {
    #private;
    readonly base: URL;
    readonly token: Token;
    readonly limits: Limits;
    constructor(base: URL, token: Token, limits: Limits);
    /** Rejects with a TidebaseError, or with the signal's reason. */
    ask(ask: Ask): Promise<Reply>;
}
/** The error that an answer of such a status tells; also of a refused socket. */
export declare function refusal(status: number, retry: string | null | undefined, text: string): TidebaseError;
