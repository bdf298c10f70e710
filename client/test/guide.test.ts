// Each guide is one program: its pieces are put together, checked by the compiler, and run against a real server. What it
// prints is what the guide says that it prints.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { format } from "node:util";
import { transformSync } from "esbuild";
import { Server } from "./world/index.js";

const CLIENT = resolve(import.meta.dirname, "..");
const GUIDES = ["typescript", "frameworks"];

for (const name of GUIDES) {
  const guide = readFileSync(join(CLIENT, `../docs/guides/${name}.md`), "utf8");
  const blocks = (kind: string) => [...guide.matchAll(new RegExp(`^\`\`\`${kind}\\n(.*?)^\`\`\``, "gms"))].map(([, text]) => text!);

  test(`the guide ${name} is a program that prints what it says`, async (context) => {
    const server = await Server.start(context);
    const program = join(CLIENT, `build/guide-${name}.ts`);
    const source = `${blocks("ts").join("\n")}\nexport {};\n`.replaceAll("http://127.0.0.1:8080", server.url);
    writeFileSync(program, source);
    const strict = "--strict --noEmit --skipLibCheck --target es2022 --module nodenext --lib es2022,dom --types node".split(" ");
    execFileSync(process.execPath, [join(CLIENT, "../node_modules/typescript/bin/tsc"), ...strict, program], { stdio: "inherit" });
    const built = program.replace(".ts", ".mjs");
    writeFileSync(built, transformSync(source, { loader: "ts", format: "esm" }).code);
    context.after(() => [program, built].forEach((file) => rmSync(file)));
    const printed: string[] = [];
    context.mock.method(console, "log", (...words: unknown[]) => printed.push(format(...words)));
    await import(pathToFileURL(built).href);
    assert.deepEqual(printed.join("\n").split("\n"), blocks("text").join("").trimEnd().split("\n"));
  });
}
