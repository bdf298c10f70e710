// The core of the client: SQL, live queries, one socket. `tidebase` adds keys, topics and tables to it; whoever needs the
// last kilobyte imports `tidebase/core`.
import { TidebaseError } from "./error.js";
import { Http } from "./http.js";
import { LIMITS } from "./limits.js";
import { Loop } from "./live/loop.js";
import { ask, SqlQuery } from "./sql.js";
import { onlyReads, Statement } from "./statement.js";
import { Token } from "./token.js";
import { cells } from "./value.js";
export class Core {
    constructor(url, { token, limits } = {}) {
        this.http = new Http(baseOf(url), new Token(token), { ...LIMITS, ...limits });
        this.loop = new Loop(this.http);
        this.connection = this.loop.connection;
    }
    /** A statement with bound parameters. Await it, or subscribe to it. */
    sql(strings, ...values) {
        return new SqlQuery(new Statement(strings, values), this.http, this.loop);
    }
    /** Runs several statements, all or none of them. */
    async transaction(queries, { signal } = {}) {
        const statements = queries.map((query) => query.statement);
        const isWrite = !statements.every(({ sql }) => onlyReads(sql));
        const body = { transaction: statements.map(({ body }) => body) };
        return (await ask(this.http, body, isWrite, signal)).map(cells);
    }
    /** From now on with this token. The socket goes on if it is the same caller's, and is opened anew if not. */
    setToken(token) {
        this.http.token.replace(token);
        void this.loop.renew();
    }
    /** Ends all subscriptions and the socket. */
    close() {
        this.loop.close();
    }
}
/** The address of a server as `fetch` takes it; a path before the server's own stays. */
function baseOf(url) {
    if (!/^https?:/i.test(`${url}`))
        throw new TidebaseError("invalid", `${url} is no http address.`);
    const base = new URL(url);
    if (!base.pathname.endsWith("/"))
        base.pathname += "/";
    return base;
}
export function createClient(url, options) {
    return new Core(url, options);
}
export { TidebaseError } from "./error.js";
