// How states and mistakes look, wherever they stand.

import { element } from "./element.js";
import { explain } from "./words.js";

const STATES = {
  live: ["good", "●", "Live"],
  reading: ["warn", "◌", "Reading"],
  waiting: ["warn", "◌", "Waiting for the connection"],
  ended: ["bad", "✕", "Ended"],
};

/** The state of a subscription: a sign and a word, never a colour alone. */
export function stateMark(state) {
  const [look, sign, words] = STATES[state];
  return element("span", { class: `state ${look}` }, element("span", { "aria-hidden": "true" }, sign), ` ${words}`);
}

/** Puts a failure into `place`, or empties it. */
export function showFailure(place, failure) {
  place.hidden = !failure;
  if (!failure) {
    place.replaceChildren();
    return;
  }
  const { what, next } = explain(failure);
  place.replaceChildren(element("p", { class: "what" }, what), element("p", { class: "next" }, next));
}
