import type { Wish } from "./wish.js";
export interface Said {
    /** This line of revisions. */
    readonly history: string;
    /** Where the socket stands. */
    revision: number;
    /** What the server has been told of, by the id. */
    readonly wishes: Map<number, Wish>;
}
