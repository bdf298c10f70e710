// The adapters where no browser is: written out on a server nothing is subscribed; and what they are given that is wrong.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createElement, Suspense } from "react";
import { renderToString } from "react-dom/server";
import { get } from "svelte/store";
import { live as svelte } from "tidebase/svelte";
import { useQuery, useSuspenseQuery } from "tidebase/react";
import { useQuery as vue } from "tidebase/vue";
import { effectScope } from "vue";
import { text, until, world } from "./world/index.js";

test("on a server components show that they are loading, and nothing is subscribed", async (context) => {
  const { db } = await world(context);
  const query = () => db.sql<{ one: number }>`SELECT 1 AS one`;
  const Shown = () => JSON.stringify(useQuery(query()));
  const Suspended = () => useSuspenseQuery(query()).rows.length;
  assert.match(renderToString(createElement(Shown)), /isLoading&quot;:true/);
  const suspended = createElement(Suspense, { fallback: "not yet" }, createElement(Suspended));
  assert.match(renderToString(suspended), /not yet/);
  assert.deepEqual(get(svelte(query())), { error: undefined, isLoading: true });
  assert.deepEqual(get(svelte(null)), { error: undefined, isLoading: false });
  const scope = effectScope();
  const result = scope.run(() => vue(query))!;
  assert.equal(result.value.isLoading, true);
  scope.stop();
  assert.equal(db.connection.state, "idle");
});

test("a query too large for a frame ends with that error, also where the socket is open", async (context) => {
  const { db } = await world(context);
  const first = db.sql`SELECT 1 AS one`.live();
  context.after(() => first.close());
  await until("an open socket", () => first.value);
  const live = db.sql(text(`SELECT '${"x".repeat(1 << 20)}' AS x`)).live();
  await until("the refusal", () => live.error);
  assert.equal((live.error as { code?: string }).code, "too_large");
});
