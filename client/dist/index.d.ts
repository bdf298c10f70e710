import { Core, type Options } from "./core.js";
import { Keys } from "./kv.js";
import { Table, type AnyTable, type TableTypes } from "./table.js";
import { Topic } from "./topic.js";
/** `Tables` is the `Database` that `tidebase types` writes. */
export declare class Client<Tables = Record<string, AnyTable>> extends Core {
    readonly kv: Keys;
    constructor(url: string | URL, options?: Options);
    topic<Data = any>(name: string): Topic<Data>;
    table<Name extends Extract<keyof Tables, string>>(name: Name): Table<Tables[Name] & TableTypes>;
}
export declare function createClient<Tables = Record<string, AnyTable>>(url: string | URL, options?: Options): Client<Tables>;
export * from "./core.js";
export type { Entry, Keys, Page as KeyPage, Setting, Watched } from "./kv.js";
export type { AnyTable, Inserting, Page, RowId, Table, TableTypes } from "./table.js";
export type { ListeningToTopic, Member, Message, Topic } from "./topic.js";
