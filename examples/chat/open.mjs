// Opens the chat, as administrator: what a room and a message must be like, and who may do what. It may be run again.

import { createClient } from "tidebase";
import { documents } from "tidebase/documents";

const { TIDEBASE_URL: url = "http://127.0.0.1:8080", TIDEBASE_ADMIN_TOKEN: token } = process.env;
const harbour = documents(createClient(url, { token })).doc("rooms/harbour");
async function keep(method, path, body) {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const answer = await fetch(new URL(path, url), { method, headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
}
const schema = (table, properties) =>
  keep("PUT", `schemas/${encodeURIComponent(table)}/data`, { properties, required: Object.keys(properties), additionalProperties: false });
const see = (name, table, using) => keep("POST", "policies", { name, table, action: "select", using });
const write = (name, table, check) => keep("POST", "policies", { name, table, action: "insert", check });
const text = (maxLength) => ({ type: "string", minLength: 1, maxLength });
const asOneself = "data ->> '$.from' = auth.uid() AND json_type(data, '$.name') = 'text' AND length(data ->> '$.name') <= 40";
await harbour.set({ name: "Harbour" });
await harbour.collection("messages").make();
await harbour.collection("messages").makeIndex(["at desc"]);
await schema("rooms", { name: text(40) });
await schema("rooms/messages", { from: text(100), name: text(40), text: text(4000), at: text(24) });
await see("see rooms", "rooms", "true");
await write("make rooms", "rooms", "true");
await see("read messages", "rooms/messages", "true");
await write("write as oneself", "rooms/messages", asOneself);
await see("be in rooms", "_tide_messages", "topic GLOB 'room/*'");
await write("be there as oneself, and type", "_tide_messages", `topic GLOB 'room/*' AND ${asOneself}`);
