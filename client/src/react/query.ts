// Hooks that show something live: with its loading and its errors, or suspended until it is there.

import { useCallback, useSyncExternalStore } from "react";
import { LOADING, NOTHING, sameness, shown, type Live, type Nothing, type Shown, type State } from "../live.js";
import { peersOf, Shared } from "./shared.js";

const loading = (): State<never> => LOADING;

/** The parts of its last snapshot, beside `error` and `isLoading`. Of `null` nothing, so that a query can wait for its parameters. */
export function useQuery<Snapshot>(query: Live<Snapshot> | Nothing): Shown<Snapshot> {
  return shown(useLive(query, loading));
}

/** A document as one value: `undefined` while it is loading, and where there is none. */
export function useDoc<Doc>(doc: Live<Doc> | Nothing): { readonly doc: Doc | undefined } & Omit<State<Doc>, "value"> {
  const { value, ...others } = useLive(doc, loading);
  return { doc: value, ...others };
}

/** Its last snapshot. Until there is one the component is suspended; an error goes to the nearest boundary. */
export function useSuspenseQuery<Snapshot>(query: Live<Snapshot>): Snapshot {
  const { value, error, isLoading } = useLive(query);
  if (isLoading) throw Shared.open(query).settled;
  if (error) throw error;
  return value as Snapshot;
}

/** Without a snapshot for servers React leaves what stands below the boundary to the browser; there it is opened by being read. */
function useLive<Snapshot>(query: Live<Snapshot> | Nothing, onServer?: () => State<never>): State<Snapshot> {
  const claim = (changed: () => void) => (query ? Shared.open(query, true).claim(changed) : () => {});
  const read = (): State<Snapshot> => {
    if (!query) return NOTHING;
    const [peers, identity] = peersOf(query);
    return (onServer ? peers.get(identity) : Shared.open(query))?.state ?? LOADING;
  };
  return useSyncExternalStore(useCallback(claim, sameness(query || NOTHING as {})), read, onServer);
}
