// The package as most use it: createClient(url, { token }) gives SQL and live queries, keys, topics and tables.
import { Core } from "./core.js";
import { Keys } from "./kv.js";
import { Table } from "./table.js";
import { Topic } from "./topic.js";
/** `Tables` is the `Database` that `tidebase types` writes. */
export class Client extends Core {
    constructor(url, options) {
        super(url, options);
        this.kv = new Keys(this.http, this.loop);
    }
    topic(name) {
        return new Topic(name, this.loop);
    }
    table(name) {
        return new Table(name, this.http);
    }
}
export function createClient(url, options) {
    return new Client(url, options);
}
export * from "./core.js";
