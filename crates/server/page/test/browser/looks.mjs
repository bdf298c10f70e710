// How it looks, as far as a program can judge: colours that can be read, nothing that sticks out.

import assert from "node:assert/strict";
import { run, view } from "./steps.mjs";

const CONTRAST_MIN = 4.5;
const SIZES = [[1280, 800], [390, 844]];
const SCHEMES = ["light", "dark"];

export const looks = [
  ["SQL looks right: narrow and wide, light and dark", async ({ tab }) => {
    await run(tab, "SELECT * FROM orders ORDER BY id");
    await everywhere(tab);
  }],
  ["a mistake looks right as well", async ({ tab }) => {
    await run(tab, `SELECT ${"a_name_that_never_ends_".repeat(6)} FROM orders`);
    await everywhere(tab);
  }],
  ["the palette looks right", async ({ tab }) => {
    await tab.press("Control+k");
    await tab.until("the palette is open", () => find("#palette"));
    await everywhere(tab);
    await tab.press("Escape");
  }],
  ["topics look right", async ({ tab }) => {
    await view(tab, "topics");
    await everywhere(tab);
    await tab.click("#topic-list a", "chat/lobby");
    await tab.until("the topic is open", () => find("#topic"));
    await everywhere(tab);
    await view(tab, "sql");
  }],
  ["signing in looks right", async ({ stranger }) => {
    await stranger.fill("#token", "wrong-token");
    await stranger.press("Enter");
    await stranger.until("the mistake is told", () => words("#token-problem"));
    await everywhere(stranger);
  }],
];

/** Leaves the tab wide and in the scheme it had, whatever was found. */
async function everywhere(tab) {
  const grounds = new Set();
  try {
    for (const [width, height] of SIZES) {
      await tab.size(width, height);
      for (const scheme of SCHEMES) {
        await tab.media({ "prefers-color-scheme": scheme });
        grounds.add(await judge(tab, `${width} px, ${scheme}`));
      }
    }
    assert.equal(grounds.size, SCHEMES.length, "light and dark differ");
  } finally {
    await tab.media({});
    await tab.size(...SIZES[0]);
  }
}

/** Answers the colour of the ground. */
async function judge(tab, where) {
  assert.deepEqual(await tab.ask(sticksOut), [], where);
  assert.deepEqual(await tab.ask(hardToRead, CONTRAST_MIN), [], where);
  return tab.ask(() => getComputedStyle(document.body).backgroundColor);
}

/** In the page: what reaches beyond its right edge, other than inside something that scrolls by itself. */
function sticksOut() {
  const room = document.documentElement.clientWidth;
  const clips = (node) => getComputedStyle(node).overflowX !== "visible";
  const clipped = (node) => {
    for (let up = node.parentElement; up && up !== document.body; up = up.parentElement) if (clips(up)) return true;
    return false;
  };
  const out = all("body *").filter((node) => node.getBoundingClientRect().right > room + 0.5 && !clipped(node));
  const names = out.map((node) => `${node.tagName} ${node.id || node.className}`);
  if (document.documentElement.scrollWidth > room) names.push(`the page is ${document.documentElement.scrollWidth} px wide`);
  return names;
}

/** In the page: texts whose contrast with what is behind them is too low. */
function hardToRead(least) {
  const parts = (color) => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const behind = (node) => {
    for (let up = node; up; up = up.parentElement) {
      const { rgb, a } = parts(getComputedStyle(up).backgroundColor);
      if (a === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const light = (rgb) => {
    const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const isText = (child) => child.nodeType === Node.TEXT_NODE && child.data.trim() !== "";
  const hasText = (node) => [...node.childNodes].some(isText);
  const texts = all("body *").filter((node) => hasText(node) || node.value || node.placeholder);
  return texts.flatMap((node) => {
    const of = contrast(parts(getComputedStyle(node).color).rgb, behind(node));
    const name = `${node.tagName} ${node.id || node.className} "${node.textContent.slice(0, 30)}"`;
    return of < least ? [`${name} ${of.toFixed(2)}`] : [];
  });
}
