// What a person does again and again on the page, each with the wait for what it leads to.

/** Signs in; the tab shows the editor or what its address names. */
export async function signIn(tab, token) {
  await tab.fill("#token", token);
  await tab.press("Enter");
  await tab.until("the tab is signed in", () => find("#rail"));
}

/** Runs SQL by keyboard and answers what the page says of it: its status, or its mistake. */
export async function run(tab, sql) {
  await tab.fill("#sql-text", sql);
  await tab.press("Control+Enter");
  return tab.until(`${sql} has run`, () => {
    const status = words("#sql-status");
    return status === "Running" ? null : status || words("#sql-problem");
  });
}

/** Keeps SQL live by keyboard; its card is there afterwards and its rows are whole. */
export async function keep(tab, sql) {
  await tab.fill("#sql-text", sql);
  await tab.press("Control+Shift+Enter");
  await tab.until(`${sql} is live`, isLive, sql);
}

/** Waits until a live query shows, in order, exactly what the same query answers over HTTP. */
export async function exact(tab, server, sql) {
  const wanted = await server.query(sql);
  await tab.until(`${sql} shows ${JSON.stringify(wanted)}`, shows, sql, wanted);
}

export async function closeAll(tab) {
  await act(tab, "Close all live queries");
  await tab.until("no live query is left", () => all("article.card").length === 0);
}

/** Does what the palette calls by these words. */
export async function act(tab, words) {
  await tab.press("Control+k");
  await tab.until("the palette is open", () => find("#palette"));
  await tab.type(words);
  await tab.until(`the palette has ${words}`, (words) => find("#palette-list [aria-selected=true]", words), words);
  await tab.press("Enter");
}

export async function view(tab, name) {
  await tab.click(`#go-${name}`);
  await tab.until(`${name} is shown`, (name) => find(`#${name}`), name);
}

export async function watch(tab, topic) {
  await view(tab, "topics");
  await tab.fill("#topic-name", topic);
  await tab.press("Enter");
  await tab.until(`${topic} is watched`, (topic) =>
    words("#topic-title") === topic && words("#topic-state").includes("Live"), topic);
}

function isLive(sql) {
  return card(sql)?.querySelector(".facts").innerText.includes("Live");
}

function shows(sql, wanted) {
  const node = card(sql);
  if (!node?.querySelector(".facts").innerText.includes("Live")) return false;
  return JSON.stringify(cells(node)) === JSON.stringify(wanted);
}
