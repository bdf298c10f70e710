// db.table(name): rows over REST. A chain of conditions, awaited for a list; and one row by its id.
//
// Each call of the chain gives a new one, so that a part of it can be kept and used again. What SQL can say better is
// said with db.sql, and that can be live.
var _a;
import { TidebaseError } from "./error.js";
import { cells, wire, write } from "./value.js";
export class Table {
    #http;
    #parameters;
    /** @internal */
    constructor(name, http, parameters = []) {
        this.name = name;
        this.eq = this.#compare("eq");
        this.ne = this.#compare("ne");
        this.gt = this.#compare("gt");
        this.gte = this.#compare("gte");
        this.lt = this.#compare("lt");
        this.lte = this.#compare("lte");
        this.like = this.#compare("like");
        this.#http = http;
        this.#parameters = parameters;
    }
    /** `*`, columns, `alias:column`, and tables that a foreign key leads to, `author(name)`. */
    select(...columns) {
        return this.#with("select", columns.join(","));
    }
    in(column, values) {
        return this.#with(`${column}.in`, values.map((value) => `"${asText(value).replace(/["\\]/g, "\\$&")}"`).join(","));
    }
    is(column, what) {
        return this.#with(`${column}.is`, what);
    }
    /** Called again it sorts further, where the columns before are equal. */
    order(column, direction = "asc") {
        return this.#adding("sort_by", column).#adding("order", direction);
    }
    limit(rows) {
        return this.#with("limit", String(rows));
    }
    offset(rows) {
        return this.#with("offset", String(rows));
    }
    /** Goes on behind a page, by its `next`. */
    after(next) {
        return this.#with("after", next);
    }
    count() {
        return this.#with("count", "exact");
    }
    async page({ signal } = {}) {
        const { body, headers } = await this.#http.ask({ method: "GET", path: this.#path(), signal });
        const count = headers.get("Tidebase-Count");
        const next = headers.get("Tidebase-Next") ?? undefined;
        return { rows: cells(body.result), next, count: count === null ? undefined : Number(count) };
    }
    then(resolve, reject) {
        return this.page().then(({ rows }) => rows).then(resolve, reject);
    }
    /** `undefined` if there is none. */
    async get(id, { signal } = {}) {
        try {
            const { body } = await this.#http.ask({ method: "GET", path: this.#path(id), signal });
            return cells([body.result])[0];
        }
        catch (error) {
            if (error instanceof TidebaseError && error.code === "not_found")
                return undefined;
            throw error;
        }
    }
    async insert(given, { onConflict = [], signal } = {}) {
        const onto = onConflict.length > 0 ? this.#with("on_conflict", onConflict.join(",")) : this;
        const data = await onto.#write("POST", undefined, Array.isArray(given) ? given.map(sent) : sent(given), signal);
        return Array.isArray(data) ? cells(data) : cells([data])[0];
    }
    /** Changes the columns that are given; `not_found` if there is no such row. */
    async update(id, columns, { signal } = {}) {
        return cells([await this.#write("PATCH", id, sent(columns), signal)])[0];
    }
    /** Replaces the row: what is not given gets its default. */
    async replace(id, row, { signal } = {}) {
        return cells([await this.#write("PUT", id, sent(row), signal)])[0];
    }
    async delete(id, { signal } = {}) {
        await this.#write("DELETE", id, undefined, signal);
    }
    async #write(method, id, body, signal) {
        const text = body === undefined ? {} : { body: write(body) };
        return (await this.#http.ask({ method, path: this.#path(id), ...text, isWrite: true, signal })).body.result.data;
    }
    #compare(comparison) {
        return (column, value) => this.#adding(`${column}.${comparison}`, asText(value), true);
    }
    #with(name, value) {
        const others = this.#parameters.filter(([other]) => other !== name);
        return new _a(this.name, this.#http, [...others, [name, value]]);
    }
    /** Beside what is there under this name: as one more parameter, or behind a comma. */
    #adding(name, value, isApart = false) {
        const before = this.#parameters.find(([other]) => other === name)?.[1];
        if (before !== undefined && !isApart)
            return this.#with(name, `${before},${value}`);
        return new _a(this.name, this.#http, [...this.#parameters, [name, value]]);
    }
    #path(id) {
        const parts = ["rest", encodeURIComponent(this.name)];
        if (id !== undefined)
            parts.push([id].flat().map((part) => encodeURIComponent(asText(part))).join(","));
        const query = new URLSearchParams(this.#parameters.map(([name, value]) => [name, value]));
        return parts.join("/") + (query.size > 0 ? `?${query}` : "");
    }
}
_a = Table;
function asText(value) {
    if (value === null)
        throw new TidebaseError("invalid", "Nothing is equal to null.", { hint: 'Ask with is(column, "null").' });
    const sent = wire(value);
    return typeof sent === "object" && sent !== null ? sent.$blob : String(value);
}
/** A row as JSON: bytes as the server takes them, other objects as the documents they are. */
function sent(row) {
    return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value instanceof Uint8Array ? wire(value) : value]));
}
