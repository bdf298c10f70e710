// tidebase/react: hooks over whatever can be live.
//
//   const { rows, error } = useQuery(db.sql<Todo>`SELECT * FROM todo WHERE done = ${done}`);
//
// A template is made anew by each render; what counts is what it asks. Components that ask the same share one subscription.

export { useDoc, useQuery, useSuspenseQuery } from "./query.js";
export { usePresence, useTopic } from "./topic.js";
export { useConnection } from "./connection.js";
export type { Live, Nothing, Shown } from "../live.js";
