// Every view has an address, in the part after `#` which a browser never sends to a server.
//
//   #/sql            the editor            #/sql?q=SELECT…   the editor with this SQL, not run
//   #/topics         topics watched        #/topics/chat     one of them
//
// A shared address fills the editor and stops there: following a link must not run SQL in the reader's name.
// Tokens have no place in an address.

const SQL_CHARACTERS_MAX = 8000;

/** `{view: "sql", sql?}` or `{view: "topics", topic?}`; what cannot be read is the editor. */
export function readAddress(hash) {
  const [path, search] = splitOnce(hash.replace(/^#\/?/, ""), "?");
  const [view, name] = splitOnce(path, "/");
  if (view === "topics") return { view, topic: decoded(name) || undefined };
  return { view: "sql", sql: new URLSearchParams(search).get("q") ?? undefined };
}

export function sqlAddress(sql = "") {
  if (sql === "" || sql.length > SQL_CHARACTERS_MAX) return "#/sql";
  return `#/sql?${new URLSearchParams({ q: sql })}`;
}

export function topicAddress(topic) {
  return topic ? `#/topics/${encodeURIComponent(topic)}` : "#/topics";
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
