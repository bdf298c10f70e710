// Puts the page together in dist/ and serves it: `node examples/todo/build.mjs [where Tidebase is]`.

import { fileURLToPath } from "node:url";
import { context } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));

export const settings = (server, outdir) => ({
  entryPoints: ["index.html", "style.css", "sw.js", "todo.ts"].map((file) => here + file),
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  loader: { ".html": "copy" },
  define: { SERVER: JSON.stringify(server) },
});

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const page = await context(settings(process.argv[2] ?? "http://127.0.0.1:8080", `${here}dist`));
  await page.rebuild();
  const { port } = await page.serve({ servedir: `${here}dist`, host: "127.0.0.1", port: 8000 });
  console.log(`The to-do list is at http://127.0.0.1:${port}`);
}
