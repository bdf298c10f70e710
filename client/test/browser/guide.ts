// The components of a guide, each in a file of its own, as they are put into an application.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const CLIENT = resolve(import.meta.dirname, "../..");
const STRICT = "--strict --noEmit --target es2022 --module esnext --moduleResolution bundler --lib es2023,dom --jsx react-jsx --types node --skipLibCheck";

/** Gives the folder. In it are `db.ts`, which is the first piece of TypeScript, and `tsx0.tsx`, `svelte0.svelte`, …. */
export function unpack(name: string, into: string, server: string): string {
  const guide = readFileSync(join(CLIENT, `../docs/guides/${name}.md`), "utf8");
  const folder = join(CLIENT, "build/guide", into);
  mkdirSync(folder, { recursive: true });
  const pieces = (kind: string) => [...guide.matchAll(new RegExp(`^\`\`\`${kind}\\n(.*?)^\`\`\``, "gms"))].map(([, text]) => text!);
  writeFileSync(join(folder, "db.ts"), pieces("ts")[0]!.replace("http://127.0.0.1:8080", server));
  for (const kind of ["tsx", "svelte", "vue"]) {
    pieces(kind).forEach((text, index) => writeFileSync(join(folder, `${kind}${index}.${kind}`), text));
  }
  const files = ["db.ts", ...pieces("tsx").map((_, index) => `tsx${index}.tsx`)].map((file) => join(folder, file));
  const tsc = join(CLIENT, "../node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, ...STRICT.split(" "), ...files], { stdio: "inherit" });
  return folder;
}
