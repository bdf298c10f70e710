// What the package costs a page: bundled, minified and gzipped, as a bundler for browsers makes it. Printed, and a failure
// past the budget.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const BUDGETS = { "tidebase/core": 7 * 1024, tidebase: 9 * 1024 };

/** What these add to `tidebase`. */
const ADDED = {
  "tidebase/auth": { uses: "auth(globalThis.db)", budget: 2 * 1024 },
  "tidebase/documents": { uses: "documents(globalThis.db)", budget: 3 * 1024 },
};

const core = (entry: string) => `import { createClient } from "${entry}"; globalThis.db = createClient(location.origin);`;
const sizeOf = (code: Uint8Array) => gzipSync(code, { level: 9 }).length;

async function bundle(contents: string) {
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
    const { code, inputs } = await bundle(core(entry));
    const size = sizeOf(code);
    console.log(`${entry}: ${code.length} bytes minified, ${size} gzipped, of ${budget}`);
    assert.ok(size <= budget, `${size} bytes are more than ${budget}`);
    assert.deepEqual(inputs.filter((input) => input.includes("/node/")), [], "nothing of Node is in a page");
  });
}

for (const [entry, { uses, budget }] of Object.entries(ADDED)) {
  test(`${entry} adds no more than its budget`, async () => {
    const alone = await bundle(core("tidebase"));
    const name = uses.slice(0, uses.indexOf("("));
    const { code, inputs } = await bundle(`import { ${name} } from "${entry}"; ${core("tidebase")} globalThis.${name} = ${uses};`);
    const size = sizeOf(code) - sizeOf(alone.code);
    console.log(`${entry}: ${size} bytes gzipped over tidebase, of ${budget}`);
    assert.ok(size <= budget, `${size} bytes are more than ${budget}`);
    assert.deepEqual(inputs.filter((input) => input.includes("/node/")), [], "nothing of Node is in a page");
  });
}
