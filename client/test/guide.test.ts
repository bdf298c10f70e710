// Each guide is one program: its pieces are put together, checked by the compiler, and run against a real server. What it
// prints is what the guide says that it prints, in the block behind each piece.

import "fake-indexeddb/auto";
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

interface Guide {
  file: string;
  words?: string[];
  /** What the reader has done by then with other tools. */
  before?: (server: Server) => Promise<void>;
}

const GUIDES: Guide[] = [
  { file: "typescript.md", words: ["--signup", "open"] },
  { file: "documents.md" },
  { file: "frameworks.md" },
  { file: "offline.md" },
  {
    file: "signing-in.md",
    words: ["--signup", "open"],
    before: async (server) => {
      await server.query("CREATE TABLE note (id INTEGER PRIMARY KEY, owner TEXT DEFAULT (auth_uid()), body TEXT)");
      await server.call("policies", { name: "own notes", table: "note", action: "all", role: "user", using: "owner = auth.uid()" });
    },
  },
];

function pieces(file: string): { source: string; prints: string } {
  const text = readFileSync(join(CLIENT, "../docs/guides", file), "utf8");
  const blocks = [...text.matchAll(/^```(\w+)\n(.*?)^```/gms)].map(([, kind, text]) => ({ kind, text: text! }));
  const shown = blocks.filter(({ kind }, index) => kind === "text" && blocks[index - 1]?.kind === "ts");
  const put = (some: typeof blocks, between: string) => some.map(({ text }) => text).join(between);
  return { source: put(blocks.filter(({ kind }) => kind === "ts"), "\n"), prints: put(shown, "").trimEnd() };
}

for (const { file, words = [], before } of GUIDES) {
  test(`${file} is a program that prints what it says`, async (context) => {
    const server = await Server.start(context, ...words);
    await before?.(server);
    const { source: written, prints } = pieces(file);
    const program = join(CLIENT, "build", file.replace(".md", ".guide.ts"));
    const source = `${written}\nexport {};\n`.replaceAll("http://127.0.0.1:8080", server.url);
    writeFileSync(program, source);
    const strict = ["--strict", "--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--types", "node"];
    execFileSync(process.execPath, [join(CLIENT, "../node_modules/typescript/bin/tsc"), ...strict, program], { stdio: "inherit" });
    const built = program.replace(/ts$/, "mjs");
    writeFileSync(built, transformSync(source, { loader: "ts", format: "esm" }).code);
    context.after(() => [program, built].forEach((file) => rmSync(file)));
    const printed: string[] = [];
    context.mock.method(console, "log", (...words: unknown[]) => printed.push(format(...words)));
    await import(pathToFileURL(built).href);
    assert.deepEqual(printed.join("\n").split("\n"), prints.split("\n"));
  });
}
