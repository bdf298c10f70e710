// What has changed from one snapshot to the next. A function apart, so that only who asks for it loads it.

import type { Doc } from "./live.js";
import type { Found } from "./query.js";

/** What has changed from one snapshot to the next. */
export interface Changes<Data = any> {
  added: Doc<Data>[];
  changed: Doc<Data>[];
  removed: Doc<Data>[];
}

/** Documents that came, are others now, or went. Without a snapshot before it all of them came. */
export function changes<Data>(after: Found<Data>, before?: Found<Data>): Changes<Data> {
  const old = new Map(before?.docs.map((doc) => [doc.path, doc]));
  const added: Doc<Data>[] = [];
  const changed: Doc<Data>[] = [];
  for (const doc of after.docs) {
    const was = old.get(doc.path);
    old.delete(doc.path);
    if (!was) added.push(doc);
    else if (was !== doc) changed.push(doc);
  }
  return { added, changed, removed: [...old.values()] };
}
