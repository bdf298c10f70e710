// A real browser for tests: Chromium, which CHROMIUM names or which is installed under one of its usual names. Where there
// is none, what needs it is skipped and says so; in CI it fails.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { chromium, type Browser } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const WORDS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
const ABSENT = "There is no Chromium here; name one with CHROMIUM.";

function find(): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/bin"];
  const places = process.env.CHROMIUM ? [process.env.CHROMIUM] : folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return places.find((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

let started: Promise<Browser> | undefined;

/** The browser of this file's tests. */
export function browser(): Promise<Browser> {
  return (started ??= chromium.launch({ executablePath: find()!, args: WORDS }));
}

/** A test that needs a browser. */
export function inBrowser(name: string, run: (context: TestContext) => Promise<void>): void {
  const isThere = find() !== undefined;
  const isCI = process.env.CI === "true";
  test(name, { skip: isThere || isCI ? false : ABSENT }, async (context) => {
    if (!isThere) throw new Error(ABSENT);
    await run(context);
  });
}

after(async () => (await started)?.close());
