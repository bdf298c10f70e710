// The reference of the package is made of its types: it is as they are, and nothing public is without a word.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const MAKER = resolve(import.meta.dirname, "../reference/reference.mjs");

interface Maker {
  FILE: string;
  COMMAND: string;
  reference(): { text: string; bare: string[] };
}

const { FILE, COMMAND, reference } = (await import(pathToFileURL(MAKER).href)) as Maker;
const made = reference();

test("docs/reference/typescript.md is up to date", () => {
  assert.ok(readFileSync(FILE, "utf8") === made.text, `docs/reference/typescript.md is not as the types are. Run: ${COMMAND}`);
});

test("whatever is public has a comment that says what it is", () => {
  assert.deepEqual(made.bare, [], "write one, or mark it @internal");
});

test("nothing internal is public, and every entry point is told of", () => {
  const { exports } = JSON.parse(readFileSync(join(import.meta.dirname, "../package.json"), "utf8"));
  const entries = Object.keys(exports).filter((name) => !name.endsWith(".json"));
  for (const name of entries) assert.ok(made.text.includes(`\n## ${name.replace(/^\./, "tidebase")}\n`), name);
  assert.doesNotMatch(made.text, /@internal|\bhttp: Http|\bloop: Loop/);
});
