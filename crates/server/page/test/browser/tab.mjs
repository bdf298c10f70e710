// One tab, used as a person would: by what is seen, with mouse and keys. And a list of what must never happen in it.

import { Frames } from "./frames.mjs";
import { until } from "./wait.mjs";

const CONTROL = 2;
const SHIFT = 8;
const KEYS = {
  Enter: { code: "Enter", windowsVirtualKeyCode: 13, text: "\r" },
  Escape: { code: "Escape", windowsVirtualKeyCode: 27 },
  Tab: { code: "Tab", windowsVirtualKeyCode: 9 },
  Home: { code: "Home", windowsVirtualKeyCode: 36 },
  End: { code: "End", windowsVirtualKeyCode: 35 },
  ArrowUp: { code: "ArrowUp", windowsVirtualKeyCode: 38 },
  ArrowDown: { code: "ArrowDown", windowsVirtualKeyCode: 40 },
  k: { code: "KeyK", windowsVirtualKeyCode: 75, text: "k" },
};

/** Known to every function that runs in the page. */
const IN_PAGE = `
  const seen = (node) => node.checkVisibility() && node.getClientRects().length > 0;
  const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);
  const find = (selector, words = "") => all(selector).find((node) => node.textContent.trim().startsWith(words));
  const words = (selector) => find(selector)?.innerText.trim();
  const cells = (grid) => [...grid.querySelectorAll("tr[aria-rowindex] td")].reduce((rows, cell) => {
    if (cell.cellIndex === 0) rows.push([]);
    rows.at(-1).push(cell.textContent);
    return rows;
  }, []);
  const card = (sql) => all("article.card").find((one) => one.querySelector("h3").textContent === sql);
`;

/** Tells of a breach of the page's own policy by an address, since the page's console may say nothing. */
const TELL_BREACHES = `
  addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    console.error("CSP violation:", violatedDirective, blockedURI));
`;

export class Tab {
  frames = new Frames();
  /** Errors and warnings of the console, breaches of the policy, requests to other hosts or with the token in them. */
  problems = [];
  #chrome;
  #session;
  #host;
  #token;

  /** A window of its own: tabs of one window hide each other, and a hidden page draws nothing. */
  static async open(chrome, { url, token }) {
    const { targetId } = await chrome.call("Target.createTarget", { url: "about:blank", newWindow: true });
    const { sessionId } = await chrome.call("Target.attachToTarget", { targetId, flatten: true });
    const tab = new Tab(chrome, sessionId, new URL(url).host, token);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await tab.#call(`${domain}.enable`);
    await tab.#call("Page.addScriptToEvaluateOnNewDocument", { source: TELL_BREACHES });
    await tab.#call("Emulation.setFocusEmulationEnabled", { enabled: true });
    await tab.size(1280, 800);
    await tab.go(url);
    return tab;
  }

  constructor(chrome, session, host, token) {
    this.#chrome = chrome;
    this.#session = session;
    this.#host = host;
    this.#token = token;
    chrome.on(session, (method, params) => this.#heard(method, params));
  }

  async go(url) {
    await this.#call("Page.navigate", { url });
    await this.until("the page is there", () => document.readyState === "complete" && all("main section").length > 0);
  }

  size(width, height) {
    return this.#call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
  }

  /** For example `{"prefers-color-scheme": "dark"}`. */
  media(wanted) {
    const features = Object.entries(wanted).map(([name, value]) => ({ name, value }));
    return this.#call("Emulation.setEmulatedMedia", { features });
  }

  async picture() {
    const { data } = await this.#call("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }

  /** What `look`, a function that runs in the page, answers there. */
  async ask(look, ...args) {
    const given = args.map((arg) => JSON.stringify(arg) ?? "undefined").join(",");
    const expression = `(() => { ${IN_PAGE} return (${look})(${given}); })()`;
    const answer = await this.#call("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    const { exceptionDetails: thrown, result } = answer;
    if (thrown) throw new Error(`in the page: ${thrown.exception?.description ?? thrown.text}`);
    return result.value;
  }

  /** Waits until `look` answers something true in the page. */
  until(what, look, ...args) {
    const state = () => this.ask(() => document.body.innerText.slice(-1500));
    return until(what, () => this.ask(look, ...args), { state });
  }

  /** Clicks the middle of what a person would: the visible element with these words. */
  async click(selector, words) {
    const point = (selector, words) => {
      const node = find(selector, words);
      if (!node || node.disabled) return null;
      node.scrollIntoView({ block: "nearest" });
      const { left, top, width, height } = node.getBoundingClientRect();
      const point = { x: left + width / 2, y: top + height / 2 };
      const hit = document.elementFromPoint(point.x, point.y);
      return hit && (node.contains(hit) || hit.contains(node)) ? point : null;
    };
    const at = await this.until(`${selector} ${words ?? ""} can be clicked`, point, selector, words);
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.#call("Input.dispatchMouseEvent", { type, ...at, button: "left", clickCount: 1 });
    }
  }

  /** Replaces what a field holds. */
  async fill(selector, text) {
    await this.click(selector);
    await this.#key("rawKeyDown", { key: "a", code: "KeyA", windowsVirtualKeyCode: 65, commands: ["selectAll"] }, CONTROL);
    await this.#key("keyUp", { key: "a", code: "KeyA", windowsVirtualKeyCode: 65 }, CONTROL);
    await this.type(text);
  }

  type(text) {
    return this.#call("Input.insertText", { text });
  }

  /** "Enter", "Control+Shift+Enter" and so on. */
  async press(keys) {
    const names = keys.split("+");
    const key = names.pop();
    const modifiers = names.reduce((sum, name) => sum + { Control: CONTROL, Shift: SHIFT }[name], 0);
    const { text, ...known } = KEYS[key];
    const writes = text !== undefined && modifiers === 0;
    await this.#key(writes ? "keyDown" : "rawKeyDown", { key, ...known, text: writes ? text : undefined }, modifiers);
    await this.#key("keyUp", { key, ...known }, modifiers);
  }

  #key(type, key, modifiers) {
    return this.#call("Input.dispatchKeyEvent", { type, modifiers, ...key });
  }

  #call(method, params) {
    return this.#chrome.call(method, params, this.#session);
  }

  #heard(method, params) {
    const problem = problemOf(method, params) ?? this.#problemOfAddress(method, params);
    if (problem) this.problems.push(problem);
    if (method.startsWith("Network.webSocket")) this.frames.heard(method, params);
  }

  #problemOfAddress(method, { request, url }) {
    const asked = { "Network.requestWillBeSent": request?.url, "Network.webSocketCreated": url }[method];
    if (asked === undefined) return undefined;
    const { protocol, host } = new URL(asked);
    if (protocol !== "data:" && host !== this.#host) return `a request to another host: ${asked}`;
    return asked.includes(this.#token) ? `the token stands in an address: ${asked}` : undefined;
  }
}

function problemOf(method, params) {
  if (method === "Runtime.exceptionThrown") {
    const { text, exception } = params.exceptionDetails;
    return `exception: ${text} ${exception?.description ?? ""}`;
  }
  if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type)) {
    return `console: ${params.args.map(({ value, description }) => value ?? description).join(" ")}`;
  }
  // Chromium itself notes every answer that is no success, and a server that is away: that is what the test does.
  if (method === "Log.entryAdded" && params.entry.level !== "info" && params.entry.source !== "network") {
    return `log: ${params.entry.source}: ${params.entry.text}`;
  }
  return undefined;
}
