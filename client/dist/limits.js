// Every bound of the client, with its default. `createClient(url, { limits })` changes them.
//
// What happens at each is said beside it. The server's own bounds are in its reference.
const SECOND = 1000;
export const LIMITS = {
    requestTime: 60 * SECOND,
    attempts: 4,
    pauseMin: 0.25 * SECOND,
    pauseMax: 15 * SECOND,
    silenceTime: 30 * SECOND,
    answerTime: 10 * SECOND,
    stableTime: 10 * SECOND,
    idleTime: 5 * SECOND,
    inFlight: 1000,
    subscribeAttempts: 5,
};
/** One frame to the server, which closes the socket at a larger one. Not to be changed. */
export const FRAME_BYTES_MAX = 1 << 20;
/** The longest time that setTimeout takes. */
export const TIMER_MAX = 2 ** 31 - 1;
