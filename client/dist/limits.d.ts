/** Times are in milliseconds. */
export interface Limits {
    /** One attempt of an HTTP request; then it fails with `timeout`. */
    requestTime: number;
    /** Attempts of one request that may be made again; then the last error is told. */
    attempts: number;
    /** The pause before a second attempt, or a second connection, is at most this long; it doubles from there… */
    pauseMin: number;
    /** …up to this. */
    pauseMax: number;
    /** Nothing heard for so long: the server is asked whether it is there… */
    silenceTime: number;
    /** …and has so long to answer, as it has to greet a new socket; then another one is opened. */
    answerTime: number;
    /** A socket that has lived so long makes the next pause a short one again. */
    stableTime: number;
    /** How long a socket is kept after the last subscription has ended. */
    idleTime: number;
    /** Requests on the socket without an answer; one more fails with `too_many`. */
    inFlight: number;
    /** How often a subscription that the server is too busy for is asked for again before it ends with that error. */
    subscribeAttempts: number;
}
export declare const LIMITS: Limits;
/** One frame to the server, which closes the socket at a larger one. Not to be changed. */
export declare const FRAME_BYTES_MAX: number;
/** The longest time that setTimeout takes. */
export declare const TIMER_MAX: number;
