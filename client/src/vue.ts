// tidebase/vue: useQuery(() => db.sql`…`), live for as long as its component or effect scope.
//
//   const todos = useQuery(() => db.sql<Todo>`SELECT * FROM todo WHERE done = ${done.value}`);
//
// The getter is followed: when it comes to another query, that one is shown instead, at first as loading.

import { onScopeDispose, shallowRef, toValue, watch, type MaybeRefOrGetter, type ShallowRef } from "vue";
import { isShownHere, LOADING, NOTHING, sameness, shown, View, type Live, type Nothing, type Shown } from "./live.js";

export function useQuery<Snapshot>(
  query: MaybeRefOrGetter<Live<Snapshot> | Nothing>,
): Readonly<ShallowRef<Shown<Snapshot>>> {
  const result = shallowRef(shown<Snapshot>(LOADING));
  let close = () => {};
  const follow = (live: Live<Snapshot> | Nothing, before: Live<Snapshot> | Nothing) => {
    if (live && before && sameness(live).every((part, index) => part === sameness(before)[index])) return;
    close();
    close = () => {};
    result.value = shown(live ? LOADING : NOTHING);
    if (!live || !isShownHere) return;
    const view = new View(live);
    const show = () => void (result.value = shown(view.state));
    const stop = view.subscribe(show);
    show();
    close = () => {
      stop();
      view.close();
    };
  };
  watch(() => toValue(query), follow, { immediate: true });
  onScopeDispose(() => close());
  return result;
}

export type { Live, Nothing, Shown } from "./live.js";
