// tidebase/tanstack-db: a live query as a collection of TanStack DB, and its writes as rows of a table over REST.
//
//   const todos = createCollection(tidebaseCollectionOptions({
//     db, query: db.sql<Todo>`SELECT id, title FROM todo`, key: "id", table: "todo",
//   }));
//
// What is written shows at once. It is TanStack's guess until the live query has come to the revision of the write: then the
// guess is dropped and what the server made of it stands there, with nothing to be seen in between.

import type { CollectionConfig, PendingMutation } from "@tanstack/db";
import { TidebaseError } from "../error.js";
import type { Client } from "../index.js";
import type { SqlQuery } from "../sql.js";
import { sent } from "../table.js";
import { changesOf } from "./changes.js";
import { Followed } from "./followed.js";

/** What tells rows apart. */
export type Key = string | number;

/** What a collection is made of. */
export interface Options<Row extends object> {
  db: Client<any>;
  query: SqlQuery<Row>;
  /** The column of the query that tells its rows apart; for writes it is also the table's primary key. */
  key: Extract<keyof Row, string>;
  /** Where rows are written. Without it the collection is only read. */
  table?: string;
  /** TanStack's name of the collection. */
  id?: string;
}

/** `collection.utils`, for transactions of one's own. */
export interface Utils extends Record<string, any> {
  /** Resolves when the collection has all commits up to this revision, or is live no more. */
  reached(revision: number): Promise<void>;
}

/** What `createCollection` of TanStack DB takes. */
export type TidebaseCollectionConfig<Row extends object> = CollectionConfig<Row, Key, never, Utils> & { utils: Utils };

/** A live query as a collection of TanStack DB, whose writes go to a table and show at once. An error ends the collection. */
export function tidebaseCollectionOptions<Row extends object>(options: Options<Row>): TidebaseCollectionConfig<Row> {
  const { db, query, key, table, id } = options;
  let followed: Followed<Row> | undefined;
  const reached = async (revision: number) => followed?.reached(revision);
  const keyOf = (row: Row) => row[key] as Key;
  return {
    ...(id !== undefined && { id }),
    getKey: keyOf,
    utils: { reached },
    sync: {
      rowUpdateMode: "full",
      sync({ begin, write, commit, markReady, markError }) {
        let before = new Map<Key, Row>();
        const next = (rows: readonly Row[]) => {
          const after = byKey(rows, key);
          begin();
          for (const change of changesOf(before, after)) write(change);
          commit();
          before = after;
          markReady();
        };
        const mine = (followed = new Followed(query, next, markError));
        return () => mine.stop();
      },
    },
    ...(table !== undefined && writes(db, table, reached)),
  };
}

type Mutations<Row extends object> = { transaction: { mutations: readonly Pick<PendingMutation<Row>, "key" | "modified" | "changes">[] } };

/** All inserts of a transaction in one request, all or none; updates and deletes one after the other. */
function writes<Row extends object>(db: Client<any>, table: string, reached: (revision: number) => Promise<void>) {
  const rows = db.table(table);
  return {
    async onInsert({ transaction: { mutations } }: Mutations<Row>) {
      await reached((await rows.write("POST", undefined, mutations.map(({ modified }) => sent(modified)))).revision);
    },
    async onUpdate({ transaction: { mutations } }: Mutations<Row>) {
      let last = 0;
      for (const { key, changes } of mutations) last = (await rows.write("PATCH", key, whole(sent(changes)))).revision;
      await reached(last);
    },
    async onDelete({ transaction: { mutations } }: Mutations<Row>) {
      let last = 0;
      for (const { key } of mutations) last = (await rows.write("DELETE", key)).revision;
      await reached(last);
    },
  };
}

/** A column that a draft was freed of is NULL; JSON would leave it out, and it would stay as it was. */
const whole = (columns: object) =>
  Object.fromEntries(Object.entries(columns).map(([name, value]) => [name, value === undefined ? null : value]));

function byKey<Row extends object>(rows: readonly Row[], key: keyof Row): Map<Key, Row> {
  const found = new Map<Key, Row>();
  for (const row of rows) {
    const value = row[key];
    const isKey = typeof value === "string" || typeof value === "number";
    if (!isKey || found.has(value)) {
      const why = isKey ? `Two rows have the ${String(key)} ${value}` : `A row has no ${String(key)} that is a string or a number`;
      throw new TidebaseError("invalid", `${why}.`, { hint: "Name a column of the query that tells its rows apart." });
    }
    found.set(value, row);
  }
  return found;
}
