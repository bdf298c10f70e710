// What the package costs a page: bundled, minified and gzipped, as a bundler for browsers makes it. Printed, and a failure
// past the budget.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const BUDGETS = { "tidebase/core": 7 * 1024, tidebase: 9 * 1024 };

async function bundle(entry: string) {
  const contents = `import { createClient } from "${entry}"; globalThis.db = createClient(location.origin);`;
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
