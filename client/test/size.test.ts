// What the package costs a page: bundled, minified and gzipped, as a bundler for browsers makes it. Printed, and a failure
// past the budget.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const BUDGETS = { "tidebase/core": 7 * 1024, tidebase: 9 * 1024 };
/** All that they export, over `tidebase` alone. */
const MORE = { "tidebase/documents": 3 * 1024 };

async function bundle(entry: string, more?: string) {
  const also = more ? `import * as more from "${more}"; globalThis.more = more;` : "";
  const contents = `import { createClient } from "${entry}"; globalThis.db = createClient(location.origin); ${also}`;
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: "js" },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  return { code: outputFiles[0]!.contents, inputs: Object.keys(metafile.inputs) };
}

for (const [entry, budget] of Object.entries(BUDGETS)) {
  test(`${entry} stays within its budget`, async () => {
    const { code, inputs } = await bundle(entry);
    const size = gzipSync(code, { level: 9 }).length;
    console.log(`${entry}: ${code.length} bytes minified, ${size} gzipped, of ${budget}`);
    assert.ok(size <= budget, `${size} bytes are more than ${budget}`);
    assert.deepEqual(inputs.filter((input) => input.includes("/node/")), [], "nothing of Node is in a page");
  });
}

for (const [entry, budget] of Object.entries(MORE)) {
  test(`${entry} adds no more than its budget`, async () => {
    const [alone, both] = await Promise.all([bundle("tidebase"), bundle("tidebase", entry)]);
    const [before, after] = [alone, both].map(({ code }) => gzipSync(code, { level: 9 }).length);
    const added = after! - before!;
    console.log(`${entry}: ${both.code.length - alone.code.length} bytes minified, ${added} gzipped, of ${budget}`);
    assert.ok(added <= budget, `${added} bytes are more than ${budget}`);
    assert.deepEqual(both.inputs.filter((input) => input.includes("/node/")), [], "nothing of Node is in a page");
  });
}
