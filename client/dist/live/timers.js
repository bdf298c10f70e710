// The timers of the loop, by name: setting one again moves it.
import { TIMER_MAX } from "../limits.js";
export class Timers {
    #running = new Map();
    constructor(fire) {
        this.fire = fire;
    }
    set(name, milliseconds) {
        this.clear(name);
        const due = () => this.fire(name);
        this.#running.set(name, setTimeout(due, Math.min(milliseconds, TIMER_MAX)));
    }
    clear(name) {
        clearTimeout(this.#running.get(name));
    }
    clearAll() {
        this.#running.forEach(clearTimeout);
    }
}
