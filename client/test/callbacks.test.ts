// The check of a callback as it stands in the guide, upon what a real server sends.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Server, TOKEN } from "./world/index.js";

const CLIENT = resolve(import.meta.dirname, "..");

test("a callback is believed by the lines of the guide, and an altered one is not", async (context) => {
  const guide = readFileSync(join(CLIENT, "../docs/guides/data-in-and-out.md"), "utf8");
  const lines = /^```js\n(.*?)^```/ms.exec(guide)![1]!;
  const program = join(CLIENT, "build", "data-in-and-out.guide.mjs");
  writeFileSync(program, lines);
  context.after(() => rmSync(program));
  const { news } = await import(pathToFileURL(program).href);
  const receiver = createServer().listen(0, "127.0.0.1");
  context.after(() => receiver.close());
  await once(receiver, "listening");
  const server = await Server.start(context, "--allow-private-callbacks");
  const { secret } = await server.call("export/dump/secret", {});
  const called = once(receiver, "request");
  const callbackUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/notify`;
  const headers = { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" };
  // Its answer has no envelope.
  const asked = await fetch(`${server.url}/export/dump`, { method: "POST", headers, body: JSON.stringify({ format: "sql", callbackUrl }) });
  const { progressKey } = (await asked.json()) as { progressKey: string };
  const [request, response] = await called;
  let body = "";
  for await (const chunk of request) body += chunk;
  response.end();
  const told = news(request.headers, body, secret);
  assert.deepEqual([told.status, told.dumpId, told.format], ["completed", progressKey, "sql"]);
  assert.throws(() => news(request.headers, body.replace("sql", "SQL"), secret), /not ours/);
  assert.throws(() => news(request.headers, body, `${secret}x`), /not ours/);
  assert.throws(() => news({ ...request.headers, "tidebase-timestamp": "1" }, body, secret), /not ours/);
  assert.throws(() => news({}, body, secret), /not ours/);
});
