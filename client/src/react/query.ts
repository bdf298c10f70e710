// Hooks that show something live: with its loading and its errors, or suspended until it is there.

import { useMemo, useSyncExternalStore } from "react";
import { LOADING, NOTHING, sameness, shown, type Live, type Nothing, type Shown, type State } from "../live.js";
import { Shared } from "./shared.js";

const loading = (): State<never> => LOADING;

/** The parts of its last snapshot, beside `error` and `isLoading`. Of `null` nothing, so that a query can wait for its parameters. */
export function useQuery<Snapshot>(query: Live<Snapshot> | Nothing): Shown<Snapshot> {
  return shown(useLive(query, loading));
}

/** A document as one value: `undefined` while it is loading, and where there is none. */
export function useDoc<Doc>(doc: Live<Doc> | Nothing): { readonly doc: Doc | undefined } & Omit<State<Doc>, "value"> {
  const { value, error, isLoading } = useLive(doc, loading);
  return { doc: value, error, isLoading };
}

/** Its last snapshot. Until there is one the component is suspended; an error goes to the nearest boundary. */
export function useSuspenseQuery<Snapshot>(query: Live<Snapshot>): Snapshot {
  // Without a snapshot for servers React leaves what stands below the boundary to the browser.
  let state = useLive(query);
  if (state.isLoading) {
    const shared = Shared.open(query);
    state = shared.state;
    if (state.isLoading) throw shared.settled;
  }
  if (state.error) throw state.error;
  return state.value as Snapshot;
}

function useLive<Snapshot>(query: Live<Snapshot> | Nothing, onServer?: () => State<never>): State<Snapshot> {
  const view = useMemo(() => viewOf(query), query ? sameness(query) : [query, query]);
  return useSyncExternalStore(view.subscribe, view.read, onServer);
}

function viewOf<Snapshot>(query: Live<Snapshot> | Nothing) {
  return {
    subscribe: (changed: () => void) => (query ? Shared.claim(query, changed) : () => {}),
    read: (): State<Snapshot> => (query ? (Shared.find(query)?.state ?? LOADING) : NOTHING),
  };
}
