// Waiting for a condition, never for a time.

const SECONDS_MAX = 10;
const LOOK_EVERY_MILLISECONDS = 15;

/**
 * Asks `look` until it answers something true, and returns that. On time-out the error says what was waited for and,
 * from `state`, how things stood instead.
 */
export async function until(what, look, { state, seconds_max = SECONDS_MAX } = {}) {
  const end = performance.now() + seconds_max * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > end) break;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MILLISECONDS));
  }
  const stood = state ? `; instead: ${JSON.stringify(await state())}` : "";
  throw new Error(`waited ${seconds_max} s until ${what}${stood}`);
}

/** A promise that fails when it takes too long. */
export function within(what, promise, seconds_max = SECONDS_MAX) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${seconds_max} s: ${what}`)), seconds_max * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
