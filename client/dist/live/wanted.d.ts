import type { Wish } from "./wish.js";
export declare class Wanted extends Map<string, Wish> {
    #private;
    add(wish: Wish): void;
    /** True if it was still wanted. */
    remove(wish: Wish): boolean;
    /** Wishes and requests share their numbers, so that no answer is taken for another's. */
    newId(): number;
}
