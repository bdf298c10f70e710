// What the package costs a page: bundled, minified and gzipped, as a bundler for browsers makes it. Printed, and a failure
// past the budget.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const BUDGETS = { "tidebase/core": 7 * 1024, tidebase: 9 * 1024 };
/** All that each exports, without the framework it is for. */
const ADAPTERS = { "tidebase/react": 1200, "tidebase/svelte": 1024, "tidebase/vue": 1024 };
/** What it adds to a page that has `tidebase`: it is built of the same parts. */
const ADDED = { "tidebase/auth": 2 * 1024, "tidebase/tabs": 2.5 * 1024, "tidebase/offline": 9.75 * 1024, "tidebase/documents": 3.25 * 1024, "tidebase/all": 15.75 * 1024, "tidebase/tanstack-db": 1024 };
/** What most pages take of it. */
const HOOKS = "useQuery, useDoc, useSuspenseQuery, useTopic";
const FRAMEWORKS = ["react", "vue", "@tanstack/db"];

const client = (entry: string) => `import { createClient } from "${entry}"; globalThis.db = createClient(location.origin);`;
const whole = (entry: string) => `import * as all from "${entry}"; globalThis.all = all;`;

async function bundle(contents: string) {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: "js" },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    external: FRAMEWORKS,
    target: "es2022",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  return { code: outputFiles[0]!.contents, inputs: Object.keys(metafile.inputs) };
}

async function size(contents: string): Promise<number> {
  const { code, inputs } = await bundle(contents);
  assert.deepEqual(inputs.filter((input) => input.includes("/node/")), [], "nothing of Node is in a page");
  return gzipSync(code, { level: 9 }).length;
}

function within(entry: string, budget: number, measure: () => Promise<number>): void {
  test(`${entry} stays within its budget`, async () => {
    const bytes = await measure();
    console.log(`${entry}: ${bytes} bytes gzipped, of ${budget}`);
    assert.ok(bytes <= budget, `${bytes} bytes are more than ${budget}`);
  });
}

for (const [entry, budget] of Object.entries(BUDGETS)) within(entry, budget, () => size(client(entry)));
for (const [entry, budget] of Object.entries(ADAPTERS)) within(entry, budget, () => size(whole(entry)));
within(`${HOOKS} of tidebase/react`, 1024, () => size(`import { ${HOOKS} } from "tidebase/react"; globalThis.all = { ${HOOKS} };`));
for (const [entry, budget] of Object.entries(ADDED)) {
  within(entry, budget, async () => (await size(client("tidebase") + whole(entry))) - (await size(client("tidebase"))));
}
