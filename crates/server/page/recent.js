// Queries run or kept live in this tab, newest first. They may hold data, so they go with the tab, like the token.

const KEY = "tidebase.recent";
const QUERIES_MAX = 30;
const QUERY_CHARACTERS_MAX = 20_000;

export class Recent {
  queries = stored();

  add(sql) {
    if (sql.length > QUERY_CHARACTERS_MAX) return;
    this.queries = [sql, ...this.queries.filter((one) => one !== sql)].slice(0, QUERIES_MAX);
    store(this.queries);
  }

  clear() {
    this.queries = [];
    store([]);
  }
}

function stored() {
  try {
    const queries = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(queries) ? queries.filter((sql) => typeof sql === "string") : [];
  } catch {
    return [];
  }
}

function store(queries) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(queries));
  } catch {
    // Storage is full or switched off: the list then lives as long as this page.
  }
}
