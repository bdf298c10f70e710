// The package as most use it: createClient(url, { token }) gives SQL and live queries, keys, topics and tables.

import { Core, type Options } from "./core.js";
import { Keys } from "./kv.js";
import { Table, type AnyTable, type TableTypes } from "./table.js";
import { Topic } from "./topic.js";

/** A client for SQL, tables, keys and topics. `Tables` is the `Database` that `tidebase types` writes. */
export class Client<Tables = Record<string, AnyTable>> extends Core {
  /** JSON values under names. */
  readonly kv: Keys;

  constructor(url: string | URL, options?: Options) {
    super(url, options);
    this.kv = new Keys(this.http, this.loop);
  }

  /** Messages to whoever listens, and who is there. Nothing is sent before something is done with it. */
  topic<Data = any>(name: string): Topic<Data> {
    return new Topic<Data>(name, this.loop);
  }

  /** Rows of a table over REST. Nothing is sent before it is awaited, or something is done with it. */
  table<Name extends Extract<keyof Tables, string>>(name: Name): Table<Tables[Name] & TableTypes> {
    return new Table<Tables[Name] & TableTypes>(name, this.http);
  }
}

/**
 * A client of the server at this address. `Tables` is the `Database` that `tidebase types` writes.
 * 
 * @throws `invalid` if it is no http or https address.
 */
export function createClient<Tables = Record<string, AnyTable>>(url: string | URL, options?: Options): Client<Tables> {
  return new Client<Tables>(url, options);
}

export * from "./core.js";
export type { Entry, Keys, Page as KeyPage, Setting, Watched } from "./kv.js";
export type { AnyTable, Inserting, Page, RowId, Table, TableTypes } from "./table.js";
export type { ListeningToTopic, Member, Message, Topic } from "./topic.js";
