// Whose calls these are: a token, or a function that gives one.
//
// A function is asked when a token is first needed, when the one it gave has nearly run out, and when the server has
// refused it; several calls that wait for a token wait for the same. Signing in is elsewhere.
/** A token is renewed when so much of its life is over… */
const RENEW_AT = 0.75;
/** …but not at once again, should the function give the same one. */
const RENEW_TIME_MIN = 1000;
export class Token {
    #source;
    #held;
    #asked;
    #refused;
    constructor(source) {
        this.#source = source;
    }
    /** Can there be another one than that which was refused? */
    get canRenew() {
        return typeof this.#source === "function";
    }
    /** From now on another caller's, or another way to get one. */
    replace(source) {
        this.#source = source;
        this.#held = this.#asked = this.#refused = undefined;
    }
    /** The token to send now. */
    async get() {
        if (typeof this.#source !== "function")
            return this.#source;
        if (this.#held && Date.now() < this.#held.renewAt)
            return this.#held.token;
        const source = this.#source;
        // Not in #ask itself, which may be over before its promise is kept here.
        return (this.#asked ??= this.#ask(source).finally(() => {
            if (source === this.#source)
                this.#asked = this.#refused = undefined;
        }));
    }
    /** The server does not take it. Whoever hears of it late has no effect on a newer one. */
    refuse(token) {
        if (this.#held?.token !== token)
            return;
        this.#held = undefined;
        this.#refused = token;
    }
    /** In how many milliseconds it should be renewed; never for those that do not say. */
    get renewIn() {
        return this.#held ? Math.max(0, this.#held.renewAt - Date.now()) : Infinity;
    }
    async #ask(source) {
        const token = await source(this.#refused);
        const renewAt = Date.now() + Math.max(RENEW_TIME_MIN, life(token) * RENEW_AT);
        if (source === this.#source)
            this.#held = { token, renewAt };
        return token;
    }
}
/**
 * How many milliseconds a token says it has to live. Where it does not say, or the clock of this machine is so wrong that
 * it would be over, for ever: then the server says when it is.
 */
export function life(token, now = Date.now()) {
    try {
        const payload = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
        const left = JSON.parse(atob(payload)).exp * 1000 - now;
        return left > 0 ? left : Infinity;
    }
    catch {
        return Infinity;
    }
}
