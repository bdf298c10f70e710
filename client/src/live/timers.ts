// The timers of the loop, by name: setting one again moves it.

import { TIMER_MAX } from "../limits.js";

export class Timers<Name extends string> {
  #running = new Map<Name, ReturnType<typeof setTimeout>>();

  constructor(readonly fire: (name: Name) => void) {}

  set(name: Name, milliseconds: number): void {
    this.clear(name);
    this.#running.set(name, setTimeout(this.fire, Math.min(milliseconds, TIMER_MAX), name));
  }

  clear(name: Name): void {
    clearTimeout(this.#running.get(name));
  }

  clearAll(): void {
    this.#running.forEach(clearTimeout);
  }
}
