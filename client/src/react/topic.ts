// Hooks over topics: hear the messages of one, and show oneself in it.

import { useEffect, useRef, useState } from "react";
import type { Nothing } from "../live.js";
import type { Stop } from "../live/loop.js";
import type { ListeningToTopic, Member, Message, Topic } from "../topic.js";

type Hearing = Pick<ListeningToTopic, "after" | "onMissed">;

/** Calls back with each message, always the callback of the last render. */
export function useTopic<Data>(
  topic: Topic<Data> | Nothing,
  onMessage: (message: Message<Data>) => void,
  { after, onMissed }: Hearing = {},
): { readonly error: Error | undefined } {
  const latest = useRef({ onMessage, onMissed });
  useEffect(() => void (latest.current = { onMessage, onMissed }));
  const hear = (topic: Topic<Data>, onError: (error: Error) => void) =>
    topic.subscribe((message) => latest.current.onMessage(message), {
      after,
      onMissed: (cursor) => latest.current.onMissed?.(cursor),
      onError,
    } as ListeningToTopic);
  return { error: useStop(topic, hear, after) };
}

/** Shows this client with a state, and gives all who show themselves, this client included. */
export function usePresence<State>(
  topic: Topic | Nothing,
  state: State,
): { readonly members: readonly Member<State>[]; readonly error: Error | undefined } {
  const [members, setMembers] = useState<readonly Member<State>[]>([]);
  const show = (topic: Topic, onError: (error: Error) => void) => topic.presence(state, setMembers, { onError });
  return { members, error: useStop(topic, show, JSON.stringify(state)) };
}

/** Begins anew when the topic is another, or `what`. Gives the error it has ended with. */
function useStop<Data>(
  topic: Topic<Data> | Nothing,
  begin: (topic: Topic<Data>, onError: (error: Error) => void) => Stop,
  what: unknown,
): Error | undefined {
  const [error, setError] = useState<Error>();
  useEffect(() => {
    setError(undefined);
    try {
      return topic ? begin(topic, setError) : undefined;
    } catch (error) {
      // The client was closed, or shows itself there already.
      return setError(error as Error);
    }
  }, [topic && topic.loop, topic && topic.name, what]);
  return error;
}
