// A server, a cable and a client for one test.

import type { TestContext } from "node:test";
import { createClient, type Client } from "tidebase";
import { Proxy } from "./proxy.js";
import { Server, TOKEN } from "./server.js";

export { dice } from "./dice.js";
export { Proxy } from "./proxy.js";
export { Server, TOKEN, turn } from "./server.js";
export { Script, unmasked, type ScriptedSocket } from "./script.js";
export { until } from "./until.js";

type Options = NonNullable<Parameters<typeof createClient>[1]>;

/** Short pauses, so that tests need not wait for them. */
export const QUICK = { pauseMin: 5, pauseMax: 50, idleTime: 50 };

export interface World {
  server: Server;
  proxy: Proxy;
  db: Client;
}

export function client(context: TestContext, url: string, { limits, ...options }: Options = {}): Client {
  const db = createClient(url, { token: TOKEN, ...options, limits: { ...QUICK, ...limits } });
  context.after(() => db.close());
  return db;
}

export async function world(context: TestContext, options: Options = {}, ...words: string[]): Promise<World> {
  const server = await Server.start(context, ...words);
  const proxy = await Proxy.start(context, server.port);
  return { server, proxy, db: client(context, proxy.url, options) };
}

/** A template of text alone, for statements that a test makes up. */
export const text = (sql: string): TemplateStringsArray => Object.assign([sql], { raw: [sql] });
