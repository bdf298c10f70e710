// What the page says when something went wrong: the server's own words, and the next step.
//
// Messages about states (Live, Reconnecting) stand with what shows them.

/**
 * A refusal or a failure, with the server's message and its code from the closed set. `next` says what to do when
 * the code alone cannot know.
 */
export class Failure extends Error {
  constructor(code, message, { statement, next } = {}) {
    super(message);
    this.code = code;
    this.statement = statement;
    this.next = next;
  }
}

const NEXT_STEP = {
  invalid: "Correct it and try again.",
  unauthorized: "Sign in again.",
  forbidden: "This token may not do that. Sign in with the admin token, or add a policy that allows it.",
  not_found: "Check the name, and that this server is new enough to know it.",
  conflict: "Nothing was written. Change the values and try again.",
  too_large: "Ask for less: add a LIMIT, or name fewer columns.",
  too_many: "Wait a moment, or close a live query, and try again.",
  timeout: "Narrow it with WHERE, or add an index, and try again.",
  unavailable: "Try again in a moment.",
  unsupported: "Write it another way.",
  internal: "The cause is in the server's log under this id.",
};

/** `{what, next}`: what happened in the server's words, and what to do. */
export function explain(failure) {
  const where = Number.isInteger(failure.statement) ? `Statement ${failure.statement + 1}: ` : "";
  return { what: `${where}${failure.message}`, next: failure.next ?? NEXT_STEP[failure.code] ?? "Try again." };
}

export const NO_ANSWER = new Failure("unavailable", "The server did not answer. Check that it is running.");
