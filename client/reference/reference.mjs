// The reference of the package, made of its types: every public export of every entry point, with its signature and what its
// comment says. `npm run reference --workspace client` writes it to docs/reference/typescript.md; a test compares.
//
// It reads the declarations in dist/, which are what an application is given: nothing internal is in them.

import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const CLIENT = resolve(import.meta.dirname, "..");
export const FILE = join(CLIENT, "../docs/reference/typescript.md");
export const COMMAND = "npm run reference --workspace client";

/** In the order in which they are read, each with what it is. */
const ENTRIES = {
  tidebase: "SQL that can be live, tables, keys and topics.",
  "tidebase/core": "SQL and live queries alone.",
  "tidebase/documents": "JSON documents in collections.",
  "tidebase/auth": "People who sign in.",
  "tidebase/tabs": "One socket for all pages of a browser.",
  "tidebase/offline": "Rows and writes without a network.",
  "tidebase/all": "All of the above in one client.",
  "tidebase/react": "Hooks over whatever can be live.",
  "tidebase/svelte": "Stores of whatever can be live.",
  "tidebase/vue": "Composables over whatever can be live.",
  "tidebase/tanstack-db": "A live query as a collection of TanStack DB.",
};

const INTRODUCTION = `# The TypeScript client, item by item

Every public export of the package \`tidebase\`. How it is used is in the guides: [TypeScript](../guides/typescript.md),
[documents](../guides/documents.md#typescript), [signing in](../guides/signing-in.md#typescript), [offline](../guides/offline.md),
[frameworks](../guides/frameworks.md). Bounds and times are in [limits](limits.md#the-typescript-client).

Made of the types by \`${COMMAND}\`; do not change it by hand.
`;

/** In which order kinds of exports come. */
const KINDS = ["function", "class", "interface", "type"];

/** The text, and the names of what has no comment. */
export function reference() {
  const { exports } = JSON.parse(readFileSync(join(CLIENT, "package.json"), "utf8"));
  const files = Object.entries(exports).filter(([, file]) => file.endsWith(".js"));
  const paths = new Map(files.map(([name, file]) => [name.replace(/^\./, "tidebase"), join(CLIENT, file.replace(/\.js$/, ".d.ts"))]));
  const unknown = [...paths.keys()].filter((name) => !(name in ENTRIES));
  if (unknown.length > 0) throw new Error(`ENTRIES in client/reference says nothing of ${unknown}.`);
  const program = ts.createProgram([...paths.values()], { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, target: ts.ScriptTarget.ES2022 });
  const checker = program.getTypeChecker();
  const told = new Map();
  const bare = [];
  const parts = Object.entries(ENTRIES).map(([entry, what]) => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(paths.get(entry)));
    const found = checker.getExportsOfModule(module).map((symbol) => itemOf(symbol, checker));
    found.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || (a.name < b.name ? -1 : 1));
    const again = found.filter(({ symbol }) => told.has(symbol));
    const fresh = found.filter(({ symbol }) => !told.has(symbol));
    for (const { symbol, name } of fresh) told.set(symbol, `[\`${name}\`](#${anchor(entry, name)})`);
    const shared = again.length > 0 ? `\nBesides, from above: ${again.map(({ symbol }) => told.get(symbol)).join(", ")}.\n` : "";
    const items = fresh.map((item) => shownOf(item, entry, checker, bare));
    return `## ${entry}\n\n${what}\n${shared}\n${items.join("\n")}`;
  });
  const contents = Object.entries(ENTRIES).map(([entry, what]) => `| [\`${entry}\`](#${slug(entry)}) | ${what} |`);
  return { text: `${INTRODUCTION}\n| Import | |\n|---|---|\n${contents.join("\n")}\n\n${parts.join("\n")}`.trimEnd() + "\n", bare };
}

/** An export may stand in another file, under another name. */
function itemOf(exported, checker) {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  const [declaration] = symbol.declarations;
  const kind = ts.isClassDeclaration(declaration) ? "class"
    : ts.isInterfaceDeclaration(declaration) ? "interface"
    : ts.isTypeAliasDeclaration(declaration) ? "type"
    : "function";
  return { name: exported.name, symbol, kind };
}

function shownOf({ name, symbol, kind }, entry, checker, bare) {
  const place = `${entry}: ${name}`;
  const head = `<a id="${anchor(entry, name)}"></a>\n\n### ${name}\n\n`;
  if (kind === "function" || kind === "type") {
    const code = symbol.declarations.map((one) => plain(one).replace(/^export (declare )?/, "").replace(/^declare /, ""));
    return `${head}${commentOf(symbol.declarations, place, bare)}\n\`\`\`ts\n${code.join("\n")}\n\`\`\`\n`;
  }
  const [declaration] = symbol.declarations;
  // What its fields mean stands beside them.
  if (kind === "interface") return `${head}${commentOf([declaration], place, bare)}\n\`\`\`ts\n${asWritten(declaration)}\n\`\`\`\n`;
  const heritage = declaration.heritageClauses?.map((clause) => ` ${plain(clause).trim()}`).join("") ?? "";
  const parameters = declaration.typeParameters ? `<${declaration.typeParameters.map(plain).join(", ")}>` : "";
  const members = new Map();
  for (const member of declaration.members) {
    const modifiers = ts.getCombinedModifierFlags(member);
    if (modifiers & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected) || !member.name && !ts.isConstructorDeclaration(member)) continue;
    if (member.name && ts.isPrivateIdentifier(member.name)) continue;
    const key = member.name ? plain(member.name) : "constructor";
    members.set(key, [...(members.get(key) ?? []), member]);
  }
  const shown = [...members].map(([key, several]) => {
    const words = commentOf(several, `${place}.${key}`, key === "constructor" ? [] : bare);
    return `\`\`\`ts\n${several.map(plain).join("\n")}\n\`\`\`\n${words && `\n${words}`}`;
  });
  return `${head}${commentOf([declaration], place, bare)}\n\`\`\`ts\n${kind} ${name}${parameters}${heritage}\n\`\`\`\n\n${shown.join("\n")}`;
}

const printer = ts.createPrinter({ removeComments: true });

/** With its comments. */
const asWritten = (node) => indented(node.getText()).replace(/^export (declare )?/, "");

const indented = (text) => text.replace(/^    +/gm, (indent) => " ".repeat(indent.length / 2));

/** As it is declared, in one line if it has place there; in the style of the source. */
function plain(node) {
  const text = printer.printNode(ts.EmitHint.Unspecified, node, node.getSourceFile());
  return indented(text).replace(/;$/, "").replace(/import\("[^"]*"\)\./g, "");
}

/** What is said of the first that has a comment; of those that implement what the language asks for, nothing need be. */
function commentOf(declarations, place, bare) {
  const said = declarations.map((one) => {
    const docs = ts.getJSDocCommentsAndTags(one).filter(ts.isJSDoc);
    const tags = ts.getJSDocTags(one).map((tag) => tagOf(tag));
    return [...docs.map(({ comment }) => ts.getTextOfJSDocComment(comment)), ...tags].filter(Boolean).join("\n\n");
  });
  const words = [...new Set(said.filter(Boolean))].join("\n\n");
  if (!words) bare.push(place);
  return words ? `${words.replace(/\s*\n(?!\n)\s*/g, (gap) => (gap.includes("\n\n") ? "\n\n" : " "))}\n` : "";
}

function tagOf(tag) {
  const words = ts.getTextOfJSDocComment(tag.comment) ?? "";
  if (ts.isJSDocParameterTag(tag)) return `\`${tag.name.getText()}\`: ${words}`;
  return tag.tagName.text === "throws" ? `Throws ${words}` : "";
}

const slug = (entry) => entry.replace("/", "");
/** Of its own, for names come again in other entry points. */
const anchor = (entry, name) => `${slug(entry)}-${name}`.toLowerCase();

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { text, bare } = reference();
  for (const place of bare) console.error(`${place} has no comment.`);
  writeFileSync(FILE, text);
  console.log(`${FILE} is up to date.`);
}
