// What makes one set of rows of another, as TanStack DB takes it.

type Key = string | number;

export type Change<Row> = { type: "insert" | "update"; value: Row } | { type: "delete"; key: Key };

/** Rows that have not changed are the same objects. */
export function* changesOf<Row>(before: Map<Key, Row>, after: Map<Key, Row>): Iterable<Change<Row>> {
  for (const key of before.keys()) if (!after.has(key)) yield { type: "delete", key };
  for (const [key, value] of after) {
    if (!before.has(key)) yield { type: "insert", value };
    else if (before.get(key) !== value) yield { type: "update", value };
  }
}
