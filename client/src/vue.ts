// tidebase/vue: useQuery(() => db.sql`…`), live for as long as its component or effect scope.
//
//   const todos = useQuery(() => db.sql<Todo>`SELECT * FROM todo WHERE done = ${done.value}`);
//
// The getter is followed: when it comes to another query, that one is shown instead, at first as loading.

import { onScopeDispose, shallowRef, toValue, watch, type MaybeRefOrGetter, type ShallowRef } from "vue";
import { isShownHere, LOADING, NOTHING, sameness, shown, View, type Live, type Nothing, type Shown } from "./live.js";

/** Something live, its parts beside `error` and `isLoading`; for as long as the component or effect scope. A getter is followed. */
export function useQuery<Snapshot>(
  query: MaybeRefOrGetter<Live<Snapshot> | Nothing>,
): Readonly<ShallowRef<Shown<Snapshot>>> {
  const result = shallowRef(shown<Snapshot>(LOADING));
  let close = () => {};
  let before: Live<Snapshot> | Nothing;
  const follow = (live: Live<Snapshot> | Nothing) => {
    const [was, is] = [before, live].map((query) => (query ? sameness(query) : []));
    if (live && was![0] === is![0] && was![1] === is![1]) return;
    before = live;
    close();
    close = () => {};
    result.value = shown(live ? LOADING : NOTHING);
    if (!live || !isShownHere) return;
    const view = new View(live);
    const stop = view.subscribe(() => void (result.value = shown(view.state)));
    close = () => {
      stop();
      view.close();
    };
  };
  // In an array, for Vue waits for what a getter gives if that is like a promise; and to be waited for runs a query.
  watch(() => [toValue(query)], ([live]) => follow(live), { immediate: true });
  onScopeDispose(() => close());
  return result;
}

export type { Live, Nothing, Shown } from "./live.js";
