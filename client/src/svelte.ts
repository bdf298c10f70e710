// tidebase/svelte: live(db.sql`…`) as a store. The first subscriber opens it, the last one closes it.
//
//   const todos = live(db.sql<Todo>`SELECT * FROM todo`);          {#each $todos.rows ?? [] as todo (todo.id)}
//
// For a parameter that changes there is another store: `const todos = $derived(live(db.sql`… ${id}`))`.

import { isShownHere, LOADING, NOTHING, shown, View, type Live, type Nothing, type Shown } from "./live.js";

/** Svelte's contract of a store that is only read. */
export interface Store<Value> {
  subscribe(run: (value: Value) => void): () => void;
}

/** A store of something live: its parts, beside `error` and `isLoading`. Open while it has subscribers. */
export function live<Snapshot>(query: Live<Snapshot> | Nothing): Store<Shown<Snapshot>> {
  let view: View<Snapshot> | undefined;
  let subscribers = 0;
  return {
    subscribe(run) {
      if (!query || !isShownHere) {
        run(shown(query ? LOADING : NOTHING));
        return () => {};
      }
      const mine = (view ??= new View(query));
      subscribers++;
      let stop = mine.subscribe(() => run(shown(mine.state)));
      return () => {
        stop();
        stop = () => {};
        if (view !== mine || --subscribers > 0) return;
        view = undefined;
        mine.close();
      };
    },
  };
}

export type { Live, Nothing, Shown } from "./live.js";
