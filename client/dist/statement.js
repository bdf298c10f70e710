// A tagged template as SQL with bound parameters. No value is ever written into the text.
//
// A template may be put into another: its text is spliced in and its values are bound, in order.
import { bound, write } from "./value.js";
export class Statement {
    constructor(strings, values) {
        this.strings = strings;
        this.values = values;
        const params = [];
        const spelt = (strings, values) => strings.reduce((sql, part, index) => sql + one(values[index - 1]) + part);
        const one = (value) => isFragment(value)
            ? spelt(value.statement.strings, value.statement.values)
            : `?${params.push(bound(value, `Parameter ${params.length + 1}`))}`;
        this.sql = spelt(strings, values);
        this.params = params;
    }
    /** As the server takes it. */
    get body() {
        return { sql: this.sql, params: this.params };
    }
    /** Live queries with the same are one. */
    get identity() {
        return `sql ${write(this.body)}`;
    }
}
const isFragment = (value) => value?.statement instanceof Statement;
/**
 * Does it surely only read? Everything else is sent under an Idempotency-Key, which a read could do without: the server
 * gives it to its writer.
 */
export function onlyReads(sql) {
    return /^\s*(select|values|explain|pragma|with)\b/i.test(sql) && !/;\s*\S|\b(insert|update|delete|replace)\b/i.test(sql);
}
