// A page as an application's bundler makes it, with the compilers of Svelte and Vue.

import { readFileSync } from "node:fs";
import { build, type Plugin } from "esbuild";
import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";

const svelte: Plugin = {
  name: "svelte",
  setup({ onLoad }) {
    onLoad({ filter: /\.svelte$/ }, ({ path }) => ({
      contents: compile(readFileSync(path, "utf8"), { filename: path, generate: "client", dev: true }).js.code,
      loader: "js",
    }));
  },
};

const vue: Plugin = {
  name: "vue",
  setup({ onLoad }) {
    onLoad({ filter: /\.vue$/ }, ({ path }) => {
      const { descriptor } = parse(readFileSync(path, "utf8"), { filename: path });
      return { contents: compileScript(descriptor, { id: path, inlineTemplate: true }).content, loader: "ts" };
    });
  },
};

/** What Vue asks of a bundler. */
const FLAGS = ["__VUE_OPTIONS_API__", "__VUE_PROD_DEVTOOLS__", "__VUE_PROD_HYDRATION_MISMATCH_DETAILS__"];

/** The script of a page that has these contents, as if they stood in a file of the folder. */
export async function bundle(contents: string, folder: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: folder, loader: "tsx" },
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    jsx: "automatic",
    conditions: ["browser", "svelte", "development"],
    define: { "process.env.NODE_ENV": '"development"', ...Object.fromEntries(FLAGS.map((flag) => [flag, "false"])) },
    plugins: [svelte, vue],
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}
